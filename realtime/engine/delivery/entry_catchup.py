"""Let a connection subscribe to a topic without a gap, also if that takes several replies.

A client without a position gets a snapshot: the living values, and the newest events. One with a
position gets what has changed since. Both come in pages. The connection is attached with the last
page, in the turn of the event loop in which that page is complete. So no event can be missed.
"""

from dataclasses import dataclass

import msgspec
from django.utils.translation import gettext_lazy as _

from ...store.logs import Changes, LogMark
from ...store.topics.entries import TopicLog
from ...wire.commands import TopicSince
from ...wire.entries import EntryState
from ..connections.connection import Connection
from ..database.executor import Database
from .attachment import REPLY_BYTES, Attachment, latest
from .entry_topic import EntryTopic
from .hub import Hub

__all__ = ["EntryPage", "attach_entries", "fitting"]

PAGE_STATES = 500

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
    attachment = _EntryAttachment(hub, db, topic, connection, history)
    hub.check_open(topic, attachment.too_busy)
    # A member that subscribes again must not get an event that the reply repeats.
    connection.unsubscribe(topic)
    return await attachment.attach(since)


@dataclass(slots=True)
class _EntryAttachment(Attachment[EntryTopic, EntryPage]):
    """The way of one connection into a topic of the site."""

    history: int

    too_busy = _("The topic is too busy. Try again in a moment.")

    async def resume(self, since: TopicSince) -> EntryPage | None:
        """Continue from a position, with a page or to the end."""
        topic, position, until = self.topic, since.seq, since.until or 0
        end = max(position, until)
        if not await self.reach(since.epoch, end):
            return None
        states = await self.remembered(position) if until <= position else None
        if states is None:
            changes = await self.db.read(topic.log.since, position, PAGE_STATES, until)
            mark = changes.mark
            if not self._is_epoch(mark) or mark.purged_seq > end:
                return None
            states = None if changes.has_more else latest(topic, changes)
            if states is None:
                changes = changes.cut(fitting(changes.states))
                return self._page(changes.states, changes.through, until, recovered=True)
        if not self.continues(since.epoch, end) or self.lane.position < end:
            return None
        states = [state for state in states if state.position <= self.lane.position]
        kept = fitting(states)
        if len(kept) < len(states):
            return self._page(kept, kept[-1].position, until, recovered=True)
        return self._last_page(states, recovered=True)

    async def start(self) -> EntryPage | None:
        """Begin with a snapshot, or with its first page."""
        topic, history = self.topic, self.history
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

    def continues(self, epoch: str, end: int) -> bool:
        """As for all topics, and also from the beginning: a topic may have had no log yet."""
        position, is_beginning = self.topic.position, not epoch and not end
        if epoch != position.epoch and not is_beginning:
            return False
        return self.topic.ring.purged_seq <= end <= position.seq

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
        events = fitting(events[::-1], REPLY_BYTES // 2)[::-1]
        kept = fitting(values, REPLY_BYTES - sum(map(_size, events)))
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
        self.hub.check_open(self.topic, self.too_busy)
        self.connection.subscribe(self.topic)
        return EntryPage(states, self.topic.position.epoch, self.lane.position, recovered)


def _find_starts(
    keys: list[tuple[TopicLog, int]],
) -> dict[tuple[TopicLog, int], Changes[EntryState]]:
    """Read the snapshots of topics: one for all clients that subscribe to a topic at once."""
    return {(log, history): log.start(PAGE_STATES, history) for log, history in keys}


def fitting(states: list[EntryState], size: int = REPLY_BYTES) -> list[EntryState]:
    """Return the first states that fit into so many bytes, at least one."""
    for number, state in enumerate(states):
        size -= _size(state)
        if size < 0 and number:
            return states[:number]
    return states


def _size(state: EntryState) -> int:
    return len(_encode(state)) + 1
