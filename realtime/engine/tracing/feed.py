"""The lines of one trace in this process: bounded, kept for a while, and published in batches."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ...store.topics.entries import topic_key
from ...store.traces import ActiveTrace, topic_of
from ...wire.codecs import Frame
from ...wire.events import EntryEvent
from ...wire.packet import Packet, byte_length
from ..bus.notes import Broadcast, Note
from .bounds import Bounds

__all__ = ["KEPT", "Feed"]

logger = logging.getLogger("realtime.trace")

BATCH_SECONDS = 0.2
"""The time for which lines are gathered."""
KEPT = 200
"""The last lines that a page gets when it is opened late."""
AGAIN_SECONDS = 1.0
"""The least time between two repeats of the kept lines."""
LEFT_OUT = (
    "trace %(trace)d: left out %(frames_received)d received frames, %(frames_sent)d sent frames "
    "and %(others)d other lines"
)


class Feed:
    """The lines of a trace in this process; `publish` sends a note to all processes."""

    def __init__(
        self,
        trace: ActiveTrace,
        node: str,
        publish: Callable[[str, Note], None],
    ) -> None:
        self.trace = trace.pk
        self._about = trace
        self._node = node
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._bounds = Bounds()
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._new: list[dict[str, Any]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._repeat: asyncio.TimerHandle | None = None
        self._repeated_at = -AGAIN_SECONDS
        self._began = time.time() - self._loop.time()
        """Makes a time of the loop one of the day: a clock that is set orders no lines anew."""
        self.is_over = False
        """Whether this process adds no more lines."""

    def concerns(self, connection_id: str, user_id: str) -> bool:
        """Return whether the trace is about this connection or user."""
        return self._about.subject == (connection_id if self._about.is_connection else user_id)

    @property
    def subject(self) -> str:
        """The user or connection that is traced."""
        return self._about.subject

    # Bounds.

    def admit(self) -> bool:
        """Return whether a line that is about no frame may be added."""
        return not self.is_over and self._counted(self._bounds.admit(self._loop.time()))

    def admit_received(self, size: int) -> bool:
        """Return whether a frame of the client may have a line."""
        if self.is_over:
            return False
        if self._bounds.room_for_frames(self._loop.time()):
            self._bounds.admit_frame()
            return True
        self._bounds.leave_received(size)
        return self._counted(False)

    def admit_sent(self, packet: Packet) -> int:
        """Return how many of the first frames may have a line; count the others."""
        if self.is_over:
            return 0
        room = self._bounds.room_for_frames(self._loop.time())
        if room >= packet.number:
            return packet.number
        if room:
            left = packet.frames[room:]
            self._bounds.leave_sent(len(left), sum(map(byte_length, left)))
        else:
            self._bounds.leave_sent(packet.number, packet.size)
        self._flush_later()
        return room

    def admit_frame(self) -> bool:
        """Count a line about a sent frame; return whether it may be added."""
        if self.is_over or not self._bounds.room_for_frames(self._loop.time()):
            return False
        self._bounds.admit_frame()
        return True

    def _counted(self, is_admitted: bool) -> bool:
        if not is_admitted:
            self._flush_later()
        return is_admitted

    # Lines.

    def add(self, line: dict[str, Any]) -> None:
        """Add a line that was admitted."""
        if self.is_over:
            return
        self._number += 1
        line["number"], line["at"] = self._number, round(self._began + self._loop.time(), 3)
        self._kept.append(line)
        self._new.append(line)
        self._flush_later()

    def repeat(self) -> None:
        """Publish the kept lines again, for a page that was opened late."""
        if self._repeat is None and not self.is_over:
            due = max(self._loop.time(), self._repeated_at + AGAIN_SECONDS)
            self._repeat = self._loop.call_at(due, self._send_kept)

    def close(self, *, goes_on: bool = False) -> None:
        """Publish what is left, and that the trace is over, unless other processes go on."""
        if not self.is_over:
            self._summarize(is_last=True)
            self.is_over = True
            for timer in (self._timer, self._repeat):
                if timer is not None:
                    timer.cancel()
            self._send(self._new, is_over=not goes_on)

    def _send_kept(self) -> None:
        self._repeat, self._repeated_at = None, self._loop.time()
        if self._kept:
            self._send(list(self._kept))

    def _flush_later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(BATCH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._summarize()
        lines, self._new = self._new, []
        if lines:
            self._send(lines)
        if self._bounds.left_out:
            self._flush_later()

    def _summarize(self, *, is_last: bool = False) -> None:
        left = self._bounds.take(self._loop.time(), is_last=is_last)
        if left is not None:
            values = {"trace": self.trace, **msgspec.structs.asdict(left)}
            self.add({"event": "left_out", **values})
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug(LEFT_OUT, {**values, "event": "left_out"})

    def _send(self, lines: list[dict[str, Any]], *, is_over: bool = False) -> None:
        data = {"node": self._node, "lines": lines, "is_over": is_over}
        topic = topic_of(self.trace)
        text = msgspec.Raw(msgspec.json.encode(data))
        frame = Frame.of(EntryEvent(topic=topic, name="lines", data=text))
        self._publish(topic_key(topic), Broadcast(frame.text, ""))
