"""The frames that wait until a client reads, and how much of the limits they use."""

import asyncio
from collections import deque
from collections.abc import Callable

from ...conf import config
from ...wire.packet import byte_length

__all__ = ["SendQueue", "Senders"]

Frame = str | bytes


class SendQueue(deque[tuple[Frame, int]]):
    """Frames in order, each with its size; the size is 0 if it does not count as waiting.

    What topics withhold from the client is counted beside it.
    """

    __slots__ = ("counted_bytes", "counted_frames", "withheld_bytes", "withheld_frames")

    def __init__(self) -> None:
        super().__init__()
        self.counted_frames = self.counted_bytes = 0
        self.withheld_frames = self.withheld_bytes = 0

    def withhold(self, frames: int, size: int) -> bool:
        """Count what a topic keeps back; return whether all topics keep more than half the limits.

        All of it may be sent at once.
        """
        self.withheld_frames += frames
        self.withheld_bytes += size
        limits = config()
        return (
            2 * self.withheld_frames > limits.outbox_frames
            or 2 * self.withheld_bytes > limits.outbox_bytes
        )

    def add(self, frame: Frame, *, is_counted: bool) -> None:
        """Append a frame."""
        size = byte_length(frame) if is_counted else 0
        self.append((frame, size))
        self.counted_frames += is_counted
        self.counted_bytes += size

    def take(self) -> Frame:
        """Remove the first frame and return it."""
        frame, size = self.popleft()
        self.counted_frames -= size > 0
        self.counted_bytes -= size
        return frame

    def clear(self) -> None:
        """Remove all frames."""
        super().clear()
        self.counted_frames = self.counted_bytes = 0

    @property
    def size(self) -> int:
        """How many bytes wait, also of what does not count."""
        return sum(byte_length(frame) for frame, _size in self)

    @property
    def filled(self) -> float:
        """The part of the limits that is used; the client is too slow above 1."""
        limits = config()
        frames = self.counted_frames / limits.outbox_frames
        return max(frames, self.counted_bytes / limits.outbox_bytes)


class Senders:
    """The senders that wait until the client has read; they go on one after the other."""

    def __init__(self) -> None:
        self._first = asyncio.Lock()
        self._news = asyncio.Event()

    async def wait(self, may_go_on: Callable[[], bool]) -> None:
        """Wait behind earlier senders, so that none that sends much keeps another from its turn."""
        async with self._first:
            while not may_go_on():
                self._news.clear()
                await self._news.wait()

    def wake(self) -> None:
        """Let the first sender look whether it may go on."""
        self._news.set()
