"""Have the members of a topic recheck their rights there after a change.

A note about a change carries no rights, only the user concerned and the new `rights_seq`. The
members read their rights from the database, at the latest before their next command.
"""

import asyncio

from django.db import Error as DatabaseError

from ...store.logs import LogMark
from ..database.executor import Database
from .log import find_marks
from .topic import AnyLogTopic

__all__ = ["LogRights"]

RECHECK_SECONDS, MEMBER_SECONDS, MOST_SECONDS = 0.5, 0.002, 0.75
"""The pause between two rechecks of all members of a topic; it grows with their number.

It is never long: `withholding.py` keeps the events of members that have not been asked soon.
"""


class LogRights:
    """Compares the rights of topics with the database, and rechecks the members concerned."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def refresh(self, topic: AnyLogTopic) -> None:
        """Recheck all members if the database has another version of rights by now."""
        if mark := await self._db.load(find_marks, topic.log):
            self.compare(topic, mark)

    async def changed(self, topic: AnyLogTopic, user_id: str, seq: int) -> None:
        """Recheck one user, or all members if the note concerns them or a note was lost."""
        told_at = asyncio.get_running_loop().time()
        try:
            mark = await self._db.load(find_marks, topic.log)
        except DatabaseError:  # a right may have ended all the same
            self.recheck(topic, told_at)
            raise
        if mark is None:
            return
        if user_id and topic.accept_user_rights(mark, seq):
            _recheck_members(topic, user_id)
        else:
            self.compare(topic, mark, told_at)

    def compare(self, topic: AnyLogTopic, mark: LogMark, told_at: float | None = None) -> None:
        """Recheck all members if the database has another version of rights.

        `told_at` is when this process was told of the change, by the clock of the event loop.
        """
        if topic.accept_rights(mark):
            self.recheck(topic, told_at)

    def recheck(self, topic: AnyLogTopic, told_at: float | None = None) -> None:
        """Recheck the rights of all members, and withhold events if that takes long."""
        now = asyncio.get_running_loop().time()
        topic.doubt(topic.members.values(), now if told_at is None else told_at)
        self._recheck_all(topic)

    def _recheck_all(self, topic: AnyLogTopic) -> None:
        """Recheck the rights of all members: at once, and once more for changes soon after.

        No member can use old rights meanwhile: its next command rechecks them.
        """
        if topic.is_recheck_due:
            return
        loop, members = asyncio.get_running_loop(), len(topic.members)
        pause = max(RECHECK_SECONDS, min(members * MEMBER_SECONDS, MOST_SECONDS))
        wait = topic.rechecked_at + pause - loop.time()
        if wait > 0:
            topic.is_recheck_due = True
            loop.call_later(wait, self._recheck_now, topic)
        else:
            self._recheck_now(topic)

    def _recheck_now(self, topic: AnyLogTopic) -> None:
        topic.is_recheck_due = False
        topic.rechecked_at = asyncio.get_running_loop().time()
        _recheck_members(topic)


def _recheck_members(topic: AnyLogTopic, user_id: str = "") -> None:
    """Have the members of a topic recheck their rights; with `user_id`, only that user's."""
    for connection in list(topic.members.values()):
        topic.recheck(connection, user_id)
