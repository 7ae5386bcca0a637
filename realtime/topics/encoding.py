"""Encode the events and replies of a site as JSON, and decode what is stored to events."""

from typing import Any, TypeVar

import msgspec
from django.utils.functional import Promise

from ..wire.clean import clean_data
from ..wire.errors import CommandError, ErrorCode
from .structs import EventTooLarge, InvalidEvent

__all__ = ["MAX_EVENT_BYTES", "data_of", "event_of", "fault_of", "text_of"]

MAX_EVENT_BYTES = 64 * 1024
S = TypeVar("S", bound=msgspec.Struct)


def text_of(event: msgspec.Struct, most: int = MAX_EVENT_BYTES) -> str:
    """Return the fields of an event as JSON text of at most so many bytes.

    Raises `InvalidEvent` if a field does not have the type of its annotation.
    """
    text = msgspec.json.encode(data_of(event, most))
    if len(text) > most:
        raise EventTooLarge(f"{_name(event)} has {len(text):,} bytes as JSON: at most {most:,}.")
    return text.decode()


def data_of(event: msgspec.Struct, most: int = MAX_EVENT_BYTES) -> dict[str, Any]:
    """Return the fields of an event as JSON values. Raises what `text_of` raises."""
    try:
        data = msgspec.to_builtins(event, str_keys=True, enc_hook=_plain)
        clean_data(data, most)
        # A struct accepts any value: decode it once, as each client does.
        valid = msgspec.convert(data, type(event), str_keys=True)
    except CommandError as error:
        kind = EventTooLarge if error.code == ErrorCode.TOO_LARGE else InvalidEvent
        raise kind(f"{_name(event)} cannot be published. {error.message}") from None
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"{_name(event)} cannot be published: {error}.") from error
    found: dict[str, Any] = msgspec.to_builtins(valid, str_keys=True)
    return found


def event_of(text: str | bytes, struct: type[S]) -> S:
    """Return a stored event as the struct that it has today. Raises `msgspec.ValidationError`."""
    return msgspec.json.decode(text, type=struct)


def fault_of(struct: type[msgspec.Struct]) -> str:
    """Return why values of a struct cannot be JSON, because of the types of its fields; or ''."""
    try:
        msgspec.json.schema(struct)
    except (TypeError, NameError) as error:
        return str(error).splitlines()[-1]
    return ""


def _plain(value: Any) -> Any:
    """Return a value that msgspec does not know as one that it knows, as Django's encoder does."""
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, str):  # a subclass, such as `SafeString`
        return str.__str__(value)
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    raise TypeError(f"a value of the type {type(value).__name__} is not JSON")


def _name(event: msgspec.Struct) -> str:
    return type(event).__qualname__
