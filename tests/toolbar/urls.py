"""Pages of a site with Django Debug Toolbar."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.urls import include, path

from realtime import push
from realtime.topics import Event, Topic

HTML = "<html><head></head><body>{}</body></html>"
PAGE = "{% load realtime %}<div hx-realtime='{% realtime_topic topic %}'></div>"


def is_shown(request: HttpRequest) -> bool:
    """Show the toolbar to everybody."""
    return True


class Shipped(Event):
    """An event."""


class Orders(Topic):
    """Is stored; a page permits to subscribe."""

    path = "toolbar/<int:pk>"
    events = [Shipped]
    keep = timedelta(days=1)
    signed = True
    pk: int


def publish() -> None:
    """Publish to two topics and a room, of which a part is rolled back."""
    Orders(pk=1).publish(Shipped())
    with transaction.atomic():
        Orders(pk=1).publish_many([Shipped(), Shipped()])
        push.room("general").message("hi")
        with transaction.atomic():
            Orders(pk=2).publish(Shipped())
            transaction.set_rollback(True)


def page(request: HttpRequest) -> HttpResponse:
    publish()
    context = Context({"topic": Orders(pk=1), "request": request})
    return HttpResponse(HTML.format(Template(PAGE).render(context)))


async def apage(request: HttpRequest) -> HttpResponse:
    await Orders(pk=1).apublish(Shipped())
    signature = await Orders(pk=1).asignature(request)
    return HttpResponse(HTML.format(signature))


def quiet(request: HttpRequest) -> HttpResponse:
    return HttpResponse(HTML.format(""))


def broken(request: HttpRequest) -> HttpResponse:
    Orders(pk=1).publish(Shipped())
    raise RuntimeError("broken")


def in_open_transaction(get_response: Any) -> Any:
    """Middleware that encloses the toolbar in a transaction, which it rolls back."""

    def answer(request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = get_response(request)
            transaction.set_rollback(True)
        return response

    return answer


urlpatterns = [
    path("page/", page),
    path("apage/", apage),
    path("quiet/", quiet),
    path("broken/", broken),
    path("", quiet, name="home"),
    path("realtime/", include("realtime.urls")),
    path("__debug__/", include("debug_toolbar.urls")),
]
