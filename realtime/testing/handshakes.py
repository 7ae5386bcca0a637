"""The scope of a handshake, as a server makes it from the request of a client."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.utils.module_loading import import_string

from ..asgi import get_asgi_application

__all__ = ["Handshake", "application_of_site"]

HOST = "testserver"
PORTS = 50_000


class Handshake:
    """What a client sends to connect; it can be sent again, with another token."""

    def __init__(
        self,
        path: str,
        encoding: str,
        *,
        user: Any = None,
        token: str | None = None,
        cookies: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> None:
        self.subprotocol = f"realtime.v1.{encoding}"
        self.token = token
        self._path, _, self._query = path.partition("?")
        self._headers = {"host": HOST, "origin": f"http://{HOST}"}
        if cookies:
            self._headers["cookie"] = "; ".join(_cookie(*pair) for pair in cookies.items())
        self._headers |= {name.lower(): value for name, value in (headers or {}).items()}
        self._more = dict(scope or {}) | ({} if user is None else {"user": user})

    def scope(self) -> dict[str, Any]:
        """Return the scope of one connection, which the application may change."""
        headers = self._headers
        if self.token is not None:
            headers = {**headers, "authorization": f"Bearer {self.token}"}
        return {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": self._query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin1")) for name, value in headers.items()],
            "client": ["127.0.0.1", PORTS],
            "server": [HOST, 80],
            "subprotocols": [self.subprotocol],
            **self._more,
        }


def application_of_site() -> Any:
    """Return the site's own application (`ASGI_APPLICATION`), else that of the package."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    # Django configures logging whenever an ASGI application is made. In a test, that would take the
    # handlers away by which the test reads the log.
    with patch("django.utils.log.configure_logging"):
        return import_string(name) if name else _application_of_package()


@cache
def _application_of_package() -> Any:
    return get_asgi_application()


def _cookie(name: str, value: Any) -> str:
    return f"{name}={getattr(value, 'value', value)}"
