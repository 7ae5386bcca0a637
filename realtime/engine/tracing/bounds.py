"""Bound the lines of a trace: so many a second, and the number of what is left out."""

import msgspec

__all__ = ["FRAMES", "OTHERS", "Bounds", "LeftOut"]

FRAMES = 30
"""The most lines about frames in a second."""
OTHERS = 30
"""The most other lines in a second."""
SUMMARY_SECONDS = 1.0
"""The least time between two lines about what is left out."""


class LeftOut(msgspec.Struct):
    """What was left out since the last line about that."""

    frames_received: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    bytes_sent: int = 0
    others: int = 0

    def __bool__(self) -> bool:
        return bool(self.frames_received or self.frames_sent or self.others)


class Bounds:
    """Admits lines of a trace, and counts the others; times are those of the event loop.

    Frames have a number of their own, so that they do not push out other lines.
    """

    __slots__ = ("_frames", "_others", "_since", "_told_at", "left_out")

    def __init__(self) -> None:
        self._since = self._told_at = 0.0
        self._frames = self._others = 0
        self.left_out = LeftOut()

    def room_for_frames(self, now: float) -> int:
        """Return how many more frames may have a line in this second."""
        if now - self._since >= 1:
            self._since, self._frames, self._others = now, 0, 0
        return max(0, FRAMES - self._frames)

    def admit_frame(self) -> None:
        """Count a line about a frame."""
        self._frames += 1

    def admit(self, now: float) -> bool:
        """Return whether a line that is about no frame may be written; count it if not."""
        self.room_for_frames(now)
        self._others += 1
        if self._others <= OTHERS:
            return True
        self.left_out.others += 1
        return False

    def leave_received(self, size: int) -> None:
        """Count a frame of the client that gets no line."""
        self.left_out.frames_received += 1
        self.left_out.bytes_received += size

    def leave_sent(self, frames: int, size: int) -> None:
        """Count frames for the client that get no line."""
        self.left_out.frames_sent += frames
        self.left_out.bytes_sent += size

    def take(self, now: float, *, is_last: bool = False) -> LeftOut | None:
        """Return what was left out if it is time to tell it, and begin to count anew."""
        if not self.left_out or (now - self._told_at < SUMMARY_SECONDS and not is_last):
            return None
        self._told_at = now
        found, self.left_out = self.left_out, LeftOut()
        return found
