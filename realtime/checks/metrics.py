"""Check the settings of `/realtime/metrics`."""

from importlib.util import find_spec
from inspect import iscoroutinefunction
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from .configured import configured

__all__ = ["check_metrics"]

WORDS = {"", "staff", "token"}


@register("realtime")
def check_metrics(**kwargs: Any) -> list[CheckMessage]:
    """Check that metrics have readers (E054), and that they can be made (E055)."""
    access, token = configured("metrics"), configured("metrics_token")
    found: list[CheckMessage] = []
    if access == "token" and not token:
        text, hint = 'METRICS is "token", but METRICS_TOKEN is empty.', "Set a long random token."
        found.append(Error(text, hint=hint, id="realtime.E054"))
    elif access not in WORDS and not _is_function(access):
        text = f"METRICS names {access!r}, which is no synchronous function to import."
        hint = 'Write "staff", "token", or the dotted path of a function that takes the request.'
        found.append(Error(text, hint=hint, id="realtime.E054"))
    if access and find_spec("prometheus_client") is None:
        text, hint = (
            "METRICS needs prometheus_client.",
            "Install django-channels-realtime[metrics].",
        )
        found.append(Error(text, hint=hint, id="realtime.E055"))
    return found


def _is_function(path: str) -> bool:
    try:
        found = import_string(path)
    except (ImportError, TypeError, ValueError):  # the last two for dots without names
        return False
    return callable(found) and not iscoroutinefunction(found)
