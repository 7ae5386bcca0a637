"""The ASGI application of a site: HTTP by Django, WebSockets by consumers; an origin check."""

import gc
from collections.abc import Iterable
from typing import Any, cast

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core import asgi
from django.core.handlers.asgi import get_script_prefix
from django.urls import re_path
from django.utils.module_loading import import_string

from .logs import get_logger

__all__ = ["get_asgi_application"]

logger = get_logger("realtime.asgi")

YOUNG_OBJECTS = 20_000
"""`gc.set_threshold`, generation 0: net allocations before a young collection."""
YOUNG_ROUNDS, MIDDLE_ROUNDS = 2, 2
"""Collections of one generation before one of the next; the last examines all objects."""


def get_asgi_application(
    routes: Iterable[Any] | str | None = None, *, websocket_urlpatterns: Iterable[Any] | None = None
) -> ProtocolTypeRouter:
    """Return the ASGI application of a site; a drop-in for Django's function of this name.

    `routes` are Channels routes, or the dotted path of a list of them, which is imported after
    Django is set up; by default those of `realtime.routing`. `websocket_urlpatterns` is another
    name for them. Handshakes of foreign origins do not reach them.
    """
    http = asgi.get_asgi_application()
    from .auth.origin import OriginCheck
    from .conf import config
    from .engine.bus.publisher import publisher
    from .engine.engine import Engine
    from .engine.servers.shutdown import raise_backlog
    from .over_http import PlainHttp

    publisher.is_server = True
    raise_backlog()
    found = _found(websocket_urlpatterns if routes is None else routes)
    _tune_collector(config().connections_per_process)

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        """Handle the lifespan events of servers other than Daphne."""
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{event['type']}.complete"})
        if (engine := Engine.here()) is not None:
            await engine.stop()
        await send({"type": "lifespan.shutdown.complete"})

    websocket = OriginCheck(BelowScriptName(URLRouter([*found, re_path("", cast(Any, _refuse))])))
    pages = PlainHttp(http, websocket)
    return ProtocolTypeRouter({"http": pages, "websocket": websocket, "lifespan": lifespan})


class BelowScriptName:
    """Removes the script name from a path as Django does, also if a proxy has removed it before."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the application with the rest of the path."""
        name, path = get_script_prefix(scope).rstrip("/"), scope["path"]
        rest = path.removeprefix(name) if path.startswith(f"{name}/") else path
        await self.application({**scope, "path_remaining": rest}, receive, send)


def _found(routes: Iterable[Any] | str | None) -> Iterable[Any]:
    if routes is None:
        routes = f"{__package__}.routing.websocket_urlpatterns"
    return cast(Iterable[Any], import_string(routes)) if isinstance(routes, str) else routes


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a handshake for a path without a route; the router would raise an exception."""
    from .auth.origin import refuse

    logger.warning("no WebSocket route for %r", scope["path"])
    await refuse(receive, send)


def _tune_collector(connections: int) -> None:
    """Tune the garbage collector: fewer objects, fewer collections (see docs/performance.md).

    The modules loaded by now are frozen, because to examine all of Django stops every connection
    for 50 ms. A server with thousands of connections creates as many objects at once, as Daphne
    does each second; that should not cause a collection of all connections. A site whose own
    threshold is higher, or 0, keeps it.
    """
    gc.collect()
    gc.freeze()
    young = max(YOUNG_OBJECTS, 2 * connections)
    if 0 < gc.get_threshold()[0] < young:
        gc.set_threshold(young, YOUNG_ROUNDS, MIDDLE_ROUNDS)
