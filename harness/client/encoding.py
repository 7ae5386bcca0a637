"""The three encodings of the protocol, decoded by other means than the package uses."""

from typing import Any

import msgpack
import msgspec

__all__ = ["ENCODINGS", "Object", "decode", "encode", "matches", "subprotocol"]

Object = dict[str, Any]
ENCODINGS = ["json", "ndjson", "msgpack"]
_lines: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def subprotocol(encoding: str) -> str:
    """Return the WebSocket subprotocol of an encoding."""
    return f"realtime.v1.{encoding}"


def encode(encoding: str, command: Object) -> str | bytes:
    """Return the frame of one command."""
    if encoding == "msgpack":
        return msgspec.msgpack.encode(command)
    return msgspec.json.encode(command).decode()


def decode(encoding: str, frame: str | bytes) -> list[Object]:
    """Return the objects of one frame, which must be of the kind that its encoding promises."""
    if encoding == "msgpack":
        assert isinstance(frame, bytes)
        unpacker = msgpack.Unpacker()
        unpacker.feed(frame)
        return list(unpacker)
    assert isinstance(frame, str)
    if encoding == "ndjson":
        return _lines.decode_lines(frame)
    return [msgspec.json.decode(frame)]


def matches(item: Object, kind: str, fields: Object) -> bool:
    """Return whether an object has this type and these fields."""
    return item["type"] == kind and all(item.get(name) == value for name, value in fields.items())
