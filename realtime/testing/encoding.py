"""Frames as a client reads and writes them, by other means than the server uses."""

from typing import Any

import msgpack
import msgspec

__all__ = ["ENCODINGS", "Item", "decode", "encode", "plain"]

ENCODINGS = ("json", "ndjson", "msgpack")

Item = dict[str, Any]
_lines: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def encode(encoding: str, item: Item) -> str | bytes:
    """Return the frame of one command."""
    if encoding == "msgpack":
        return msgspec.msgpack.encode(item)
    return msgspec.json.encode(item).decode()


def decode(encoding: str, frame: str | bytes) -> list[Any]:
    """Return the objects of a frame; the frame itself if it has none, as of a site's consumer."""
    try:
        if isinstance(frame, bytes):
            return _unpacked(frame) if encoding == "msgpack" else [frame]
        return _lines.decode_lines(frame) if encoding == "ndjson" else [msgspec.json.decode(frame)]
    except (msgspec.DecodeError, msgpack.UnpackException, ValueError):
        return [frame]


def plain(value: Any) -> Any:
    """Return structs and other values of Python as a frame carries them."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _unpacked(frame: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(frame)
    return list(unpacker)
