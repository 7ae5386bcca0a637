"""The one ASGI helper: HTTP by Django, WebSockets by the consumers, behind the origin check."""

import gc
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core import asgi

__all__ = ["get_asgi_application"]


def get_asgi_application(websocket_urlpatterns: list[Any] | None = None) -> ProtocolTypeRouter:
    """Make a site's ASGI application; a drop-in for Django's function of the same name.

    `websocket_urlpatterns` are Channels routes, by default those of `realtime.routing`. Pages
    of foreign origins do not reach them.
    """
    http = asgi.get_asgi_application()
    from .auth.origin import OriginCheck
    from .engine.engine import Engine
    from .engine.publisher import publisher
    from .engine.transport import widen
    from .logs import hide_tokens
    from .routing import websocket_urlpatterns as own

    publisher.is_server = True
    widen()
    hide_tokens()
    _keep_for_good()
    routes = own if websocket_urlpatterns is None else websocket_urlpatterns

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        """What servers other than Daphne tell of their beginning and end."""
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{event['type']}.complete"})
        if (engine := Engine.here()) is not None:
            await engine.stop()
        await send({"type": "lifespan.shutdown.complete"})

    websocket = OriginCheck(URLRouter(routes))
    return ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})


def _keep_for_good() -> None:
    """Take what is loaded by now out of the garbage collector's rounds.

    They stop every connection for as long as it takes to look at a whole Django, some 50 ms.
    """
    gc.collect()
    gc.freeze()
