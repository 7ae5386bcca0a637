"""The one ASGI helper: HTTP by Django, WebSockets by the consumers, behind the origin check."""

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
"""How many come to be, more than go, before the youngest are looked at."""
YOUNG_ROUNDS, MIDDLE_ROUNDS = 2, 2
"""How many rounds of one kind make one of the next; the last looks at all that there is."""


def get_asgi_application(
    routes: Iterable[Any] | str | None = None, *, websocket_urlpatterns: Iterable[Any] | None = None
) -> ProtocolTypeRouter:
    """Make a site's ASGI application; a drop-in for Django's function of the same name.

    `routes` are Channels routes, or the dotted path of a list of them, which is imported once
    Django is set up; by default those of `realtime.routing`. `websocket_urlpatterns` is another
    name for them. Pages of foreign origins do not reach them.
    """
    http = asgi.get_asgi_application()
    from .auth.origin import OriginCheck
    from .conf import config
    from .engine.bus.publisher import publisher
    from .engine.engine import Engine
    from .engine.servers.shutdown import raise_backlog

    publisher.is_server = True
    raise_backlog()
    found = _found(websocket_urlpatterns if routes is None else routes)
    _tune_collector(config().connections_per_process)

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        """What servers other than Daphne tell of their beginning and end."""
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{event['type']}.complete"})
        if (engine := Engine.here()) is not None:
            await engine.stop()
        await send({"type": "lifespan.shutdown.complete"})

    websocket = OriginCheck(BelowScriptName(URLRouter([*found, re_path("", cast(Any, _refuse))])))
    return ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})


class BelowScriptName:
    """Cut the script name off a path as Django does for pages, also where a proxy has cut it."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the rest of the path on."""
        name, path = get_script_prefix(scope).rstrip("/"), scope["path"]
        rest = path.removeprefix(name) if path.startswith(f"{name}/") else path
        await self.application({**scope, "path_remaining": rest}, receive, send)


def _found(routes: Iterable[Any] | str | None) -> Iterable[Any]:
    if routes is None:
        routes = f"{__package__}.routing.websocket_urlpatterns"
    return cast(Iterable[Any], import_string(routes)) if isinstance(routes, str) else routes


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a handshake for a path without a route; the router would end it with an error."""
    from .auth.origin import refuse

    logger.warning("no WebSocket route for %r", scope["path"])
    await refuse(receive, send)


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
