"""The route of the package's socket: `/ws` or `/ws/`, below the site's script name.

This module can be imported before Django is set up, as `django.urls` can.
"""

from functools import cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.urls.resolvers import RegexPattern, URLPattern

__all__ = ["chat", "websocket_urlpatterns"]


class SocketPattern(RegexPattern):
    """A route that also matches if the proxy leaves `FORCE_SCRIPT_NAME` in the path.

    Django removes that from the path of a page; the router of Channels knows only `root_path`.
    """

    def match(self, path: str) -> Any:
        """Match a path without its leading slash."""
        name = (settings.FORCE_SCRIPT_NAME or "").strip("/")
        return super().match(path.removeprefix(f"{name}/") if name else path)


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """Run the consumer of the package as an ASGI application."""
    await prepare()(scope, receive, send)


@cache
def prepare() -> Any:
    """Load the consumer; it needs Django's models."""
    from .consumers import ChatConsumer

    return ChatConsumer.as_asgi()


websocket_urlpatterns = [URLPattern(SocketPattern(r"^ws/?$", is_endpoint=True), chat)]
if apps.ready:  # otherwise `AppConfig.ready` does it; no client should wait for the import
    prepare()
