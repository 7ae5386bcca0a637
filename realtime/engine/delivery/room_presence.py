"""Keep the rosters of rooms up to date, and announce which users joined and left.

In a large room, or when too many users join and leave, one `presence` event replaces single ones.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ...conf import config
from ...store import presence
from ...wire.codecs import Frame
from ...wire.events import Joined, Left, PresenceList
from ..bus.notes import People
from ..database.executor import Database
from .event import Event
from .room_topic import RoomTopic

__all__ = ["RoomPresence"]

CROWD_SECONDS = 1.0
"""The pause before the `presence` event that replaces `joined` and `left` events."""


class RoomPresence:
    """Applies joins and leaves to the rosters of a process, and delivers them to members."""

    def __init__(
        self, db: Database, spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
    ) -> None:
        self._db = db
        self._spawn = spawn
        self._crowds: set[int] = set()
        """The rooms that are about to get a `presence` event."""

    def update(self, topic: RoomTopic, joined: People, left: People) -> None:
        """Apply joins and leaves; no connection gets the `joined` that it has caused."""
        for user_id, username, connection in joined:
            topic.roster.add(user_id, username)
            if self._may_announce(topic):
                event = Joined(room=topic.slug, user_id=user_id, username=username)
                topic.deliver(Event(Frame.of(event), exclude=connection))
        for user_id, username, _ in left:
            topic.roster.remove(user_id)
            if self._may_announce(topic):
                gone = Left(room=topic.slug, user_id=user_id, username=username)
                topic.deliver(Event(Frame.of(gone)))
        if topic.roster.is_incomplete:
            self._spawn(self._reload(topic))

    def correct(self, topics: Iterable[RoomTopic], counts: dict[int, int]) -> None:
        """Reload the rosters that differ from the counts of the database."""
        for topic in topics:
            counted = counts.get(topic.room_id, 0)
            if counted != topic.roster.count or topic.roster.is_incomplete:
                self._spawn(self._reload(topic))

    def _may_announce(self, topic: RoomTopic) -> bool:
        """Return whether a single `joined` or `left` is sent; otherwise `presence` follows soon.

        It is not sent in a large room, nor while joins and leaves cause too many deliveries.
        """
        loop = asyncio.get_running_loop()
        is_crowd = topic.roster.is_crowd
        if not is_crowd and not topic.presence_bucket.spend(loop.time(), len(topic.members)):
            return True
        if topic.room_id not in self._crowds:
            self._crowds.add(topic.room_id)
            loop.call_later(CROWD_SECONDS, self._deliver_crowd, topic)
        return False

    def _deliver_crowd(self, topic: RoomTopic) -> None:
        self._crowds.discard(topic.room_id)
        _deliver_roster(topic)

    async def _reload(self, topic: RoomTopic) -> None:
        before = topic.roster.count
        found = await self._db.read(presence.members, topic.room_id, config().presence_events_up_to)
        topic.roster.load(*found)
        if topic.roster.count != before:
            _deliver_roster(topic)


def _deliver_roster(topic: RoomTopic) -> None:
    members, count = topic.roster.members(), topic.roster.count
    listed = PresenceList(room=topic.slug, count=count, members=members)
    topic.deliver(Event(Frame.of(listed)))
