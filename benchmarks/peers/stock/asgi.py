"""The routes; `bare` is what an accepted socket costs without a consumer."""

import os
from typing import Any

import django
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.stock.settings")
django.setup()

from .consumers import ChatConsumer, PersistConsumer, SessionConsumer  # noqa: E402 - needs models


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept, and wait for the end."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("ws/chat/<str:room>/", ChatConsumer.as_asgi()),
                path("ws/persist/<str:room>/", PersistConsumer.as_asgi()),
                path("ws/session/", AuthMiddlewareStack(SessionConsumer.as_asgi())),
                path("ws/bare/", bare),
            ]
        )
    }
)
