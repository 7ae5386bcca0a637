"""Publish to a topic from the site's code: with the open transaction, or through the writer."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta

from asgiref.sync import AsyncToSync, sync_to_async
from django.db.transaction import TransactionManagementError
from msgspec import Raw

from ..engine.bus.handover import Handover
from ..engine.bus.notes import Broadcast, Note
from ..engine.engine import Engine
from ..engine.notify import hand_over_here, hand_over_on_commit
from ..publications import count_entries
from ..store.database.alias import database
from ..store.database.servers import on_working_server
from ..store.database.transactions import is_in_site_transaction
from ..store.outbox import pending, topic_numbering
from ..store.outbox.origins import with_origin
from ..store.topics.drafts import EntryDraft, Kind, StoredEntry, check
from ..store.topics.entries import topic_key
from ..wire.codecs import Frame
from ..wire.errors import CommandError
from ..wire.events import EntryEvent
from ..wire.tags import name_of
from .declared import Declared
from .encoding import text_of
from .publish_span import begin_publish
from .structs import Event, InvalidEvent

__all__ = ["Publishing", "store"]

Span = timedelta | float | None
IN_TRANSACTION = (
    "`if_seq` compares with what is committed, so it cannot wait for the open transaction: "
    "call it after the commit, or leave `if_seq` out."
)


class Publishing(Declared):
    """The methods that publish; each has an async twin with the prefix `a`.

    In a transaction of the package's database, everything is published with its commit, and nothing
    after a rollback. `using` names another database whose transaction must commit as well.
    """

    def publish(
        self, event: Event, *, nonce: str | None = None, using: str | None = None
    ) -> Handover:
        """Publish an event to all subscribers.

        With `keep` it is stored in the open transaction, and always delivered. Two calls with the
        same `nonce` store one event. Without `keep` it is sent once, after the commit. Raises
        `TypeError` for an event that the class does not list, and `InvalidEvent`.
        """
        return self._publish("publish", [self._draft(event, nonce=nonce)], using)

    async def apublish(
        self, event: Event, *, nonce: str | None = None, using: str | None = None
    ) -> Handover:
        """Publish an event to all subscribers.

        In the event loop of a server, its writer stores the event, together with others. Raises
        `CommandError` with `unavailable` if that is not possible now.
        """
        draft, engine = self._draft(event, nonce=nonce), _engine_here(using)
        if engine is not None and self.keep is None:
            handover = _send_here(engine, [draft])
        elif await _write(draft, using):
            handover = _stored()
        else:
            handover = await sync_to_async(self._publish)("publish", [draft], using)
        return await handover.settled()

    def publish_many(self, events: Iterable[Event], *, using: str | None = None) -> Handover:
        """Publish several events at once, in this order; none of them if one is invalid."""
        return self._publish("publish_many", [self._draft(event) for event in events], using)

    async def apublish_many(self, events: Iterable[Event], *, using: str | None = None) -> Handover:
        """Publish several events at once."""
        drafts, engine = [self._draft(event) for event in events], _engine_here(using)
        if engine is not None and self.keep is None:
            handover = _send_here(engine, drafts)
        else:
            handover = await sync_to_async(self._publish)("publish_many", drafts, using)
        return await handover.settled()

    def set(
        self,
        key: str,
        event: Event,
        *,
        expires: Span = None,
        if_seq: int | None = None,
        using: str | None = None,
    ) -> int | None:
        """Set the value of a key; subscribers get the latest value of each key.

        The value deletes itself after `expires`, a timedelta or seconds. With `if_seq` it is set
        only if the last change of the key is at this position, or with 0 if it has no value; the
        new position is returned. Otherwise `CommandError` with `conflict` is raised.
        """
        draft = self._draft(event, key=key, expires=expires, if_seq=if_seq)
        return self._change("set", draft, using)

    async def aset(
        self,
        key: str,
        event: Event,
        *,
        expires: Span = None,
        if_seq: int | None = None,
        using: str | None = None,
    ) -> int | None:
        """Set the value of a key, as `apublish` publishes an event."""
        draft = self._draft(event, key=key, expires=expires, if_seq=if_seq)
        if written := await _write(draft, using):
            return _position(draft, written)
        change = sync_to_async(self.set)
        return await change(key, event, expires=expires, if_seq=if_seq, using=using)

    def set_many(
        self, values: Mapping[str, Event], *, expires: Span = None, using: str | None = None
    ) -> None:
        """Set the values of several keys at once."""
        drafts = [self._draft(event, key=key, expires=expires) for key, event in values.items()]
        self._publish("set_many", drafts, using)

    async def aset_many(
        self, values: Mapping[str, Event], *, expires: Span = None, using: str | None = None
    ) -> None:
        """Set the values of several keys at once."""
        await sync_to_async(self.set_many)(dict(values), expires=expires, using=using)

    def delete(
        self, key: str, *, if_seq: int | None = None, using: str | None = None
    ) -> int | None:
        """Delete the value of a key, if it has one. `if_seq` is that of `set`."""
        return self._change("delete", self._deletion(key, if_seq), using)

    async def adelete(
        self, key: str, *, if_seq: int | None = None, using: str | None = None
    ) -> int | None:
        """Delete the value of a key, as `apublish` publishes an event."""
        draft = self._deletion(key, if_seq)
        if written := await _write(draft, using):
            return _position(draft, written)
        return await sync_to_async(self.delete)(key, if_seq=if_seq, using=using)

    def refresh_rights(self, *, using: str | None = None) -> None:
        """Ask again which of the subscribers may stay, after the commit.

        Call it when something has changed that `may_subscribe` depends on.
        """
        self._check_thread("refresh_rights")
        store([EntryDraft(topic=self.name, kind=Kind.RIGHTS)], using)

    async def arefresh_rights(self, *, using: str | None = None) -> None:
        """Ask again which of the subscribers may stay."""
        await sync_to_async(self.refresh_rights)(using=using)

    def _draft(
        self,
        event: Event,
        *,
        key: str | None = None,
        nonce: str | None = None,
        expires: Span = None,
        if_seq: int | None = None,
    ) -> EntryDraft:
        if key is not None:
            self._check_kept("values")
        elif nonce is not None:
            self._check_kept("nonces")
        self._check_event(event)
        seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
        return EntryDraft(
            topic=self.name,
            kind=Kind.EVENT if key is None else Kind.SET,
            type=name_of(type(event)),
            key=key,
            data=text_of(event),
            nonce=nonce,
            expires_seconds=seconds,
            if_seq=if_seq,
        )

    def _deletion(self, key: str, if_seq: int | None) -> EntryDraft:
        self._check_kept("values")
        return EntryDraft(topic=self.name, kind=Kind.DELETE, key=key, if_seq=if_seq)

    def _publish(self, method: str, drafts: list[EntryDraft], using: str | None) -> Handover:
        if not drafts:
            return _stored()
        if self.keep is None:
            return _send(drafts, using)
        self._check_thread(method)
        store(drafts, using)
        return _stored()

    def _change(self, method: str, draft: EntryDraft, using: str | None) -> int | None:
        self._check_thread(method)
        if draft.if_seq is None:
            store([draft], using)
            return None
        _check(draft)
        if is_in_site_transaction(database()) or (using and is_in_site_transaction(using)):
            raise TransactionManagementError(IN_TRANSACTION)
        return _compare_and_change(draft)


@on_working_server
def _compare_and_change(draft: EntryDraft) -> int | None:
    """Change a value if it has not changed meanwhile; return its new position."""
    with begin_publish([draft]) as span:
        drafts = with_origin([draft], span.origin)
        [outcome] = topic_numbering.append(drafts, announces=True)
        if not isinstance(outcome, StoredEntry):
            raise outcome
    count_entries([draft])
    return _position(draft, outcome)


def _position(draft: EntryDraft, stored: StoredEntry) -> int | None:
    """Return the position of a change with a condition; no other change has to know its own."""
    if draft.if_seq is None or stored.state is None:
        return None
    return stored.state.position


async def _write(draft: EntryDraft, using: str | None) -> StoredEntry | None:
    """Write a draft through the writer of this event loop; None if sync code has to store it."""
    engine = _engine_here(using)
    if engine is None:
        return None
    _check(draft)
    with begin_publish([draft]):
        written = await engine.writer.write(draft)
    count_entries([draft])
    return written


def _engine_here(using: str | None) -> Engine | None:
    """Return the engine of this event loop; None if sync code has to publish."""
    engine = Engine.here()
    if engine is None or engine.is_stopping or using is not None:
        return None
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return None  # it runs for sync code, which may have a transaction open
    return engine


def _stored() -> Handover:
    """Return the result of publishing what is stored, and so cannot be lost."""
    handover, stored = Handover(), Future[str]()
    stored.set_result("")
    handover.follow(stored)
    return handover


def store(drafts: list[EntryDraft], using: str | None) -> None:
    """Store drafts with the open transaction."""
    with begin_publish(drafts) as span, _invalid_events():
        pending.publish(with_origin(drafts, span.origin), using=using)  # checks each draft first
    count_entries(drafts, using)


def _check(draft: EntryDraft) -> None:
    with _invalid_events():
        check(draft)


@contextmanager
def _invalid_events() -> Iterator[None]:
    """Raise `InvalidEvent` for a key or another part that cannot be stored.

    A `CommandError` would be told to the client of a command that publishes.
    """
    try:
        yield
    except CommandError as error:
        raise InvalidEvent(error.message) from None


def _send(drafts: list[EntryDraft], using: str | None) -> Handover:
    """Send events once, after the commit."""
    with begin_publish(drafts) as span:
        key = topic_key(drafts[0].topic)
        handover = hand_over_on_commit(key, _notes(drafts), using, span.origin)
    count_entries(drafts, using)
    return handover


def _send_here(engine: Engine, drafts: list[EntryDraft]) -> Handover:
    """Send events once, from the event loop of an engine."""
    if not drafts:
        return _stored()
    with begin_publish(drafts) as span:
        key = topic_key(drafts[0].topic)
        handover = hand_over_here(engine, key, _notes(drafts), span.origin)
    count_entries(drafts)
    return handover


def _notes(drafts: list[EntryDraft]) -> list[Note]:
    return [Broadcast(_frame(draft), "") for draft in drafts]


def _frame(draft: EntryDraft) -> str:
    data = Raw(draft.data.encode())
    return Frame.of(EntryEvent(topic=draft.topic, name=draft.type, data=data)).text
