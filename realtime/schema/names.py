"""The names of structs and classes in a schema: each name stands for one of them.

The names of the protocol are fixed. A class of the site that has the name of another one gets the
name of its app before its own, and if that is not enough that of its module.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final

from django.apps import apps

from ..wire.commands import Command

__all__ = ["names_of"]

PROTOCOL = f"{Command.__module__.rpartition('.')[0]}."
RESERVED: Final = frozenset({"Site"})
"""The name that the TypeScript document itself has."""


def names_of(classes: Iterable[Any]) -> dict[Any, str]:
    """Return a name for each class; it does not depend on the order of the classes."""
    found = sorted(dict.fromkeys(classes), key=_full_name)
    names = {one: _protocol_name(one) for one in found if _is_protocol(one)}
    taken = RESERVED | set(names.values())
    rest = [one for one in found if one not in names]
    for name in (_own_name, _app_name, _full_name):
        rest = _settle(rest, name, names, taken)
        taken |= set(names.values())
    for one in rest:
        candidates = (f"{_camel(_full_name(one))}{number}" for number in count(2))
        names[one] = next(name for name in candidates if name not in taken)
        taken |= {names[one]}
    return names


def _settle(
    classes: list[Any], name: Callable[[Any], str], names: dict[Any, str], taken: frozenset[str]
) -> list[Any]:
    """Name the classes whose name is unique; return the others."""
    own = {one: _camel(name(one)) for one in classes}
    numbers = Counter(own.values())
    for one, wanted in own.items():
        if numbers[wanted] == 1 and wanted not in taken:
            names[one] = wanted
    return [one for one in classes if one not in names]


def _is_protocol(one: Any) -> bool:
    return str(one.__module__).startswith(PROTOCOL)


def _protocol_name(one: Any) -> str:
    is_command = isinstance(one, type) and issubclass(one, Command)
    return f"{one.__name__}Command" if is_command else str(one.__name__)


def _own_name(one: Any) -> str:
    """Return the name of a class; a generic one has the names of its parameters behind its own."""
    origin = getattr(one, "__origin__", None)
    if origin is None:
        return str(one.__name__)
    return "_".join((origin.__name__, *(getattr(part, "__name__", "") for part in one.__args__)))


def _app_name(one: Any) -> str:
    config = apps.get_containing_app_config(one.__module__)
    label = config.label if config else one.__module__.partition(".")[0]
    return f"{label}.{_own_name(one)}"


def _full_name(one: Any) -> str:
    place = getattr(one, "__qualname__", "").replace("<locals>", "")
    return f"{one.__module__}.{place or _own_name(one)}"


def _camel(name: str) -> str:
    """Return an identifier: `shop.topics.Paid` is `ShopTopicsPaid`."""
    words = [word for word in re.split(r"[^0-9a-zA-Z]+", name) if word]
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined and not joined[0].isdigit() else f"T{joined}"
