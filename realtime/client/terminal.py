"""Events for a terminal: as lines for people, or as JSON lines for programs."""

import os
import sys
import tempfile
from collections.abc import Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import msgspec

from ..logs import one_line
from ..wire.events import Changed, MessageEvent, Outgoing
from .stream import Reset
from .topic import TopicEvent

__all__ = ["bear_all_characters", "keep", "kept", "print_error", "print_json", "print_line"]


def print_json(event: object) -> None:
    """Print an event as one line of JSON, in UTF-8 and at once."""
    sys.stdout.buffer.write(msgspec.json.encode(_fields(event)) + b"\n")
    sys.stdout.buffer.flush()


def print_line(event: object) -> None:
    """Print an event for people, if it is one for them; control characters are shown as escapes."""
    if text := _text(event):
        sys.stdout.write(one_line(text) + "\n")
        sys.stdout.flush()


def print_error(text: str) -> None:
    """Print a line to stderr; a part of it may be of another user, so it is escaped as well."""
    sys.stderr.write(one_line(text) + "\n")


def bear_all_characters() -> None:
    """Let no character that is read or shown end the program."""
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


def kept(file: Path | None) -> dict[str, Any]:
    """Return the positions in a file; none if there is no file.

    Raises `ValueError` for a file with something else.
    """
    if file is None or not file.exists():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, int | str]])
    except msgspec.DecodeError as error:
        raise ValueError(f"{file} does not hold positions: {error}") from error


def keep(file: Path, positions: Mapping[str, Any]) -> None:
    """Replace the positions in a file; it always holds either the old or the new ones.

    Also after a power cut: without `fsync`, the new name may be on the disk before the content.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    with os.fdopen(handle, "wb") as temporary:
        temporary.write(msgspec.json.encode(positions))
        temporary.flush()
        os.fsync(handle)
    Path(name).replace(file)


def _fields(event: object) -> Any:
    match event:
        case Reset():
            return {"type": "reset", "missed": event.missed}
        case TopicEvent():
            fields = {"type": "event", "name": event.name, "data": event.data, "seq": event.seq}
            more: dict[str, Any] = {"key": event.key, "id": event.id, "at": event.at}
            more["deleted"] = event.is_deleted or None
            return fields | {name: value for name, value in more.items() if value is not None}
    return event


def _text(event: object) -> str:
    match event:
        case MessageEvent():
            return f"{event.created_at[11:16]} {event.username}: {_content(event)}"
        case Changed() if event.message.deleted:
            return f"(message {event.message.id} was deleted)"
        case Changed():
            return f"(changed) {event.message.username}: {_content(event.message)}"
        case Reset():
            return "(messages are missing here)"
        case TopicEvent():
            return msgspec.json.encode(_fields(event)).decode()
        case Outgoing():
            return ""
    return str(event)


def _content(message: Any) -> str:
    if message.content:
        return str(message.content)
    return "" if message.data is None else msgspec.json.encode(message.data).decode()
