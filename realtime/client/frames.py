"""Frames of the server as structs, and commands as frames."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import msgspec

from ..wire.codecs import CODECS, Part
from ..wire.errors import CommandError
from ..wire.events import AnyOutgoing
from ..wire.failures import RealtimeError

__all__ = ["Encoding", "EncodingName", "Incoming", "Unknown"]

EncodingName = Literal["ndjson", "msgpack", "json"]
FRAME_BYTES = 32 * 1024
"""The size at which a frame of several commands is full, if the server takes as much."""
FRAME_COMMANDS = 50


class Unknown(msgspec.Struct, frozen=True):
    """An event of a newer server that this version of the client does not know."""

    type: str
    fields: dict[str, Any]


Incoming = AnyOutgoing | Unknown
"""What a server may send."""


class Encoding:
    """One of the three encodings of the protocol; raises `ValueError` for another name."""

    def __init__(self, name: EncodingName) -> None:
        if name not in get_args(EncodingName):
            raise ValueError(f"encoding is {name!r}: it must be ndjson, msgpack or json")
        self.subprotocol = f"realtime.v1.{name}"
        self._codec = CODECS[self.subprotocol]
        self._format: Any = msgspec.msgpack if self._codec.is_binary else msgspec.json
        self._decode_event = self._format.Decoder(AnyOutgoing).decode
        self._decode_any = self._format.Decoder().decode
        self._encode = self._format.Encoder().encode

    def events(self, frame: str | bytes) -> Iterator[Incoming]:
        """Yield what a frame of the server holds.

        Raises `RealtimeError` (`invalid_frame`) for something that is not part of the protocol.
        """
        for part in self._codec.parts(frame):
            yield self._event(part)

    @classmethod
    def agreed(cls, offered: "Encoding", answered: str | None) -> "Encoding":
        """Return the encoding that the handshake has agreed to.

        A server that answers no subprotocol speaks plain JSON.
        """
        return offered if answered is not None else cls("json")

    @staticmethod
    def data(raw: msgspec.Raw, kind: Any = Any) -> Any:
        """Decode the data of an entry; raise `msgspec.ValidationError` if it is not of a kind.

        It is an object, whose first byte shows the format: earlier data may have another one.
        """
        if not raw:
            return None
        form: Any = msgspec.json if bytes(memoryview(raw)[:1]) == b"{" else msgspec.msgpack
        return form.decode(raw, type=kind)

    def encode(self, command: dict[str, Any]) -> bytes:
        """Encode a command, or a part of one.

        Raises `TypeError`, `ValueError` or `OverflowError` for what the encoding does not have.
        """
        return self._encode(command)  # type: ignore[no-any-return]

    def frames(self, commands: Sequence[bytes], most_bytes: int) -> Iterator[str | bytes]:
        """Yield frames with encoded commands, in their order; the server takes `most_bytes`."""
        most = min(FRAME_BYTES, most_bytes)
        batch: list[bytes] = []
        size = 0
        for encoded in commands:
            if batch and (self._is_full(len(batch)) or size + len(encoded) > most):
                yield self._joined(batch)
                batch, size = [], 0
            batch.append(encoded)
            size += len(encoded) + 1  # for the separator
        if batch:
            yield self._joined(batch)

    def _event(self, part: Part) -> Incoming:
        if isinstance(part, CommandError):
            raise RealtimeError("invalid_frame", part.message)
        try:
            return self._decode_event(part)  # type: ignore[no-any-return]
        except (msgspec.DecodeError, RecursionError) as error:
            return self._unknown(part, error)

    def _unknown(self, part: Part, cause: Exception) -> Unknown:
        try:
            fields = self._decode_any(part)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RealtimeError("invalid_frame", str(error)) from error
        if not isinstance(fields, dict) or not isinstance(kind := fields.get("type"), str):
            raise RealtimeError("invalid_frame", str(cause)) from cause
        return Unknown(kind, fields)

    def _is_full(self, commands: int) -> bool:
        return not self._codec.is_coalescing or commands == FRAME_COMMANDS

    def _joined(self, batch: list[bytes]) -> str | bytes:
        if self._codec.is_binary:
            return b"".join(batch)
        return b"\n".join(batch).decode()
