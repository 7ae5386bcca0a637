"""Let a connection subscribe to a topic without a gap, also if that takes several replies.

A client without a position gets a snapshot: the living values, and the newest events. One with a
position gets what has changed since. Both come in pages. The connection is attached with the last
page, in the turn of the event loop in which that page is complete. So no event can be missed.
"""

from dataclasses import dataclass

import msgspec
from django.utils.translation import gettext_lazy as _

from ...store.messages.history import Changes, LogMark
from ...store.topics.entries import TopicLog
from ...wire.commands import TopicSince
from ...wire.entries import EntryState
from ...wire.errors import CommandError, ErrorCode
from ..connections.connection import Connection
from ..database.executor import Database
from .catchup import ATTEMPTS, ROOM_BYTES, latest
from .entry_topic import EntryTopic
from .flusher import Lane
from .hub import Hub

__all__ = ["EntryPage", "attach_entries", "fitting"]

PAGE_STATES = 500
TOO_BUSY = _("The topic is too busy. Try again in a moment.")

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class EntryPage:
    """Entries that bring a client to `through`.

    With `has_more` the connection is not attached, and the client requests the page after
    `through`. In a snapshot, that page has only values up to `until`.
    """

    states: list[EntryState]
    epoch: str
    through: int
    recovered: bool
    has_more: bool = False
    until: int | None = None


async def attach_entries(
    hub: Hub,
    db: Database,
    topic: EntryTopic,
    connection: Connection,
    *,
    since: TopicSince | None,
    history: int,
) -> EntryPage:
    """Attach a connection to a topic, or return a page that is not the last.

    Without `since`, or if the client cannot resume from there, it gets a snapshot with the newest
    `history` events. Raises `CommandError` with `unavailable` if the topic changes faster than it
    can be read.
    """
    hub.check_open(topic, TOO_BUSY)
    # A member that subscribes again must not get an event that the reply repeats.
    connection.unsubscribe(topic)
    attachment = _Attachment(hub, db, topic, connection)
    topic.readers += 1
    try:
        page = await attachment.resume(since) if since is not None else None
        for _attempt in range(ATTEMPTS):
            page = page or await attachment.start(history)
            if page is not None:
                return page
    finally:
        topic.readers -= 1
    raise CommandError(ErrorCode.UNAVAILABLE, TOO_BUSY, retry_after=1)


@dataclass(slots=True)
class _Attachment:
    """The way of one connection into a topic. A method returns None if the topic has changed."""

    hub: Hub
    db: Database
    topic: EntryTopic
    connection: Connection

    @property
    def lane(self) -> Lane:
        """The lane of the connection; its position is that of an attached client."""
        return self.topic.lane(self.connection.codec)

    async def resume(self, since: TopicSince) -> EntryPage | None:
        """Continue from a position, with a page or to the end."""
        topic, position, until = self.topic, since.seq, since.until or 0
        if not await self._reach(since):
            return None
        states = await self._remembered(position) if until <= position else None
        if states is None:
            changes = await self.db.read(topic.log.since, position, PAGE_STATES, until)
            mark = changes.mark
            if not self._is_epoch(mark) or mark.purged_seq > max(position, until):
                return None
            states = None if changes.has_more else latest(topic, changes)
            if states is None:
                changes = changes.cut(fitting(changes.states))
                return self._page(changes.states, changes.through, until, recovered=True)
        if not self._continues(since) or self.lane.position < max(position, until):
            return None
        states = [state for state in states if state.position <= self.lane.position]
        kept = fitting(states)
        if len(kept) < len(states):
            return self._page(kept, kept[-1].position, until, recovered=True)
        return self._last_page(states, recovered=True)

    async def start(self, history: int) -> EntryPage | None:
        """Begin with a snapshot, or with its first page."""
        topic = self.topic
        states = topic.ring.since(0)  # all there is, in a small topic
        if states is None:
            changes = await self.db.load(_find_starts, (topic.log, history))
            if changes is None or not self._is_epoch(changes.mark):
                await self.hub.follower.catch_up(topic)
                return None
            if changes.has_more:
                return self._first_page(
                    changes.states, history, changes.mark.last_seq, is_all=False
                )
            states = latest(topic, changes)
            if states is None:
                await self.hub.follower.catch_up(topic)
                return None
        states = [state for state in states if state.position <= self.lane.position]
        return self._first_page(states, history, self.lane.position, is_all=True)

    async def _reach(self, since: TopicSince) -> bool:
        """Wait until the lane is at the position of the client; return False if it cannot be."""
        topic, lane, end = self.topic, self.lane, max(since.seq, since.until or 0)
        if since.epoch == topic.position.epoch and end > topic.position.seq:
            await self.hub.follower.catch_up(topic)  # the client got it from a faster process
        if not self._continues(since):
            return False
        while lane.position < end <= topic.position.seq:
            await lane.flushed()
            lane.move(topic.position.seq)
        return True

    def _continues(self, since: TopicSince) -> bool:
        """Return whether the log continues from the position of a client, and nothing is purged."""
        topic, end = self.topic, max(since.seq, since.until or 0)
        is_beginning = not since.epoch and not end
        if since.epoch != topic.position.epoch and not is_beginning:
            return False
        return topic.ring.purged_seq <= end <= topic.position.seq

    async def _remembered(self, position: int) -> list[EntryState] | None:
        """Return the changes since a position from memory, or None."""
        topic = self.topic
        states = topic.ring.since(position)
        if states is None and (topic.is_shared or topic.readers > 1):
            await self.hub.follower.extend_ring(topic)
            states = topic.ring.since(position)
        return states

    def _is_epoch(self, mark: LogMark) -> bool:
        topic = self.topic
        return mark.epoch == topic.position.epoch or topic.adopt(mark.epoch)

    # Pages.

    def _first_page(
        self, states: list[EntryState], history: int, end: int, *, is_all: bool
    ) -> EntryPage:
        """Return the living values, as many as fit, and the newest events before `end`."""
        values = [state for state in states if state.key is not None and not state.deleted]
        events = [state for state in states if state.key is None][-history:] if history else []
        events = fitting(events[::-1], ROOM_BYTES // 2)[::-1]
        kept = fitting(values, ROOM_BYTES - sum(map(_size, events)))
        shown = sorted([*kept, *events], key=lambda state: state.position)
        if is_all and len(kept) == len(values):
            return self._last_page(shown, recovered=False)
        return self._page(shown, kept[-1].position, end, recovered=False)

    def _page(
        self, states: list[EntryState], through: int, until: int, *, recovered: bool
    ) -> EntryPage:
        left = until if until > through else None
        epoch = self.topic.position.epoch
        return EntryPage(states, epoch, through, recovered, has_more=True, until=left)

    def _last_page(self, states: list[EntryState], *, recovered: bool) -> EntryPage:
        self.hub.check_open(self.topic, TOO_BUSY)
        self.connection.subscribe(self.topic)
        return EntryPage(states, self.topic.position.epoch, self.lane.position, recovered)


def _find_starts(
    keys: list[tuple[TopicLog, int]],
) -> dict[tuple[TopicLog, int], Changes[EntryState]]:
    """Read the snapshots of topics: one for all clients that subscribe to a topic at once."""
    return {(log, history): log.start(PAGE_STATES, history) for log, history in keys}


def fitting(states: list[EntryState], size: int = ROOM_BYTES) -> list[EntryState]:
    """Return the first states that fit into so many bytes, at least one."""
    for number, state in enumerate(states):
        size -= _size(state)
        if size < 0 and number:
            return states[:number]
    return states


def _size(state: EntryState) -> int:
    return len(_encode(state)) + 1
