"""Frames for many clients, which are encoded to the bytes that are sent once."""

from collections.abc import Sequence

__all__ = ["Packet", "byte_length", "event_of", "framed"]

TEXT, BINARY = 0x81, 0x82
"""The first byte of a whole message (RFC 6455, section 5.2)."""


class Packet:
    """Frames to be sent one after the other, and their bytes, made on first use."""

    __slots__ = ("_events", "_raw", "frames", "number", "size")

    _events: bytes

    def __init__(self, frames: Sequence[str | bytes]) -> None:
        self.frames = frames
        self.number = len(frames)
        self.size = sum(map(byte_length, frames))
        """The bytes of all frames."""
        self._raw: bytes | None = None

    @property
    def raw(self) -> bytes:
        """All frames as the bytes that are sent."""
        if self._raw is None:
            self._raw = b"".join([framed(frame) for frame in self.frames])
        return self._raw

    @property
    def events(self) -> bytes:
        """All frames as Server-Sent Events, each with a line of data for each of its lines."""
        try:
            return self._events
        except AttributeError:  # most packets never have it, so it costs nothing to make one
            self._events = b"".join([event_of(frame) for frame in self.frames])
            return self._events


def byte_length(frame: str | bytes) -> int:
    """Return the number of bytes that a frame has on the wire; at least 1."""
    if isinstance(frame, str) and not frame.isascii():
        return len(frame.encode())
    return max(1, len(frame))


def framed(frame: str | bytes) -> bytes:
    """Return a frame as a server sends it: whole, unmasked and uncompressed."""
    first, payload = (TEXT, frame.encode()) if isinstance(frame, str) else (BINARY, frame)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2) + payload
    return bytes((first, 127)) + size.to_bytes(8) + payload


def event_of(frame: str | bytes) -> bytes:
    """Return a frame as a Server-Sent Event."""
    text = frame if isinstance(frame, str) else frame.decode()
    lines = text.replace("\n", "\ndata: ")
    return f"data: {lines}\n\n".encode()
