"""The origin check: only pages of the site may open a socket in a browser.

A WebSocket handshake carries the user's cookies from any page (RFC 6455, section 10.2), so
the `Origin` that the browser adds must be an allowed one.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from ..conf import config
from ..counts import counts
from ..logs import get_logger
from .address import address_of
from .handshake import hide_token
from .request import HandshakeRequest

__all__ = ["IS_ALLOWED", "OriginCheck", "admit", "is_allowed", "refuse"]

ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE)
logger = get_logger("realtime.origin")

REFUSED = "handshake from the origin %(origin)s refused; see ALLOWED_ORIGINS"
PORTS = {"http": "80", "https": "443"}

IS_ALLOWED = "realtime.origin"
"""The key of a scope that holds the result of the check."""

Application = Callable[[Any, Any, Any], Awaitable[None]]


class OriginCheck:
    """Refuses handshakes from foreign pages, before the application is called."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if admit(scope):
            await self.application(scope, receive, send)
        else:
            await refuse(receive, send)


def admit(scope: dict[str, Any]) -> bool:
    """Return whether a handshake may continue; decided once, however many callers there are.

    Also removes the token, while the scope is still the object from which the server logs.
    """
    if IS_ALLOWED not in scope:
        hide_token(scope)
        scope[IS_ALLOWED] = is_allowed(scope)
        if not scope[IS_ALLOWED]:
            logger.warning(REFUSED, _described(scope))
    return bool(scope[IS_ALLOWED])


async def refuse(receive: Any, send: Any) -> None:
    """Refuse a handshake before it is accepted."""
    counts.refused["origin"] += 1
    await receive()
    await send({"type": "websocket.close"})


def is_allowed(scope: dict[str, Any]) -> bool:
    """Return whether the `Origin` of a handshake is this host or a listed one.

    A client without the header is no browser; it is allowed unless `REQUIRE_ORIGIN` is set.
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


def _described(scope: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the line about a refused handshake."""
    return {
        "origin": _headers(scope, b"origin"),
        "address": address_of(scope),
        "request_id": ", ".join(_headers(scope, b"x-request-id")),
    }


def _is_listed(origin: str, listed: str) -> bool:
    if "://*." not in listed:
        return _full(origin) == _full(listed)
    # As in CSRF_TRUSTED_ORIGINS: https://*.example.com is every subdomain.
    scheme, _, domain = listed.partition("://*")
    match = ORIGIN.fullmatch(origin)
    return match is not None and origin.startswith(f"{scheme}://") and origin.endswith(domain)


def _full(origin: str) -> str:
    """Return an origin with its port, if it has a known one."""
    match = ORIGIN.fullmatch(origin)
    if match is None:
        return origin
    scheme, host, port = match.groups()
    return f"{scheme}://{host}:{port or PORTS[scheme]}"


def _is_own(scope: dict[str, Any], scheme: str, host: str, port: str | None) -> bool:
    request = HandshakeRequest(scope)
    scheme = scheme.lower()
    # A proxy that terminates TLS may not report it: without signs of TLS, both are allowed.
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
