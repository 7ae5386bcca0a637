"""Settings of the package as checks may read them, also where they are broken."""

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
    """Say what a value should have been; empty if it is."""
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
    """Return a setting, or its default where the settings are broken, which E001 and E007 tell."""
    is_dict = isinstance(getattr(settings, "REALTIME", {}), dict)
    value = getattr(config() if is_dict else Config(), name)
    field = next(field for field in fields(Config) if field.name == name)
    if not missed(value, field.type, name):
        return value
    return getattr(Config(), name)
