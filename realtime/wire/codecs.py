"""The three encodings: frames to commands, replies and events to frames.

A frame that goes to many is a `Frame`: encoded once as JSON, and once as MessagePack
when the first receiver wants that.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import msgpack
import msgspec

from .clean import MAX_INTEGER, clean, refuse_duplicates
from .commands import COMMANDS, AnyCommand, Command
from .errors import CommandError, ErrorCode
from .events import Outgoing

__all__ = ["CODECS", "JSON", "MSGPACK", "NDJSON", "Codec", "Decoded", "Frame", "choose"]

Decoded = Command | CommandError

_encode_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode_any_json = msgspec.json.Decoder().decode


class Frame:
    """One reply or event, encoded at most once each way."""

    __slots__ = ("_binary", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._binary: bytes | None = None

    @classmethod
    def of(cls, outgoing: Outgoing) -> "Frame":
        """Encode a reply or event."""
        return cls(_encode_json(outgoing).decode())

    @property
    def size(self) -> int:
        """Its bytes as JSON."""
        return len(self.text) if self.text.isascii() else len(self.text.encode())

    @property
    def binary(self) -> bytes:
        """The same as MessagePack."""
        if self._binary is None:
            self._binary = _encode_msgpack(_decode_any_json(self.text))
        return self._binary


class Codec:
    """One encoding: its subprotocol, its frames, and whether a frame may hold several."""

    subprotocol: str
    is_binary = False
    is_coalescing = False

    def encode(self, outgoing: Outgoing) -> str | bytes:
        """Encode one reply."""
        raise NotImplementedError

    def join(self, frames: Sequence[Frame]) -> str | bytes:
        """Put events into the one frame that carries them all."""
        raise NotImplementedError

    def decode(self, frame: str | bytes) -> list[Decoded]:
        """Turn a frame into its commands, in order; a bad one is the `CommandError` to reply."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.subprotocol}>"


class _Json(Codec):
    subprotocol = "realtime.v1.json"

    def encode(self, outgoing: Outgoing) -> str:
        return _encode_json(outgoing).decode()

    def join(self, frames: Sequence[Frame]) -> str:
        [frame] = frames
        return frame.text

    def decode(self, frame: str | bytes) -> list[Decoded]:
        if isinstance(frame, bytes):
            return [CommandError(ErrorCode.INVALID_JSON, "expected a text frame")]
        return [_decode(frame, _JSON_COMMAND.decode, _JSON_PROBE.decode)]


class _Ndjson(_Json):
    subprotocol = "realtime.v1.ndjson"
    is_coalescing = True

    def join(self, frames: Sequence[Frame]) -> str:
        return "\n".join([frame.text for frame in frames])

    def decode(self, frame: str | bytes) -> list[Decoded]:
        if isinstance(frame, bytes) or "\n" not in frame:
            return super().decode(frame)
        lines = [line for line in frame.split("\n") if line.strip()] or [""]
        return [_decode(line, _JSON_COMMAND.decode, _JSON_PROBE.decode) for line in lines]


class _Msgpack(Codec):
    subprotocol = "realtime.v1.msgpack"
    is_binary = True
    is_coalescing = True

    def encode(self, outgoing: Outgoing) -> bytes:
        return _encode_msgpack(outgoing)

    def join(self, frames: Sequence[Frame]) -> bytes:
        return b"".join([frame.binary for frame in frames])

    def decode(self, frame: str | bytes) -> list[Decoded]:
        if isinstance(frame, str):
            return [CommandError(ErrorCode.INVALID_MESSAGE, "expected a binary frame")]
        parts, is_whole = _split(frame)
        decoded = [_decode(part, _MSGPACK_COMMAND.decode, _MSGPACK_PROBE.decode) for part in parts]
        if not is_whole:
            decoded.append(CommandError(ErrorCode.INVALID_MESSAGE, "not MessagePack"))
        return decoded


class _Probe(msgspec.Struct):
    """What a broken command still tells about itself."""

    type: msgspec.Raw = msgspec.Raw()
    ref: msgspec.Raw = msgspec.Raw()
    room: msgspec.Raw = msgspec.Raw()


_JSON_COMMAND: msgspec.json.Decoder[Command] = msgspec.json.Decoder(AnyCommand)
_JSON_PROBE = msgspec.json.Decoder(_Probe)
_MSGPACK_COMMAND: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(AnyCommand)
_MSGPACK_PROBE = msgspec.msgpack.Decoder(_Probe)

JSON, NDJSON, MSGPACK = _Json(), _Ndjson(), _Msgpack()
CODECS: dict[str, Codec] = {codec.subprotocol: codec for codec in (JSON, NDJSON, MSGPACK)}


def choose(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Pick the first subprotocol known here, and what to answer; none known is plain JSON."""
    for subprotocol in offered:
        if subprotocol in CODECS:
            return CODECS[subprotocol], subprotocol
    return JSON, None


def _split(frame: bytes) -> tuple[list[bytes], bool]:
    """The objects a frame begins with, and whether they are all there is."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(frame) or 1)
    unpacker.feed(frame)
    parts: list[bytes] = []
    start = 0
    while start < len(frame):
        try:
            unpacker.skip()
        except Exception:  # it raises a dozen kinds
            return parts, False
        end = unpacker.tell()
        parts.append(frame[start:end])
        start = end
    return parts, bool(parts)


def _decode(
    raw: str | bytes,
    decode: Callable[[Any], Command],
    probe: Callable[[Any], _Probe],
) -> Decoded:
    try:
        command = decode(raw)
        refuse_duplicates(raw)
        clean(command)
    except CommandError as error:
        return _about(error, raw, probe)
    except msgspec.ValidationError as error:
        return _about(CommandError(ErrorCode.INVALID_MESSAGE, str(error)), raw, probe)
    except (msgspec.DecodeError, UnicodeError):
        return CommandError(ErrorCode.INVALID_JSON, "the frame cannot be decoded")
    except RecursionError:
        return CommandError(ErrorCode.INVALID_MESSAGE, "the frame is nested too deeply")
    return command


def _about(error: CommandError, raw: str | bytes, probe: Callable[[Any], _Probe]) -> CommandError:
    try:
        seen = probe(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return error
    load = msgspec.json.decode if isinstance(raw, str) else msgspec.msgpack.decode
    kind, ref, room = (_load(load, part) for part in (seen.type, seen.ref, seen.room))
    if isinstance(kind, str) and kind not in COMMANDS:
        error = CommandError(ErrorCode.UNKNOWN_TYPE, f"there is no command {kind[:64]!r}")
    error.ref = ref if _is_ref(ref) else None
    error.room = room if isinstance(room, str) and _is_text(room, 100) else None
    return error


def _load(load: Callable[..., object], part: msgspec.Raw) -> object:
    try:
        return load(bytes(part)) if bytes(part) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _is_ref(value: object) -> TypeGuard[str | int]:
    if isinstance(value, str):
        return _is_text(value, 64)
    return type(value) is int and abs(value) <= MAX_INTEGER


def _is_text(value: str, characters: int) -> bool:
    return len(value) <= characters and "\x00" not in value
