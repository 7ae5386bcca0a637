"""The kinds of frames, as a trace names them: never with what a client or user has written."""

import re
from typing import Any

import msgspec

from ...wire.codecs import Codec
from ...wire.decoder import Decoded
from ...wire.errors import CommandError

__all__ = ["INVALID", "UNKNOWN", "kind_of_command", "kinds_of_frame"]

UNKNOWN = "?"
"""The kind of a frame of the site that has no type."""
INVALID = "invalid"
"""The kind of what a client has sent that is no command."""
NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
"""What a type, the name of an event or the code of an error looks like."""


class _Head(msgspec.Struct):
    """The fields of a frame that say what it is."""

    type: Any = ""
    name: Any = ""
    code: Any = ""
    topic: Any = ""


_json = msgspec.json.Decoder(_Head).decode
_msgpack = msgspec.msgpack.Decoder(_Head).decode


def kind_of_command(decoded: Decoded) -> str:
    """Return the type of a command, or `INVALID`."""
    if isinstance(decoded, CommandError):
        return INVALID
    return str(type(decoded).__struct_config__.tag)


def kinds_of_frame(codec: Codec, frame: str | bytes, hidden: str) -> list[str]:
    """Return the kinds of the replies and events in a frame of the server.

    Those of topics whose name begins with `hidden` are left out.
    """
    if not codec.is_protocol:
        return ["text" if isinstance(frame, str) else "bytes"]
    heads = [_head(part) for part in codec.parts(frame)]
    return [_kind(one) for one in heads if not str(one.topic).startswith(hidden)]


def _head(part: Any) -> _Head:
    try:
        return _json(part) if isinstance(part, str) else _msgpack(part)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return _Head()


def _kind(head: _Head) -> str:
    kind = _named(head.type)
    match kind:
        case "event":
            return f"event {_named(head.name)}"
        case "error" | "removed":
            return f"{kind} {_named(head.code)}"
    return kind


def _named(value: object) -> str:
    return value if isinstance(value, str) and NAME.fullmatch(value) else UNKNOWN
