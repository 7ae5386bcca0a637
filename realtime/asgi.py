"""The one ASGI helper: HTTP by Django, WebSockets by the consumers, behind the origin check."""

import gc
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core import asgi

__all__ = ["get_asgi_application"]

YOUNG_OBJECTS = 20_000
"""How many come to be, more than go, before the youngest are looked at."""
YOUNG_ROUNDS, MIDDLE_ROUNDS = 2, 2
"""How many rounds of one kind make one of the next; the last looks at all that there is."""


def get_asgi_application(websocket_urlpatterns: list[Any] | None = None) -> ProtocolTypeRouter:
    """Make a site's ASGI application; a drop-in for Django's function of the same name.

    `websocket_urlpatterns` are Channels routes, by default those of `realtime.routing`. Pages
    of foreign origins do not reach them.
    """
    http = asgi.get_asgi_application()
    from .auth.origin import OriginCheck
    from .conf import config
    from .engine.engine import Engine
    from .engine.publisher import publisher
    from .engine.transport import widen
    from .logs import hide_tokens
    from .routing import websocket_urlpatterns as own

    publisher.is_server = True
    widen()
    hide_tokens()
    _tune_collector(config().connections_per_process)
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


def _tune_collector(connections: int) -> None:
    """Have the garbage collector look at less, and less often; docs/performance.md has figures.

    What is loaded by now stays for good: to look at a whole Django stops everybody for 50 ms. And a
    server with thousands of connections makes as many objects at once (Daphne does each second,
    to look at them), which are no reason to look at all connections. A site that looks as
    rarely or never by settings of its own keeps those.
    """
    gc.collect()
    gc.freeze()
    young = max(YOUNG_OBJECTS, 2 * connections)
    if 0 < gc.get_threshold()[0] < young:
        gc.set_threshold(young, YOUNG_ROUNDS, MIDDLE_ROUNDS)
