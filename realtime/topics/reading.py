"""Read what the log of a topic holds, and who is subscribed, from the site's code."""

from asgiref.sync import sync_to_async

from ..store import presence
from ..store.database.primary import on_primary
from ..store.outbox.sequencer import sequencer
from ..store.topics.entries import TopicLog
from ..wire.clean import MAX_INTEGER
from ..wire.entries import EntryState
from ..wire.events import Member
from .declared import OWN_KEYS, Declared
from .stored import StoredEvent

__all__ = ["Reading"]


class Reading(Declared):
    """The methods that read a topic; each has an async twin with the prefix `a`.

    Of the log, they read what is committed and has a position. Raises `ImproperlyConfigured`
    without `keep`, and `present` without `presence`.
    """

    def get(self, key: str) -> StoredEvent | None:
        """Return the value of a key, or None."""
        self._check_kept("values")
        self._check_thread("get")
        state = on_primary(self._log().value, key)
        return None if state is None else self._stored(state)

    async def aget(self, key: str) -> StoredEvent | None:
        """Return the value of a key, or None."""
        return await sync_to_async(self.get)(key)

    def values(self) -> dict[str, StoredEvent]:
        """Return the values of all keys, in the order of their last change."""
        self._check_kept("values")
        self._check_thread("values")
        states = on_primary(lambda: list(self._log().values()))
        found = {str(state.key): self._stored(state) for state in states}
        return {key: value for key, value in found.items() if not key.startswith(OWN_KEYS)}

    async def avalues(self) -> dict[str, StoredEvent]:
        """Return the values of all keys."""
        return await sync_to_async(self.values)()

    def history(self, limit: int = 50, *, before: int | None = None) -> list[StoredEvent]:
        """Return the newest events, oldest first; with `before`, those before a position."""
        self._check_kept("history")
        self._check_thread("history")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        place = MAX_INTEGER if before is None else before
        states, _has_more = on_primary(self._log().page, place, limit)
        return [self._stored(state) for state in states]

    async def ahistory(self, limit: int = 50, *, before: int | None = None) -> list[StoredEvent]:
        """Return the newest events, oldest first."""
        return await sync_to_async(self.history)(limit, before=before)

    def present(self) -> list[Member]:
        """Return the users who are subscribed, by name, each with the number of connections."""
        self._check_presence()
        self._check_thread("present")
        return on_primary(presence.present, self.name)

    async def apresent(self) -> list[Member]:
        """Return the users who are subscribed."""
        return await sync_to_async(self.present)()

    def _log(self) -> TopicLog:
        sequencer.settle()  # this process may have published it a moment ago
        return TopicLog(self.name)

    def _stored(self, state: EntryState) -> StoredEvent:
        return StoredEvent.of(state, self.event_named(state.name))
