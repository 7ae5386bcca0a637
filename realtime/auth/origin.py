"""Only the site's own pages may open a socket in a browser's name.

A WebSocket handshake carries the user's cookies from any page (RFC 6455, section 10.2), so
the `Origin` that the browser adds has to be one of ours.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from ..conf import config
from ..logs import get_logger
from .handshake import hide_token
from .request import HandshakeRequest

__all__ = ["OriginCheck", "admit", "is_allowed", "refuse"]

ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE)
logger = get_logger("realtime.origin")

PORTS = {"http": "80", "https": "443"}

JUDGED = "realtime.origin"
"""The key of a scope that says whether its origin was found to be allowed."""

Application = Callable[[Any, Any, Any], Awaitable[None]]


class OriginCheck:
    """Refuses handshakes from foreign pages; what it wraps never sees them."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if admit(scope):
            await self.application(scope, receive, send)
        else:
            await refuse(receive, send)


def admit(scope: dict[str, Any]) -> bool:
    """Whether a handshake may go on; judged once, however many places ask.

    Also takes the token out of the scope, while that is still the server's own, from which it logs.
    """
    if JUDGED not in scope:
        hide_token(scope)
        scope[JUDGED] = is_allowed(scope)
        if not scope[JUDGED]:
            origin = _headers(scope, b"origin")
            logger.warning("a page of %s may not connect; see ALLOWED_ORIGINS", origin)
    return bool(scope[JUDGED])


async def refuse(receive: Any, send: Any) -> None:
    """Refuse a handshake before it is accepted."""
    await receive()
    await send({"type": "websocket.close"})


def is_allowed(scope: dict[str, Any]) -> bool:
    """Whether a handshake's `Origin` is this host's own or a listed one.

    A client that sends none is no browser; it is let in unless `REQUIRE_ORIGIN` is set.
    """
    origins = _headers(scope, b"origin")
    if not origins:
        return not config().require_origin
    if len(origins) > 1:
        return False
    [origin] = origins
    listed = [*config().allowed_origins, *settings.CSRF_TRUSTED_ORIGINS]
    if any(_is_listed(origin.lower(), one.lower().rstrip("/")) for one in listed):
        return True
    match = ORIGIN.fullmatch(origin)
    return match is not None and _is_own(scope, *match.groups())


def _is_listed(origin: str, listed: str) -> bool:
    if "://*." not in listed:
        return _full(origin) == _full(listed)
    # As in CSRF_TRUSTED_ORIGINS: https://*.example.com is every subdomain.
    scheme, _, domain = listed.partition("://*")
    match = ORIGIN.fullmatch(origin)
    return match is not None and origin.startswith(f"{scheme}://") and origin.endswith(domain)


def _full(origin: str) -> str:
    """An origin with its port, where it has a known one."""
    match = ORIGIN.fullmatch(origin)
    if match is None:
        return origin
    scheme, host, port = match.groups()
    return f"{scheme}://{host}:{port or PORTS[scheme]}"


def _is_own(scope: dict[str, Any], scheme: str, host: str, port: str | None) -> bool:
    request = HandshakeRequest(scope)
    scheme = scheme.lower()
    # A proxy that ends TLS may not have told us so: of a site without TLS both are possible.
    if scheme == "http" and (request.is_secure() or settings.SECURE_SSL_REDIRECT):
        return False
    own_host = request.own_host
    own = ORIGIN.fullmatch(f"{scheme}://{own_host}") if own_host else None
    if own is None:
        return False
    default = PORTS[scheme]
    return (own[2], own[3] or default) == (host.lower(), port or default)


def _headers(scope: dict[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin1") for key, value in scope.get("headers", []) if key == name]
