"""Counts the WebSocket frames of a client (RFC 6455, section 5.2) before the server parses them.

It keeps no payload. It holds back the start of a frame until the whole header has arrived.
"""

__all__ = ["DISCARD_BYTES", "Scanner"]

DISCARD_BYTES = 1024 * 1024
"""The largest frame that is skipped; after a larger one, the connection cannot go on."""
FINAL, COMPRESSED, MASKED = 0x80, 0x40, 0x80
CONTINUATION, CLOSE = 0, 8
WHOLE_MESSAGES = b"\x81\x82"
"""The first bytes of a text and of a binary message in one frame."""
CONTROL = 8
"""Control frames have this opcode and higher ones."""
FRAGMENT_BYTES = 512
"""Fragments of this size or more are no extras: libraries split large messages by their buffer."""
OPCODES = frozenset({0, 1, 2, 8, 9, 10})
CONTROL_BYTES = 125
WIDTHS = {126: 2, 127: 8}
"""How many bytes hold the length of a frame that does not fit into seven bits."""


class Scanner:
    """Follows the frames of one client through the chunks in which they arrive.

    `limit` is the largest message in bytes. A client that `is_plain` may not compress.
    After each `feed`, `frames` says how many frames began in that chunk, `extras` how many of them
    carry no whole message (control frames, small fragments and empty frames), and `too_large` how
    many were skipped.
    """

    __slots__ = (
        "_head",
        "_is_closing",
        "_is_dropping",
        "_is_inside",
        "_is_over",
        "_is_plain",
        "_left",
        "_limit",
        "_size",
        "extras",
        "frames",
        "is_hopeless",
        "is_packed",
        "is_usual",
        "messages",
        "too_large",
    )

    def __init__(self, limit: int, *, is_plain: bool = False) -> None:
        self._limit = limit
        self._is_plain = is_plain
        self._head = b""
        self._left = self._size = 0
        self._is_inside = self._is_dropping = self._is_closing = self._is_over = False
        self.frames = self.extras = self.too_large = 0
        self.messages = 0
        """How many messages have begun since the first chunk."""
        self.is_usual = False
        """Whether the chunk had only whole messages, each in one frame."""
        self.is_hopeless = False
        """Whether a message came that is too large to be skipped."""
        self.is_packed = False
        """Whether a frame is marked as compressed, although no compression was agreed to."""

    @property
    def is_unfinished(self) -> bool:
        """Whether a frame or a message has begun that has not ended."""
        return bool(self._left or self._head or self._is_inside) and not self._is_over

    def feed(self, data: bytes, most_frames: int, most_extras: int) -> bytes:
        """Count the frames that begin in `data`; return what the server may parse.

        Nothing passes after a close frame, an invalid frame or a hopeless one. Counting
        stops at the first frame beyond `most_frames` or `most_extras`.
        """
        self.extras = self.too_large = 0
        self.is_usual = False
        if not (self._left or self._head or self._is_inside or self._is_over):
            self.frames = _usual_frames(data, self._limit, most_frames)
            if self.frames:
                self.is_usual = True
                self.messages += self.frames
                return data
        self.frames = 0
        data, self._head = self._head + data, b""
        passed: list[bytes] = []
        place = 0
        while place < len(data) and not self._is_over:
            if self._left:
                place += self._go_on(data[place : place + self._left], passed)
            elif head := self._begin(data, place):
                if not (self._is_dropping or self.is_hopeless or self.is_packed):
                    passed.append(data[place : place + head])
                place += head
                self._end_of_frame()
            else:
                self._head = data[place:]
                break
            if self.frames > most_frames or self.extras > most_extras:
                break
        return b"".join(passed)

    def _go_on(self, part: bytes, passed: list[bytes]) -> int:
        self._left -= len(part)
        if not self._is_dropping:
            passed.append(part)
        self._end_of_frame()
        return len(part)

    def _end_of_frame(self) -> None:
        if self._is_closing and not self._left:
            self._is_over = True

    def _begin(self, data: bytes, place: int) -> int:
        """Read the header of a frame; return its length, or 0 if it is not complete."""
        if len(data) - place < 2:
            return 0
        first, second = data[place], data[place + 1]
        size = second & 0x7F
        width = WIDTHS.get(size, 0)
        head = 2 + width + (4 if second & MASKED else 0)
        if len(data) - place < head:
            return 0
        if width:
            size = int.from_bytes(data[place + 2 : place + 2 + width], "big")
        self._count(first, size)
        if first & COMPRESSED and self._is_plain:
            self.is_packed = self._is_over = True  # some servers would decompress it all the same
        if not second & MASKED or not _is_valid(first, size):
            self._end_with_this(size)
        return head

    def _end_with_this(self, size: int) -> None:
        """Let nothing pass after an invalid frame, for which the server closes the connection.

        Some servers do so only when they have the whole frame.
        """
        self._is_closing = True
        if size > self._limit:
            self._refuse(False, size)

    def _count(self, first: int, size: int) -> None:
        opcode = first & 0x0F
        self.frames += 1
        self._left = size
        self._is_dropping = False
        self._is_closing = opcode == CLOSE
        is_message = 0 < opcode < CONTROL
        is_whole = is_message and size and first & FINAL
        if not (is_whole or (opcode < CONTROL and size >= FRAGMENT_BYTES)):
            self.extras += 1
        if opcode < CONTROL:
            self.messages += is_message
            self._size = size if is_message else self._size + size
            self._is_inside = not first & FINAL
            if self._size > self._limit:
                self._refuse(is_message and bool(first & FINAL) and not first & COMPRESSED, size)

    def _refuse(self, can_be_dropped: bool, size: int) -> None:
        # Later messages may refer to parts of a compressed message, and the server already has a
        # part of a fragmented one.
        if can_be_dropped and size <= DISCARD_BYTES:
            self._is_dropping = True
            self.too_large += 1
        else:
            self.is_hopeless = self._is_over = True


def _usual_frames(data: bytes, limit: int, most: int) -> int:
    """Return how many whole messages a chunk consists of, or 0 if it has anything else."""
    place, end, frames = 0, len(data), 0
    while place + 6 < end and frames <= most:
        size = data[place + 1] - MASKED
        if data[place] not in WHOLE_MESSAGES or size == 127:
            return 0
        place += 6
        if size == 126:
            size = data[place - 4] << 8 | data[place - 3]
            place += 2
        if not 0 < size <= limit:
            return 0
        place += size
        frames += 1
    return frames if place == end or frames > most else 0


def _is_valid(first: int, size: int) -> bool:
    opcode = first & 0x0F
    if opcode >= CONTROL and (size > CONTROL_BYTES or not first & FINAL):
        return False
    return opcode in OPCODES
