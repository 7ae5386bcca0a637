"""What the site's code publishes: counted, and recorded where a tool for developers wants that."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from functools import partial
from typing import Any

from django.db import connections, transaction

from .counts import counts
from .store.database.alias import database
from .store.database.transactions import is_in_transaction, will_run
from .store.messages.drafts import Draft
from .store.topics.drafts import EntryDraft

__all__ = [
    "Publication",
    "Recording",
    "State",
    "count_entries",
    "record_message",
    "record_page",
    "recording",
]


class State(StrEnum):
    """The state of the transactions that a publication waits for."""

    COMMITTED = "committed"
    OPEN = "open"
    ROLLED_BACK = "rolled back"


class Publication:
    """Events that one call has published to a room or topic."""

    def __init__(self, place: str, name: str, events: Sequence[str]) -> None:
        self.place = place
        """Either "room" or "topic"."""
        self.name = name
        self.events = events
        """The names of the events."""
        self._open: dict[str, tuple[Any, Callable[[], object]]] = {}
        """The transactions that are not committed: their connections and our hooks."""

    def wait_for(self, aliases: set[str]) -> None:
        """Wait for the open transactions of databases."""
        for alias in filter(is_in_transaction, aliases):
            hook = partial(self._open.pop, alias, None)
            self._open[alias] = connections[alias], hook
            transaction.on_commit(hook, using=alias, robust=True)

    @property
    def state(self) -> State:
        """The state of the transactions."""
        if not self._open:
            return State.COMMITTED
        is_open = all(will_run(*waiting) for waiting in self._open.values())
        return State.OPEN if is_open else State.ROLLED_BACK


class Recording:
    """What one request publishes, and the topics of its page, in their order."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.topics: dict[str, tuple[float, bool]] = {}
        """By name, the moment from which on the page gets events, and whether it may subscribe."""


_recording: ContextVar[Recording | None] = ContextVar("realtime_recording", default=None)


@contextmanager
def recording(found: Recording) -> Iterator[None]:
    """Record in a block what this thread or task publishes, and what it starts in others."""
    token = _recording.set(found)
    try:
        yield
    finally:
        _recording.reset(token)


def count_entries(drafts: Sequence[EntryDraft], using: str | None = None) -> None:
    """Count what was published to topics; `using` is that of the call."""
    counts.published += len(drafts)
    if (found := _recording.get()) is None:
        return
    topics: dict[str, list[str]] = {}
    for draft in drafts:
        topics.setdefault(draft.topic, []).append(draft.type or draft.kind)
    for name, events in topics.items():
        _record(found, Publication("topic", name, events), using)


def record_message(draft: Draft, using: str | None) -> None:
    """Record a message that was published to a room."""
    if (found := _recording.get()) is not None:
        _record(found, Publication("room", draft.slug, ["message"]), using)


def record_page(topic: str, moment: float, *, permits: bool) -> None:
    """Record a topic that a page subscribes to from a moment on, in seconds since the epoch."""
    if (found := _recording.get()) is not None:
        found.topics[topic] = moment, permits


def _record(found: Recording, publication: Publication, using: str | None) -> None:
    publication.wait_for({database()} if using is None else {database(), using})
    found.publications.append(publication)
