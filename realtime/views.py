"""Answer the health checks of load balancers (`live`, `ready`), and issue tickets to pages."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import get_script_prefix
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST

from .auth import tickets
from .engine.bus.publisher import publisher
from .engine.engine import Engine
from .store.database.alias import database
from .store.database.servers import is_writable, on_working_server

__all__ = ["live", "ready", "socket_path", "ticket"]

View = TypeVar("View", bound=Callable[..., Any])
DATABASE_SECONDS = 2.0


def _outside_transactions(view: View) -> View:
    """Keep a view out of ATOMIC_REQUESTS of every database: Django refuses async views there."""
    for alias in connections:
        view = transaction.non_atomic_requests(alias)(view)
    return view


def socket_path() -> str:
    """The path at which a page finds the socket: where the site lives, as for `reverse`."""
    return f"{get_script_prefix()}ws/"


@login_not_required  # 403 tells a page more than a redirect to a login form
@never_cache
@require_POST
@csrf_protect
def ticket(request: HttpRequest) -> JsonResponse:
    """A ticket for whoever is logged in; 403 for others. Guests come back by their own token."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return JsonResponse({"error": "not_authenticated"}, status=403)
    return JsonResponse({"ticket": tickets.issue_for(request), "expires_in": tickets.seconds()})


@_outside_transactions
@login_not_required
@never_cache
async def live(request: HttpRequest) -> JsonResponse:
    """200: the event loop turns."""
    return JsonResponse({"status": "ok"})


@_outside_transactions
@login_not_required
@never_cache
async def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if new clients are welcome, 503 while the process ends or cannot write.

    It can write if the database takes writes, and took the last renewal of the lease.

    A Redis that is away is told, but no reason to send anybody elsewhere: every process has the
    same one, and messages go on through the database.
    """
    # In a server the engine is asked, and started if need be: its threads are in nobody's way.
    engine = await Engine.current() if publisher.is_server else Engine.here()
    told = {
        "status": "ok",
        "database": await _takes_writes(engine),
        "layer": engine is None or not engine.hub.layer.is_away,
        "connections": 0 if engine is None else len(engine.connections),
    }
    if engine is not None and engine.is_stopping:
        told["status"] = "stopping"
    elif not told["database"]:
        told["status"] = "unavailable"
    return JsonResponse(told, status=200 if told["status"] == "ok" else 503)


async def _takes_writes(engine: Engine | None) -> bool:
    if engine is not None and not engine.is_current:
        return False
    ask: Any = sync_to_async(_ask) if engine is None else lambda: engine.db.read(_ask)
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            return bool(await ask())
    except (DatabaseError, TimeoutError):
        return False


@on_working_server
def _ask() -> bool:
    return is_writable(database())
