"""The three encodings: they decode frames to commands, and encode replies and events to frames.

An event for many clients is a `Frame`: it is encoded once as JSON, and once as MessagePack when
the first receiver needs that.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

import msgpack
import msgspec

from .decoder import V1, Decoded, Decoder
from .errors import CommandError, ErrorCode
from .events import AnyOutgoing, EntryEvent, HistoryPage, Outgoing, Subscribed
from .text import Text as _

__all__ = [
    "CODECS",
    "JSON",
    "MSGPACK",
    "NDJSON",
    "RAW",
    "Codec",
    "Decoded",
    "Frame",
    "Part",
    "byte_size",
    "choose",
    "has_text",
]

Part = str | bytes | CommandError
"""One object of a frame before it is decoded, or the error to reply."""
LINE = re.compile(r"[^ \t\r\n][^\n]*")
"""A line of NDJSON, without the white space before it."""

OWN_KINDS = frozenset(get_args(AnyOutgoing))
"""The replies and events of the protocol: all their values are the same in all encodings."""
PACKED_BYTES = 256 * 1024
"""The largest frame of several replies; Daphne closes a connection at 1 MiB."""

_encode_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode_any_json = msgspec.json.Decoder().decode


class Frame:
    """One reply or event, encoded at most once in each format."""

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
        """The size in bytes as JSON."""
        return len(self.text) if self.text.isascii() else len(self.text.encode())

    @property
    def binary(self) -> bytes:
        """The frame as MessagePack."""
        if self._binary is None:
            self._binary = _encode_msgpack(_decode_any_json(self.text))
        return self._binary


class Codec:
    """One encoding: its subprotocol, its frames, and whether a frame may hold several."""

    subprotocol: str
    is_binary = False
    is_coalescing = False
    is_protocol = True
    """Whether the client speaks the protocol; else it gets only what its consumer sends."""

    def encode(self, outgoing: Outgoing) -> str | bytes:
        """Encode one reply."""
        raise NotImplementedError

    def encode_data(self, data: Any) -> str | bytes:
        """Encode an object of a site: a dict or a struct; raise `TypeError` for anything else."""
        if not isinstance(data, dict | msgspec.Struct):
            kind = type(data).__name__
            raise TypeError(f"a client of the protocol gets objects: send a dict, not {kind}")
        return self.join([Frame(_encode_json(data).decode())])

    def pack(self, frames: list[str | bytes]) -> list[str | bytes]:
        """Join encoded replies to as few frames as the encoding allows."""
        return frames

    def join(self, frames: Sequence[Frame]) -> str | bytes:
        """Join events to one frame."""
        raise NotImplementedError

    def parts(self, frame: str | bytes) -> Iterable[Part]:
        """Yield the objects of a frame, at least one.

        Where there is no object, yield the `CommandError` to reply.
        """
        raise NotImplementedError

    def command(self, part: Part, decoder: Decoder = V1) -> Decoded:
        """Decode one object; return the `CommandError` to reply if it is not a command."""
        return part if isinstance(part, CommandError) else decoder.decode(part)

    def decode(self, frame: str | bytes) -> list[Decoded]:
        """Decode all of a frame at once, at any cost; a client's frame is decoded part by part."""
        return [self.command(part) for part in self.parts(frame)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.subprotocol}>"


class _Json(Codec):
    subprotocol = "realtime.v1.json"

    def encode(self, outgoing: Outgoing) -> str:
        return _encode_json(outgoing).decode()

    def join(self, frames: Sequence[Frame]) -> str:
        [frame] = frames
        return frame.text

    def parts(self, frame: str | bytes) -> Iterable[Part]:
        if isinstance(frame, bytes):
            message = _("Send JSON in text frames.")
            return (CommandError(ErrorCode.INVALID_JSON, message),)
        return (frame,)


class _Ndjson(_Json):
    subprotocol = "realtime.v1.ndjson"
    is_coalescing = True

    def join(self, frames: Sequence[Frame]) -> str:
        return "\n".join([frame.text for frame in frames])

    def pack(self, frames: list[str | bytes]) -> list[str | bytes]:
        return ["\n".join(map(str, frames))] if _are_small(frames) else frames

    def parts(self, frame: str | bytes) -> Iterable[Part]:
        if isinstance(frame, bytes) or "\n" not in frame:
            return super().parts(frame)
        return _lines(frame)


class _Msgpack(Codec):
    subprotocol = "realtime.v1.msgpack"
    is_binary = True
    is_coalescing = True

    def encode(self, outgoing: Outgoing) -> bytes:
        if type(outgoing) not in OWN_KINDS:
            # Times become text, as in JSON: most clients do not know MessagePack's type for them.
            return _encode_msgpack(msgspec.to_builtins(outgoing, builtin_types=(bytes,)))
        if has_text(outgoing):
            return Frame.of(outgoing).binary
        return _encode_msgpack(outgoing)

    def join(self, frames: Sequence[Frame]) -> bytes:
        return b"".join([frame.binary for frame in frames])

    def pack(self, frames: list[str | bytes]) -> list[str | bytes]:
        return [b"".join(map(bytes, frames))] if _are_small(frames) else frames  # type: ignore[arg-type]

    def parts(self, frame: str | bytes) -> Iterable[Part]:
        if isinstance(frame, str):
            message = _("Send MessagePack in binary frames.")
            return (CommandError(ErrorCode.INVALID_MESSAGE, message),)
        return _maps(frame)


class _Raw(_Json):
    """No protocol: frames of a client are its own, and other data is sent as JSON text."""

    subprotocol = "raw"
    is_protocol = False

    def encode_data(self, data: Any) -> str | bytes:
        if isinstance(data, str):
            return str(data)
        if isinstance(data, bytes | bytearray | memoryview):
            return bytes(data)
        return _encode_json(data).decode()


JSON, NDJSON, MSGPACK, RAW = _Json(), _Ndjson(), _Msgpack(), _Raw()
CODECS: dict[str, Codec] = {codec.subprotocol: codec for codec in (JSON, NDJSON, MSGPACK)}


def choose(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Return the codec of the first known subprotocol, and the subprotocol to answer.

    Without a known subprotocol, this is plain JSON.
    """
    for subprotocol in offered:
        if subprotocol in CODECS:
            return CODECS[subprotocol], subprotocol
    return JSON, None


def has_text(outgoing: Outgoing) -> bool:
    """Return whether a struct has stored entries, whose data is JSON text."""
    if isinstance(outgoing, HistoryPage):
        return outgoing.entries is not None
    return isinstance(outgoing, Subscribed | EntryEvent)


def byte_size(text: str | bytes, most: int) -> int:
    """Count the bytes of a frame; for more than `most`, return any larger number."""
    if isinstance(text, bytes) or len(text) > most or text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))


def _are_small(frames: list[str | bytes]) -> bool:
    return bool(frames) and sum(map(len, frames)) <= PACKED_BYTES


def _lines(frame: str) -> Iterator[Part]:
    """Yield the lines of a frame that are not blank, or its only one."""
    found = False
    for line in LINE.finditer(frame):
        found = True
        yield line[0]
    if not found:
        yield ""


def _maps(frame: bytes) -> Iterator[Part]:
    """Yield the objects of a frame; each is skipped to find its end, as it has no length prefix."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(frame) or 1)
    unpacker.feed(frame)
    start, size = 0, len(frame)
    while start < size or not size:
        try:
            unpacker.skip()
        except Exception:  # it raises a dozen kinds
            yield CommandError(ErrorCode.INVALID_MESSAGE, _("The frame is not valid MessagePack."))
            return
        end = unpacker.tell()
        yield frame[start:end]
        start = end
