"""What a client has asked for by its handshake."""

from typing import Any

from django.http import QueryDict
from django.utils.datastructures import CaseInsensitiveMapping

from .one_way import SENDER, OneWay

__all__ = ["Request"]


class Request:
    """The path, headers and parameters of a handshake, read from its ASGI scope."""

    __slots__ = ()

    _scope: dict[str, Any]

    @property
    def path(self) -> str:
        """The path of the socket."""
        return str(self._scope.get("path", ""))

    @property
    def parameters(self) -> dict[str, Any]:
        """The converted values of the route, as the arguments of a Django view."""
        return dict(self._scope.get("url_route", {}).get("kwargs", {}))

    @property
    def one_way(self) -> OneWay | None:
        """How long the connection lasts if its client sends one frame only; None for a socket."""
        return OneWay.of(self._scope)

    @property
    def sender(self) -> str:
        """The connection that gets the events of the same client; empty if it is this one."""
        return str(self._scope.get(SENDER, ""))

    @property
    def query(self) -> QueryDict:
        """The query of the URL, without a token."""
        return QueryDict(self._scope.get("query_string", b""))

    @property
    def request_id(self) -> str:
        """The id of the request that has opened the page, or of the handshake; empty if unknown."""
        found = self.query.get("request_id") if self._scope.get("query_string") else None
        return str(found or self.headers.get("X-Request-ID", ""))

    @property
    def headers(self) -> CaseInsensitiveMapping[str]:
        """The headers; several ones of a name are joined by a comma."""
        found: dict[str, str] = {}
        for key, value in self._scope.get("headers", []):
            name, text = key.decode("latin1"), value.decode("latin1")
            found[name] = f"{found[name]}, {text}" if name in found else text
        return CaseInsensitiveMapping(found)
