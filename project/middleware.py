"""Middleware of the demo: static files, and a strict content security policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        # Older Safari does not count WebSockets as 'self'.
        "connect-src 'self' ws://{host} wss://{host}",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Forbid inline code, and files of other origins."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        host = request.get_host()
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY.format(host=host))
        return response

    return respond


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise without `collectstatic`, and under ASGI."""

    def add_files(self, root: str, prefix: str | None = None) -> None:
        """Ignore a folder that does not exist."""
        if Path(root).is_dir():
            super().add_files(root, prefix)

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponseBase:
        """Send a file in one piece: Django warns about a file that is streamed under ASGI."""
        streamed: Any = WhiteNoiseMiddleware.serve(static_file, request)
        whole = HttpResponse(b"".join(streamed), status=streamed.status_code)
        whole.headers = streamed.headers
        streamed.close()
        return whole
