"""A handshake as Django's request, to read host and scheme as for a page."""

from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

__all__ = ["HandshakeRequest"]

SCHEMES = {"ws": "http", "wss": "https"}
FORWARDED = ("HTTP_HOST", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT")


class HandshakeRequest(HttpRequest):
    """The part of Django's request on which the host and the scheme of a handshake depend.

    So repeated headers, trusted proxies and a dot at the end of a host are handled as for pages.
    Only the headers needed for that are read, because each handshake makes one.
    """

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        server = scope.get("server") or ("unknown", 0)
        self.META = {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1])}
        ssl = settings.SECURE_PROXY_SSL_HEADER
        for key in (*FORWARDED, ssl[0]) if ssl else FORWARDED:
            name = key.removeprefix("HTTP_").replace("_", "-").lower().encode("latin1")
            if found := [value for header, value in scope.get("headers", ()) if header == name]:
                self.META[key] = b",".join(found).decode("latin1")

    @property
    def own_host(self) -> str | None:
        """Return the host in the request, in lower case; None if the site does not allow it."""
        try:
            return self.get_host().lower()
        except DisallowedHost:
            return None

    def _get_scheme(self) -> str:
        return SCHEMES.get(self.scope.get("scheme") or "ws", "http")
