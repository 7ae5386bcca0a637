"""The structs of topics: events that many clients receive, and commands that a client sends."""

import re
from typing import Any, ClassVar, dataclass_transform

import msgspec
from msgspec import Struct, StructMeta

from ..wire.tags import snake

__all__ = ["Command", "Event", "EventTooLarge", "InvalidEvent", "Named"]

NAME = re.compile(r"[\w.:-]{1,64}")


class InvalidEvent(ValueError):  # noqa: N818 - a site catches it by what it says
    """An event cannot be published: a field has a wrong value, or the event is too large."""


class EventTooLarge(InvalidEvent):
    """An event has more bytes than may be sent."""


class Naming(StructMeta):
    """Gives structs the name that they have on the wire: their class name in snake case, or `name`.

    The name is not a field, so that a field may have any name.
    """

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        **config: Any,
    ) -> "Naming":
        """Make the class of a struct."""
        for option in ("tag", "tag_field", "array_like"):
            if option in config:
                fault = f"{class_name} must not have `{option}`: its fields are an object in `data`"
                raise TypeError(f"{fault}. To choose its name, write `name=…`.")
        wire_name = snake(class_name) if name is None else name
        if not NAME.fullmatch(wire_name):
            fault = f"{class_name} has the name {wire_name!r}"
            write = "write 1 to 64 letters, digits, or any of `_.:-`"
            raise TypeError(f"{fault}: {write}.")
        struct = super().__new__(mcls, class_name, bases, namespace, **config)
        struct.__wire_name__ = wire_name  # type: ignore[attr-defined]
        return struct


@dataclass_transform(field_specifiers=(msgspec.field,))
class Named(Struct, metaclass=Naming):
    """A struct with a name on the wire."""

    __wire_name__: ClassVar[str]


class Event(Named):
    """The base of a site's events. Its fields are validated when it is published.

    Fields may be text, numbers, booleans, dates, times, decimals, UUIDs, enums, None, and lists,
    dictionaries and structs of these. The name on the wire is the class name in snake case; to
    choose another one, write `class Paid(Event, name="order.paid")`.
    """


class Command(Named):
    """The base of the commands of topics. A method marked `@command` handles each."""
