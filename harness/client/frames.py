"""The client's side of RFC 6455 as bytes: the handshake, and frames both ways."""

import base64
import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "frame",
    "frames",
    "head",
    "upgrade",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
Frame = tuple[int, bytes, int]
"""Opcode, payload, and where in the bytes it ends."""
_NO_MASK = bytes(4)


def upgrade(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the request that opens a WebSocket."""
    parts = urlsplit(url)
    lines = {
        "Host": parts.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **(headers or {}),
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{text}\r\n".encode("latin1")


def frame(payload: str | bytes, opcode: int = TEXT, *, is_last: bool = True) -> bytes:
    """Return a client's frame; its mask is all zeros, as the RFC allows any key."""
    data = payload.encode() if isinstance(payload, str) else payload
    return head(len(data), opcode, is_last=is_last) + data


def head(size: int, opcode: int = TEXT, *, is_last: bool = True) -> bytes:
    """Return what comes before a payload of `size` bytes."""
    first = (0x80 if is_last else 0) | opcode
    if size < 126:
        return bytes((first, 0x80 | size)) + _NO_MASK
    if size < 2**16:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big") + _NO_MASK
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + _NO_MASK


def frames(data: bytes, start: int = 0) -> Iterator[Frame]:
    """Yield the whole frames of a server in some bytes (RFC 6455, section 5.2)."""
    end = len(data)
    while start + 2 <= end:
        size, at = data[start + 1], start + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
        after = at + size
        if after > end:
            return
        yield data[start] & 15, data[at:after], after
        start = after
