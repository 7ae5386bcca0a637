"""System checks: what a site should hear before its users do."""

from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from .conf import known_keys

__all__ = ["check_settings"]


@register("realtime")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """`REALTIME` is a dict that only has known keys (realtime.E001, realtime.E002)."""
    given = getattr(settings, "REALTIME", {})
    if not isinstance(given, dict):
        return [Error("REALTIME must be a dict.", id="realtime.E001")]
    return [_unknown(key) for key in given if key not in known_keys()]


def _unknown(key: Any) -> CheckMessage:
    near = get_close_matches(str(key).upper(), known_keys(), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known_keys())}."
    return Error(f"REALTIME has an unknown key {key!r}.", hint=hint, id="realtime.E002")
