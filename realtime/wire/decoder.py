"""Decode the commands of one consumer, from JSON and from MessagePack."""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeGuard, Union, get_args

import msgspec

from .clean import MAX_INTEGER, clean, refuse_duplicates, refuse_many
from .commands import TOPIC_CHARACTERS, AnyCommand, Command
from .errors import CommandError, ErrorCode
from .text import Text as _

__all__ = ["V1", "Decoded", "Decoder", "invalid", "path_of", "tag_of", "unknown_command"]

Decoded = Command | CommandError
RAW_BYTES = 8192
"""More than the size of any escaped type, ref or room."""
NAME_CHARACTERS = 32
"""For longer unknown names, no similar command is searched."""
PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
MISSING = re.compile(r"^Object missing required field `([^`]+)`")


class _Probe(msgspec.Struct):
    """The fields that identify an invalid command."""

    type: msgspec.Raw = msgspec.Raw()
    ref: msgspec.Raw = msgspec.Raw()
    room: msgspec.Raw = msgspec.Raw()
    topic: msgspec.Raw = msgspec.Raw()


_probe_json = msgspec.json.Decoder(_Probe).decode
_probe_msgpack = msgspec.msgpack.Decoder(_Probe).decode


class Decoder:
    """Decodes a union of command structs; text is JSON, bytes are MessagePack."""

    __slots__ = ("_json", "_msgpack", "names")

    def __init__(self, structs: Iterable[type[Command]]) -> None:
        known = tuple(structs)
        union: Any = Union[known]  # noqa: UP007 - known at run time only
        self._json: Callable[[str], Command] = msgspec.json.Decoder(union).decode
        self._msgpack: Callable[[bytes], Command] = msgspec.msgpack.Decoder(union).decode
        self.names = frozenset(map(tag_of, known))
        """The `type` of each command."""

    def decode(self, raw: str | bytes) -> Decoded:
        """Decode one object; return the `CommandError` to reply if it is not a command."""
        try:
            refuse_many(raw)
            command = self._json(raw) if isinstance(raw, str) else self._msgpack(raw)
            clean(command)  # first: it refuses large commands early
            refuse_duplicates(raw)
        except CommandError as error:
            return self._about(error, raw)
        except msgspec.ValidationError as error:
            return self._about(invalid(error), raw)
        except (msgspec.DecodeError, UnicodeError):
            message = _("The command cannot be decoded. Send valid JSON or MessagePack.")
            return CommandError(ErrorCode.INVALID_JSON, message)
        except RecursionError:
            message = _("The command is nested too deeply.")
            return CommandError(ErrorCode.INVALID_MESSAGE, message)
        return command

    def unknown(self, name: str) -> CommandError:
        """Return the refusal of an unknown command, with the name of a similar one."""
        return unknown_command(name, self.names)

    def _about(self, error: CommandError, raw: str | bytes) -> CommandError:
        """Add the ref, the room and the topic of the command to an error."""
        try:
            seen = _probe_json(raw) if isinstance(raw, str) else _probe_msgpack(raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return error
        load = msgspec.json.decode if isinstance(raw, str) else msgspec.msgpack.decode
        kind, ref, room, topic = (
            _load(load, part) for part in (seen.type, seen.ref, seen.room, seen.topic)
        )
        if isinstance(kind, str) and kind not in self.names:
            error = self.unknown(kind)
        error.ref = ref if _is_ref(ref) else None
        error.room = room if isinstance(room, str) and _is_text(room, 100) else None
        is_short = isinstance(topic, str) and _is_text(topic, TOPIC_CHARACTERS)
        error.topic = str(topic) if is_short else None
        return error


def unknown_command(name: str, names: Iterable[str]) -> CommandError:
    """Return the refusal of an unknown command, with a similar one of these names."""
    shown = repr(name[:64])
    message = _("There is no command {name}.", name=shown)
    if len(name) <= NAME_CHARACTERS and (near := get_close_matches(name.lower(), sorted(names), 1)):
        message = _(
            "There is no command {name}. Did you mean {near}?", name=shown, near=repr(near[0])
        )
    return CommandError(ErrorCode.UNKNOWN_TYPE, message)


def invalid(error: msgspec.ValidationError, inside: str = "") -> CommandError:
    """Return the refusal of a command whose fields are not valid, with the path of the wrong one.

    `inside` is the path of the object that was decoded, such as `data`.
    """
    message = _("The command is not valid: {problem}.", problem=str(error))
    path = ".".join(filter(None, (inside, path_of(error))))
    return CommandError(ErrorCode.INVALID_MESSAGE, message, path=path.replace(".[", "[") or None)


def path_of(error: msgspec.ValidationError) -> str:
    """Return the path of the wrong field, such as `rooms[0].room`; empty for the whole object."""
    text = str(error)
    place, missing = PLACE.search(text), MISSING.match(text)
    parts = [place[1] if place else "", missing[1] if missing else ""]
    return ".".join(filter(None, parts))


def tag_of(struct: type[msgspec.Struct]) -> str:
    """Return the `type` that a struct has on the wire."""
    return str(struct.__struct_config__.tag)


def _load(load: Callable[..., object], part: msgspec.Raw) -> object:
    raw = bytes(part)
    if not 0 < len(raw) <= RAW_BYTES:
        return None
    try:
        return load(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _is_ref(value: object) -> TypeGuard[str | int]:
    if isinstance(value, str):
        return _is_text(value, 64)
    return type(value) is int and abs(value) <= MAX_INTEGER


def _is_text(value: str, characters: int) -> bool:
    return len(value) <= characters and "\x00" not in value


V1 = Decoder(get_args(AnyCommand))
"""Decodes all commands of the protocol."""
