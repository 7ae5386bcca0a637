"""Settings for the checks, which must work with invalid settings too."""

from dataclasses import fields
from typing import Any

from django.conf import settings

from ..conf import Config, config
from .ranges import missed_range

__all__ = ["configured", "missed"]

KINDS: dict[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("True or False", (bool,)),
    str: ("a string", (str,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    list[str]: ("a list of strings", (list, tuple)),
    dict[str, Any]: ("a dict with strings as keys", (dict,)),
}


def missed(value: Any, kind: Any, name: str) -> str:
    """Return what a value should be; empty if it is valid."""
    wanted, types = KINDS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        return wanted
    if isinstance(value, (list, tuple)) and not all(isinstance(item, str) for item in value):
        return wanted
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        return wanted
    if isinstance(value, (int, float)) and kind is not bool:
        return f"{wanted} {allowed}" if (allowed := missed_range(value, name)) else ""
    return ""


def configured(name: str) -> Any:
    """Return a setting, or its default if it is invalid, which E001 and E007 report."""
    is_dict = isinstance(getattr(settings, "REALTIME", {}), dict)
    value = getattr(config() if is_dict else Config(), name)
    field = next(field for field in fields(Config) if field.name == name)
    if not missed(value, field.type, name):
        return value
    return getattr(Config(), name)
