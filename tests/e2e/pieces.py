"""Topics and pages of a site that publishes HTML, for `test_html.py`."""

from datetime import timedelta

from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from realtime.topics import Topic

NEWEST = 200
"""How many items a page begins with."""
OLD_SECONDS = 13 * 60 * 60


class PiecesTopic(Topic):
    """One of several parts of a page."""

    path = "pieces/<slug:part>"
    keep = timedelta(days=1)
    part: str

    def may_subscribe(self) -> bool:
        return True


LIST, CARD, MINE = [PiecesTopic(part=part) for part in ("list", "card", "mine")]


def publish_item(item: Group) -> None:
    LIST.publish_html("pieces/item.html", {"item": item}, key=f"item-{item.pk}")


def add(name: str) -> Group:
    """Add an item to the list."""
    with transaction.atomic():
        item = Group.objects.create(name=name)
        LIST.publish_html("pieces/item.html", {"item": item})
    return item


def page(request: HttpRequest, kind: str) -> HttpResponse:
    """A page; an old one was made so long ago that its signatures have expired."""
    if "old" in request.GET:
        request.scope["realtime.began"] -= OLD_SECONDS  # type: ignore[attr-defined]
    items = reversed(Group.objects.order_by("-pk")[:NEWEST])
    context = {"kind": kind, "list": LIST, "items": items, "count": Group.objects.count()}
    return render(request, "pieces/page.html", context)


def mine(request: HttpRequest, kind: str) -> HttpResponse:
    """A part of the page that is fetched alone."""
    return render(request, "pieces/mine.html", {"kind": kind, "count": Group.objects.count()})


def newest(request: HttpRequest) -> HttpResponse:
    """The number of the last item."""
    return HttpResponse(Group.objects.order_by("pk").values_list("pk", flat=True).last() or 0)


def act(request: HttpRequest, action: str, value: str) -> HttpResponse:
    """Do what a test asks for."""
    match action:
        case "add":
            return HttpResponse(add(value).pk)
        case "rename":
            item = Group.objects.latest("pk")
            item.name = value
            item.save()
            publish_item(item)
        case "delete":
            Group.objects.filter(pk=value).delete()
            LIST.remove_html(f"item-{value}")
        case "card":
            CARD.publish_html("pieces/card.html", {"text": value})
        case "count":
            return HttpResponse(Group.objects.count())
        case "refresh":
            MINE.refresh()
    return HttpResponse()


urlpatterns = [
    path("pieces/<str:kind>/", page),
    path("pieces/<str:kind>/mine", mine),
    path("newest", newest),
    path("act/<str:action>/<str:value>", act),
]
