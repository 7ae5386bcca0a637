"""Answer the health checks of load balancers, and give tickets to pages.

The views of plain HTTP only give an address to what `realtime.over_http` answers before Django.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST, require_safe

from .auth import tickets
from .conf import config
from .engine.bus.publisher import publisher
from .engine.engine import Engine
from .engine.health import takes_writes
from .engine.numbers import read
from .logs import get_logger
from .metrics import is_allowed, render
from .worker_numbers import all_numbers

__all__ = [
    "durable_stream",
    "live",
    "metrics",
    "over_http",
    "ready",
    "ticket",
]

logger = get_logger("realtime.serve")

View = TypeVar("View", bound=Callable[..., Any])
PLAIN = "text/plain; charset=utf-8"
NO_METRICS = _("There are no metrics here: set METRICS in the settings (docs/metrics.md).")
FORBIDDEN = _("The setting METRICS of this site does not let you read its metrics.")
UNREADABLE = _("The numbers of the workers cannot be read. See the log of the server.")
_WSGI = _("This site runs under WSGI. Serve it by an ASGI server: see docs/deploy.md.")
_ASGI_NEEDED = _(
    "Make the ASGI application of this site by realtime.asgi.get_asgi_application,"
    " or wrap Django's by realtime.over_http.PlainHttp: see docs/http.md."
)


def _outside_transactions(view: View) -> View:
    """Exclude a view from ATOMIC_REQUESTS of every database: Django refuses async views there."""
    for alias in connections:
        view = transaction.non_atomic_requests(alias)(view)
    return view


@login_not_required  # 403 tells a page more than a redirect to a login form
@never_cache
@require_POST
@csrf_protect
def ticket(request: HttpRequest) -> JsonResponse:
    """Issue a ticket to a logged-in user; 403 for others. Guests return by their own token."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return JsonResponse({"error": "not_authenticated"}, status=403)
    return JsonResponse({"ticket": tickets.issue_for(request), "expires_in": tickets.seconds()})


@_outside_transactions
@login_not_required
@never_cache
@csrf_exempt
def over_http(request: HttpRequest, socket: str = "") -> JsonResponse:
    """Say what is wrong with a request of protocol v1 that has come as far as this view.

    `realtime.over_http` answers such requests before Django; the view gives them their address, and
    that of the socket to connect them with.
    """
    status, code, message = _fault_of(request)
    return _refusal(status, code, message, {"Allow": "POST"} if status == 405 else {})


@_outside_transactions
@login_not_required
@never_cache
@csrf_exempt
def durable_stream(request: HttpRequest, kind: str, name: str, socket: str = "") -> JsonResponse:
    """Say what is wrong with a read of a durable stream that has come as far as this view."""
    status, message = 501, _ASGI_NEEDED if hasattr(request, "scope") else _WSGI
    if request.method not in ("GET", "HEAD"):
        status, message = 405, _("Streams are read by GET; the site's code writes them.")
    code = "unsupported" if status == 501 else "invalid_message"
    return _refusal(status, code, message, {"Allow": "GET, HEAD"})


def _refusal(status: int, code: str, message: object, headers: dict[str, str]) -> JsonResponse:
    error = {"type": "error", "code": code, "message": message, "retryable": False}
    return JsonResponse(error, status=status, headers=headers)


def _fault_of(request: HttpRequest) -> tuple[int, str, object]:
    if request.method != "POST":
        return 405, "invalid_message", _("Send the commands by POST.")
    if request.content_type != "application/x-ndjson":
        return 415, "invalid_message", _("Send the commands as application/x-ndjson.")
    return 501, "unsupported", _ASGI_NEEDED if hasattr(request, "scope") else _WSGI


@_outside_transactions
@login_not_required
@never_cache
async def live(request: HttpRequest) -> JsonResponse:
    """Answer 200: the event loop is running."""
    return JsonResponse({"status": "ok"})


@_outside_transactions
@login_not_required
@never_cache
async def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if the process accepts new clients, 503 while it stops, drains or cannot write.

    It can write if the database accepts writes, and the last renewal of the lease succeeded.

    An unavailable Redis is reported, but it is no reason for a 503: every process uses the same
    one, and messages are still delivered through the database.
    """
    # A server process starts its engine for this, because the engine has threads of its own.
    engine = await Engine.current() if publisher.is_server else Engine.here()
    report = {
        "status": "ok",
        "database": await takes_writes(engine),
        "layer": engine is None or not engine.hub.layer.is_away,
        "connections": 0 if engine is None else len(engine.connections),
    }
    if engine is not None and not engine.takes_clients:
        report["status"] = "stopping" if engine.is_stopping else "draining"
    elif not report["database"]:
        report["status"] = "unavailable"
    return JsonResponse(report, status=200 if report["status"] == "ok" else 503)


@_outside_transactions
@login_not_required
@never_cache
@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """Show the numbers of this process to Prometheus, if `METRICS` lets the request read them.

    A worker of `realtime_serve` shows those of all workers.
    """
    if not config().metrics:
        return HttpResponse(NO_METRICS, status=404, content_type=PLAIN)
    if not await sync_to_async(is_allowed)(request):
        return HttpResponse(FORBIDDEN, status=403, content_type=PLAIN)
    engine = await Engine.current() if publisher.is_server else Engine.here()
    try:
        found = await sync_to_async(all_numbers, thread_sensitive=False)(read(engine))
    except (OSError, ValueError):
        logger.exception("the numbers of the workers cannot be read")
        return HttpResponse(UNREADABLE, status=503, content_type=PLAIN)
    text, content_type = render(found, request.headers.get("Accept", ""))
    return HttpResponse(text, content_type=content_type)
