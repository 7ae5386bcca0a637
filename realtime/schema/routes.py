"""Find the consumers of a site in the routes of its ASGI application."""

from collections.abc import Iterator
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .. import routing
from ..consumers import Consumer

__all__ = ["consumer_named", "routed"]

INNER = ("application", "inner", "app")
"""The attributes in which middleware keeps the application that it wraps."""
PLAIN_PATH = str.maketrans({"^": "", "$": "", "?": "", "\\": ""})


def routed() -> Iterator[tuple[str, type[Consumer]]]:
    """Yield the path and the class of each consumer of this package that has a route.

    Without `ASGI_APPLICATION`, these are the routes of the package. Raises `ImproperlyConfigured`
    if the application cannot be imported.
    """
    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name:
        yield from _found(URLRouter(routing.websocket_urlpatterns), "/")
        return
    try:
        application = import_string(name)
    except ImportError as error:
        fault = f"ASGI_APPLICATION = {name!r} cannot be imported: {error}"
        raise ImproperlyConfigured(f"{fault}. Correct the setting.") from error
    yield from _found(application, "/")


def consumer_named(name: str) -> type[Consumer]:
    """Return the consumer class with a dotted path. Raises `ImproperlyConfigured`."""
    try:
        found = import_string(name)
    except ImportError as error:
        raise ImproperlyConfigured(f"{name!r} cannot be imported: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Consumer)):
        fault = f"{name!r} is not a subclass of `realtime.consumers.Consumer`"
        raise ImproperlyConfigured(f"{fault}. Only these have a schema.")
    return found


def _found(application: Any, path: str) -> Iterator[tuple[str, type[Consumer]]]:
    """Walk through routers and middleware; an application of unknown shape has no consumers."""
    consumer = _consumer_of(application)
    if consumer is not None:
        yield path, consumer
    elif isinstance(application, ProtocolTypeRouter):
        yield from _found(application.application_mapping.get("websocket"), path)
    elif isinstance(application, URLRouter):
        for route in application.routes:
            yield from _found(route.callback, path + _path_of(route.pattern))
    else:
        inner = (getattr(application, name, None) for name in INNER)
        for one in inner:
            if one is not None:
                yield from _found(one, path)


def _consumer_of(application: Any) -> type[Consumer] | None:
    if application is routing.chat:
        application = routing.prepare()
    found = getattr(application, "consumer_class", None)
    is_ours = isinstance(found, type) and issubclass(found, Consumer)
    return found if is_ours else None


def _path_of(pattern: Any) -> str:
    """Return a route as people write it: that of the package is `ws/`."""
    return str(pattern).translate(PLAIN_PATH)
