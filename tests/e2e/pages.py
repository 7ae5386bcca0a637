"""Pages that push, for `test_push.py`."""

import contextlib
from threading import Thread
from typing import Any

import msgspec
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from realtime import push
from realtime.errors import RealtimeError


def tell(text: str) -> None:
    """A stored message and a signal that is not."""
    push.room("general").message(text, username="page")
    push.room("general").send({"text": text})


def in_thread(text: str) -> None:
    """Push from a plain thread, which has a database connection of its own."""

    def work() -> None:
        tell(text)
        connection.close()

    thread = Thread(target=work)
    thread.start()
    thread.join()


def committed(request: HttpRequest) -> HttpResponse:
    """What another thread pushes before the commit comes first."""
    with transaction.atomic():
        tell("in the transaction")
        in_thread("before its commit")
    return HttpResponse()


def rolled_back(request: HttpRequest) -> HttpResponse:
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        tell("never")
        _ = 1 / 0
    tell("after the rollback")
    return HttpResponse()


def inner_rolled_back(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            tell("never")
            _ = 1 / 0
        tell("outer")
    return HttpResponse()


async def asynchronous(request: HttpRequest) -> HttpResponse:
    await push.room("general").amessage("from async code", username="page")
    await push.room("general").asend({"text": "from async code"})
    return HttpResponse()


class Confirm(msgspec.Struct):
    text: str


async def asks(request: HttpRequest, connection: str) -> JsonResponse:
    return JsonResponse(await _asked(connection, float(request.GET.get("timeout", 20))))


async def _asked(connection: str, timeout: float) -> dict[str, Any]:
    try:
        return await push.connection(connection).ask(Confirm(text="async"), timeout=timeout)
    except RealtimeError as error:
        return {"code": error.code, "outcome": error.outcome}


def asks_and_waits(request: HttpRequest, connection: str) -> JsonResponse:
    return JsonResponse(push.connection(connection).ask_and_wait(Confirm(text="sync")))


urlpatterns = [
    path("asks/<str:connection>", asks),
    path("asks-and-waits/<str:connection>", asks_and_waits),
    path("committed", committed),
    path("rolled-back", rolled_back),
    path("inner-rolled-back", inner_rolled_back),
    path("asynchronous", asynchronous),
]
