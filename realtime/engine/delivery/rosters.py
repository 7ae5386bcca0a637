"""Keep the rosters of rooms and topics up to date, and announce which users joined and left.

In a large topic, or when too many users join and leave, one `presence` event replaces single ones.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from ...store.presence import Place
from ..bus.notes import People
from ..database.executor import Database
from .topic_presence import TopicPresence

__all__ = ["Rosters"]

CROWD_SECONDS = 1.0
"""The pause before the `presence` event that replaces `joined` and `left` events."""


class Rosters:
    """Applies joins and leaves to the rosters of a process, and delivers them to members."""

    def __init__(
        self, db: Database, spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
    ) -> None:
        self._db = db
        self._spawn = spawn
        self._crowds: set[Place] = set()
        """The places that are about to get a `presence` event."""

    def update(self, presence: TopicPresence, joined: People, left: People) -> None:
        """Apply joins and leaves; no connection gets the `joined` that it has caused."""
        for user_id, username, connection in joined:
            presence.roster.add(user_id, username)
            if self._may_announce(presence):
                presence.deliver_joined(user_id, username, connection)
        for user_id, username, _ in left:
            presence.roster.remove(user_id)
            if self._may_announce(presence):
                presence.deliver_left(user_id, username)
        if presence.roster.is_incomplete:
            self._spawn(self._reload(presence))

    def correct(self, presences: Iterable[TopicPresence], counts: Mapping[Place, int]) -> None:
        """Reload the rosters that differ from the counts of the database."""
        for presence in presences:
            counted = counts.get(presence.place, 0)
            if counted != presence.roster.count or presence.roster.is_incomplete:
                self._spawn(self._reload(presence))

    def _may_announce(self, presence: TopicPresence) -> bool:
        """Return whether a single `joined` or `left` is sent; otherwise `presence` follows soon.

        It is not sent in a large topic, nor while joins and leaves cause too many deliveries.
        """
        loop = asyncio.get_running_loop()
        is_crowd = presence.roster.is_crowd
        number = len(presence.audience.members)
        if not is_crowd and not presence.bucket.spend(loop.time(), number):
            return True
        if presence.place not in self._crowds:
            self._crowds.add(presence.place)
            loop.call_later(CROWD_SECONDS, self._deliver_crowd, presence)
        return False

    def _deliver_crowd(self, presence: TopicPresence) -> None:
        self._crowds.discard(presence.place)
        presence.deliver_list()

    async def _reload(self, presence: TopicPresence) -> None:
        if await presence.load(self._db):
            presence.deliver_list()
