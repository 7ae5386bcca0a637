"""Withhold the events of a topic from members whose right may have ended, until that is known.

A change of rights puts the rights of members in doubt, until each has been asked for again. That
is usually a matter of milliseconds. If the site takes longer to answer, the member gets nothing,
and its events wait. Once the right is confirmed, the member gets them in their order.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from ...wire.packet import Packet
from ..connections.connection import Connection
from ..connections.outbox import Outbox
from ..connections.traffic import Traffic

if TYPE_CHECKING:
    from .topic import AnyLogTopic, Topic

__all__ = ["Doubts", "Withheld"]

WITHHOLD_SECONDS = 0.6
"""A member whose right is in doubt for so long gets nothing until it is known."""
MERGE_SECONDS = 0.1
"""Changes within this time are one doubt, so that a storm of them costs little."""


class Withheld:
    """Takes the place of an outbox in a lane, and keeps its packets until they may be sent.

    `overflow` is called once if all topics of the connection would keep more than half of what may
    wait for a slow client.
    """

    __slots__ = ("_overflow", "_packets", "outbox")

    def __init__(self, outbox: Outbox, overflow: Callable[[], None]) -> None:
        self.outbox = outbox
        self._overflow: Callable[[], None] | None = overflow
        self._packets: list[Packet] = []

    def deliver(self, packet: Packet) -> None:
        """Keep frames; nothing after the overflow, when the member is about to start again."""
        if self._overflow is None:
            return
        self._packets.append(packet)
        if self.outbox.queue.withhold(len(packet.frames), len(packet.raw)):
            overflow, self._overflow = self._overflow, None
            self.drop()
            overflow()

    @property
    def traffic(self) -> Traffic:
        """The traffic of the connection."""
        return self.outbox.traffic

    def drop(self) -> list[Packet]:
        """Remove and return what was kept."""
        packets, self._packets = self._packets, []
        for packet in packets:
            self.outbox.queue.withhold(-len(packet.frames), -len(packet.raw))
        return packets

    def release(self) -> None:
        """Send what was kept, in its order."""
        for packet in self.drop():
            self.outbox.deliver(packet)


class Doubt:
    """A change of rights at `since`, and the members that have not been asked again after it."""

    __slots__ = ("is_overdue", "members", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.members: set[str] = set()
        self.is_overdue = False


class Doubts:
    """The doubts about the rights of the members of one topic; all times are those of the loop."""

    __slots__ = ("_doubts", "_topic")

    def __init__(self, topic: "AnyLogTopic") -> None:
        self._topic = topic
        self._doubts: list[Doubt] = []

    def __bool__(self) -> bool:
        return bool(self._doubts)

    def add(self, members: Iterable[Connection], since: float) -> None:
        """Doubt the rights of members; only the answer to a later question counts."""
        newest = self._doubts[-1] if self._doubts else None
        if newest is None or newest.is_overdue or newest.since + MERGE_SECONDS < since:
            newest = Doubt(since)
            self._doubts.append(newest)
            loop = asyncio.get_running_loop()
            loop.call_at(since + WITHHOLD_SECONDS, self._withhold_from, newest)
        newest.since = max(newest.since, since)  # its timer stays: it comes a little early
        newest.members.update(one.id for one in members)

    def confirm(self, connection: Connection, asked_at: float) -> None:
        """Trust a member that has the right, by the answer to a question at this time."""
        for doubt in self._doubts:
            if doubt.since <= asked_at:
                doubt.members.discard(connection.id)
        if not any(one.is_overdue and connection.id in one.members for one in self._doubts):
            for topic in self._delivering():
                topic.lane(connection.codec).release(connection.id)
        self._drop_settled()

    def forget(self, connection_id: str) -> None:
        """Forget a member that has left."""
        for doubt in self._doubts:
            doubt.members.discard(connection_id)
        self._drop_settled()

    def _withhold_from(self, doubt: Doubt) -> None:
        doubt.is_overdue = True
        members = self._topic.members
        for one in doubt.members & members.keys():
            self._withhold(members[one])

    def _withhold(self, connection: Connection) -> None:
        overflow = partial(self._topic.start_again, connection)
        for topic in self._delivering():
            topic.lane(connection.codec).withhold(connection.id, overflow)

    def _delivering(self) -> "Iterator[Topic]":
        """Return the topics whose lanes send: the topic, and its presence if that has others."""
        yield self._topic
        presence = self._topic.presence
        if presence is not None and presence.audience is not self._topic:
            yield presence.audience

    def _drop_settled(self) -> None:
        self._doubts = [one for one in self._doubts if one.members]
