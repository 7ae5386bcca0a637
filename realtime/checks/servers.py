"""Checks of the ASGI application and of `runserver`."""

from collections.abc import Iterator
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.handlers.asgi import ASGIHandler
from django.core.management import get_commands
from django.utils.module_loading import import_string

__all__ = ["check_asgi", "check_runserver"]

PLAIN = {"django.core", "django.contrib.staticfiles"}
"""The apps whose `runserver` serves no sockets."""
HELPER = "In the ASGI file, import get_asgi_application from realtime.asgi instead of django.core."


@register("realtime")
def check_asgi(**kwargs: Any) -> list[CheckMessage]:
    """Check that the ASGI application can be imported (E016), and serves sockets (W015)."""
    return list(_asgi(getattr(settings, "ASGI_APPLICATION", None)))


def _asgi(path: Any) -> Iterator[CheckMessage]:
    if not path:
        text = "ASGI_APPLICATION is not set: runserver serves no sockets."
        hint = f'Set ASGI_APPLICATION = "mysite.asgi.application". {HELPER}'
        yield CheckWarning(text, hint=hint, id="realtime.W015")
        return
    try:
        application = import_string(path)
    except Exception as error:  # of any kind, from a site's module
        text = f"ASGI_APPLICATION is {path!r}, which cannot be imported."
        yield Error(text, hint=f"{type(error).__name__}: {error}", id="realtime.E016")
        return
    if not _may_serve_sockets(application):
        text = f"ASGI_APPLICATION is {path!r}, which serves no sockets."
        yield CheckWarning(text, hint=HELPER, id="realtime.W015")


def _may_serve_sockets(application: Any) -> bool:
    """Return False for an application that surely serves no sockets; wrappers are not examined."""
    if isinstance(application, ProtocolTypeRouter):
        return "websocket" in application.application_mapping
    return callable(application) and not isinstance(application, ASGIHandler)


@register("realtime")
def check_runserver(**kwargs: Any) -> list[CheckMessage]:
    """Check that `runserver` serves sockets (W016); only with DEBUG, when it is likely used."""
    is_late = "daphne" in settings.INSTALLED_APPS  # E003 reports its position
    if not settings.DEBUG or is_late or get_commands().get("runserver") not in PLAIN:
        return []
    text = "runserver serves no sockets: daphne is not in INSTALLED_APPS."
    hint = (
        'Run "pip install daphne" and put "daphne" first into INSTALLED_APPS, or start the '
        "site with another ASGI server and silence this."
    )
    return [CheckWarning(text, hint=hint, id="realtime.W016")]
