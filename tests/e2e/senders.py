"""Places of a site's code that send, for `test_senders.py`; each names itself in what it sends."""

import asyncio
import os
from importlib import import_module
from threading import Thread
from typing import Any

import django
from django.apps import apps

if not apps.ready:  # in a worker of Celery, or a script
    django.setup()

from celery import Celery
from celery.signals import worker_init
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import BaseCommand, call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.db.models.signals import post_save
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from harness.topics import Said, SpeechTopic
from realtime import push
from realtime.models import Room
from realtime.topics import Event, Topic


def send(place: str) -> None:
    """Send all that can be sent: what is stored and what is not, to a room and to a topic."""
    push.room("general").message(place, username="site")
    push.everyone().send({"from": place})
    topic = SpeechTopic(slug="general")
    topic.publish(Said(content=place, sender="site"))
    topic.set(place, Said(content=place, sender="site"))


async def asend(place: str) -> None:
    """The same from async code."""
    await push.room("general").amessage(place, username="site")
    await push.everyone().asend({"from": place})
    topic = SpeechTopic(slug="general")
    await topic.apublish(Said(content=place, sender="site"))
    await topic.aset(place, Said(content=place, sender="site"))


# Views, under ASGI and WSGI.


def view(request: HttpRequest, place: str) -> HttpResponse:
    send(place)
    return HttpResponse()


async def aview(request: HttpRequest, place: str) -> HttpResponse:
    await asend(place)
    return HttpResponse()


def view_with_task(request: HttpRequest, place: str) -> HttpResponse:
    """With the backend that runs it at once; other backends run it in processes like these."""
    _task(place)
    return HttpResponse()


urlpatterns = [
    path("send/<str:place>", view),
    path("asend/<str:place>", aview),
    path("task/<str:place>", view_with_task),
    path("", include("project.urls")),
]


def wsgi() -> WSGIHandler:
    """The application of a WSGI server; it sends before the server forks, with `--preload`."""
    application = get_wsgi_application()
    send("a WSGI server before its fork")
    return application


def _task(place: str) -> None:
    name = "django.tasks" if django.VERSION >= (6,) else "django_tasks"
    import_module(name).task(send).enqueue(place)


# A worker of Celery.

celery = Celery("senders", broker="filesystem://")
folder = os.environ.get("CELERY_FOLDER", "/tmp")
celery.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": f"{folder}/control",
}


@worker_init.connect
def before_the_fork(**kwargs: Any) -> None:
    send("the parent of a Celery worker")


@celery.task
def job(place: str) -> None:
    with transaction.atomic():
        send(place)


# Other places, each without a server.


def in_thread() -> None:
    def work() -> None:
        send("a thread")
        connection.close()

    thread = Thread(target=work)
    thread.start()
    thread.join()


def in_command() -> None:
    class Command(BaseCommand):
        def handle(self, **options: object) -> None:
            send("a management command")

    call_command(Command())


def in_signal() -> None:
    def saved(instance: Room, **kwargs: object) -> None:
        send("a signal")

    post_save.connect(saved, sender=Room)
    Room.objects.get(slug="general").save()
    post_save.disconnect(saved, sender=Room)


def in_admin_action() -> None:
    def act(modeladmin: object, request: HttpRequest, queryset: object) -> None:
        send("an admin action")

    admin.site.add_action(act, "send_all")
    client, user = Client(), get_user_model().objects.create_superuser("root")
    client.force_login(user)
    data = {"action": "send_all", "_selected_action": [user.pk]}
    assert client.post("/admin/auth/user/", data).status_code == 302


def in_task() -> None:
    _task("a task of Django")


def in_loop() -> None:
    asyncio.run(asend("async code"))


PLACES = (in_thread, in_command, in_signal, in_admin_action, in_task, in_loop)


def main() -> None:
    """Send from those that need no server and no worker."""
    settings.ALLOWED_HOSTS = ["testserver"]
    for place in PLACES:
        place()


class Glance(Event):
    """An event that is not stored."""

    number: int


class GlanceTopic(Topic):
    path = "glance"
    events = [Glance]

    def may_subscribe(self) -> bool:
        return True
