"""A server that can be looked into, and whose handlers break when a client asks for it."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import django
from channels.db import database_sync_to_async
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import HttpRequest, JsonResponse
from django.urls import path, re_path

django.setup()

from realtime.asgi import get_asgi_application  # noqa: E402 - needs models
from realtime.consumers import RoomConsumer  # noqa: E402
from realtime.engine.connections.outbox import Outbox  # noqa: E402
from realtime.engine.engine import Engine  # noqa: E402
from realtime.wire.commands import Command, Ping  # noqa: E402

SLOW_SECONDS = 3
queries: list[None] = []


class BrokenConsumer(RoomConsumer):
    """As any, but for some pings."""

    async def handle(self, command: Command) -> None:
        match command:
            case Ping(t="raise"):
                raise ZeroDivisionError
            case Ping(t="slow"):
                await self.engine.db.read(sleep)
            case Ping(t="slow as in Channels"):
                await database_sync_to_async(sleep)()
        await super().handle(command)


def sleep() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [SLOW_SECONDS])


async def counts(request: HttpRequest) -> JsonResponse:
    """What the process holds, and how many queries it has made."""
    engine = Engine.here()
    assert engine is not None, "nobody has connected yet"
    gc.collect()
    topics = engine.hub.topics.values()
    return JsonResponse(
        {
            "queries": len(queries),
            "connections": len(engine.connections),
            "members": sum(len(topic.members) for topic in topics),
            "topics": len(topics),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "outboxes": sum(type(one) is Outbox for one in gc.get_objects()),
        }
    )


def count_queries(connection: Any, **_: object) -> None:
    """Have a new connection count what it is asked."""
    if _count not in connection.execute_wrappers:
        connection.execute_wrappers.append(_count)


def _count(execute: Callable[..., Any], *asked: Any) -> Any:
    queries.append(None)
    return execute(*asked)


connection_created.connect(count_queries)
urlpatterns = [path("counts", counts)]
application = get_asgi_application([re_path(r"^ws/?$", BrokenConsumer.as_asgi())])
