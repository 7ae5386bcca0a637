"""The group commit of entries: events of topics beside messages, and what is pending."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from harness.database import Database as Rows
from harness.waiting import eventually
from realtime.engine.database import writer as module
from realtime.engine.database.writer import Committed, Writer
from realtime.models import Message, Pending, Room
from realtime.signals import entries_pending, entries_stored
from realtime.store.messages.drafts import Draft, Stored
from realtime.store.outbox import batch, pending, pending_entries, pending_messages
from realtime.store.topics import rows
from realtime.store.topics.drafts import EntryDraft, StoredEntry
from realtime.wire.errors import CommandError, ErrorCode
from tests.engine import topic_log
from tests.engine.database.test_writer import Unsteady
from tests.engine.ends import in_thread
from tests.engine.topic_log import event, value
from tests.store.says import draft

ORDER = "order/7"


class Desk:
    """A writer, what it has broadcast, and what the signal of numbering has told, in order."""

    def __init__(self, db: Unsteady) -> None:
        self.broadcasts: list[Committed] = []
        self.writer = Writer(db, self.broadcasts.append)

    @property
    def told(self) -> list[tuple[str, int]]:
        """The topics and positions of the entries that were broadcast."""
        entries = [one for one in self.broadcasts if isinstance(one, StoredEntry)]
        return [(one.topic, one.state.seq) for one in entries if one.state is not None]


@pytest.fixture
async def db() -> AsyncIterator[Unsteady]:
    made = Unsteady()
    yield made
    await made.stop()


@pytest.fixture
async def desk(db: Unsteady, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01,))
    made = Desk(db)
    made.writer.start()
    yield made
    await made.writer.drain(0.1)
    made.writer.stop()


@pytest.fixture
def numbered() -> Iterator[list[StoredEntry]]:
    """The entries that the signal has told of."""
    found: list[StoredEntry] = []

    def receive(stored: list[StoredEntry], **_: object) -> None:
        found.extend(stored)

    entries_stored.connect(receive)
    yield found
    entries_stored.disconnect(receive)


async def test_events_and_messages_are_written_in_one_batch(
    either: str, desk: Desk, db: Unsteady, make_room: Callable[[str], Room]
) -> None:
    """Each gets its own result, and the order within a log is that of the calls."""
    room = await in_thread(make_room, "general")
    db.gate.clear()
    draft = Draft(room_id=room.pk, content="hi", sender="7", username="ada")
    writes: list[Any] = [event(ORDER, "a"), draft, event("other", "b"), event(ORDER, "c")]
    results = [asyncio.ensure_future(desk.writer.write(one)) for one in writes]
    await eventually(lambda: desk.writer.waiting == 4)
    db.gate.set()
    found = await asyncio.gather(*results)
    assert [one.state.seq for one in found] == [1, 1, 1, 2]
    assert [type(one) for one in found] == [StoredEntry, Stored, StoredEntry, StoredEntry]
    assert desk.told == [(ORDER, 1), ("other", 1), (ORDER, 2)]
    assert len(desk.broadcasts) == 4
    assert max(db.batches) >= 3


async def test_an_event_is_stored_once_if_the_outcome_is_unknown(
    either: str, desk: Desk, db: Unsteady
) -> None:
    """The writer gives it a nonce, which no client sees."""
    db.unanswered = 1
    stored = await desk.writer.write(event(ORDER, "a"))
    assert stored.state is not None
    assert (stored.state.seq, stored.state.nonce) == (1, None)
    assert desk.told == [(ORDER, 1)]
    assert await in_thread(topic_log.events, ORDER) == {1: '{"text":"a"}'}


async def test_a_conflict_is_raised_and_concerns_no_other(either: str, desk: Desk) -> None:
    """A condition on the value of a key."""
    late = EntryDraft(topic=ORDER, kind="set", type="set", key="k", data="1", if_seq=5)
    results = await asyncio.gather(
        desk.writer.write(value(ORDER, "k", "a")),
        desk.writer.write(late),
        desk.writer.write(event(ORDER, "b")),
        return_exceptions=True,
    )
    assert isinstance(results[1], CommandError)
    assert results[1].code == ErrorCode.CONFLICT
    assert desk.told == [(ORDER, 1), (ORDER, 2)]


async def test_a_full_queue_refuses_events(
    either: str, desk: Desk, db: Unsteady, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And drops requests to number, because the pulse numbers too."""
    monkeypatch.setattr(module, "QUEUE_SIZE", 1)
    db.gate.clear()
    first = asyncio.ensure_future(desk.writer.write(event(ORDER, "a")))
    await eventually(lambda: desk.writer.waiting == 1)
    with pytest.raises(CommandError) as caught:
        await desk.writer.write(event(ORDER, "b"))
    assert caught.value.code == ErrorCode.UNAVAILABLE
    desk.writer.number([ORDER], [])
    assert desk.writer.waiting == 1
    db.gate.set()
    await first


async def test_an_event_that_cannot_be_stored_fails_alone(
    either: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of its batch are stored."""
    real = batch.topic_numbering.append

    def append(drafts: list[EntryDraft], **options: Any) -> Any:
        if any("bad" in one.data for one in drafts):
            raise ValueError("a defect")
        return real(drafts, **options)

    monkeypatch.setattr(batch.topic_numbering, "append", append)
    results = await asyncio.gather(
        *(desk.writer.write(event(ORDER, text)) for text in ("a", "bad", "c")),
        return_exceptions=True,
    )
    assert [isinstance(one, CommandError) for one in results] == [False, True, False]
    assert str(results[1]) == "internal: The event cannot be stored."
    assert list((await in_thread(topic_log.events, ORDER)).values()) == [
        '{"text":"a"}',
        '{"text":"c"}',
    ]


# What transactions have published.


def publish(*drafts: EntryDraft) -> None:
    """Publish in a transaction that nobody numbers."""
    with transaction.atomic():
        pending.publish(drafts)


@pytest.fixture
def answered() -> Iterator[list[tuple[frozenset[str], frozenset[int]]]]:
    """The requests to number, which a receiver accepts in place of an engine."""
    requests: list[tuple[frozenset[str], frozenset[int]]] = []

    def accept(topics: frozenset[str], rooms: frozenset[int], **_: object) -> bool:
        requests.append((topics, rooms))
        return True

    entries_pending.connect(accept)
    yield requests
    entries_pending.disconnect(accept)


async def test_pending_entries_are_numbered_before_an_event(
    postgres: str, desk: Desk, numbered: list[StoredEntry], answered: list[Any]
) -> None:
    """What was committed before comes before; the signal tells of it."""
    await in_thread(publish, event(ORDER, "first"), event(ORDER, "second"))
    assert answered == [(frozenset([ORDER]), frozenset())]
    stored = await desk.writer.write(event(ORDER, "third"))
    assert stored.state is not None
    assert stored.state.seq == 3
    assert [one.state.seq for one in numbered if one.state] == [1, 2]
    assert desk.told == [(ORDER, 3)]


async def test_a_request_numbers_what_is_pending(
    postgres: str, desk: Desk, numbered: list[StoredEntry], answered: list[Any]
) -> None:
    """Draining waits for it, as a process that shuts down does."""
    await in_thread(publish, event(ORDER, "a"))
    await in_thread(publish, event("other", "b"))
    desk.writer.number([ORDER, "other"], [])
    await desk.writer.drain(10)
    assert [(one.topic, one.state.seq) for one in numbered if one.state] == [
        (ORDER, 1),
        ("other", 1),
    ]
    assert not await in_thread(Pending.objects.exists)


async def test_equal_requests_are_one_until_it_has_begun(
    postgres: str, desk: Desk, db: Unsteady, numbered: list[StoredEntry], answered: list[Any]
) -> None:
    """A process may commit thousands of transactions while one batch is written."""
    db.gate.clear()
    desk.writer.number([ORDER], [])
    await eventually(lambda: not desk.writer._numberings)  # its transaction may have begun
    for _ in range(1000):
        desk.writer.number([ORDER], [])
    assert desk.writer.waiting == 2
    await in_thread(publish, event(ORDER, "a"))
    db.gate.set()
    await desk.writer.drain(10)
    assert len(numbered) == 1
    assert not desk.writer._numberings


async def test_requests_leave_space_for_messages(
    postgres: str,
    desk: Desk,
    db: Unsteady,
    answered: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One transaction may publish to thousands of topics; the pulse numbers the rest."""
    monkeypatch.setattr(module, "QUEUE_SIZE", 20)
    db.gate.clear()
    desk.writer.number([f"order/{number}" for number in range(100)], [])
    assert desk.writer.waiting == 10
    last = asyncio.ensure_future(desk.writer.write(event(ORDER, "a")))
    db.gate.set()
    assert (await last).is_new


async def test_a_locked_topic_delays_no_other(
    postgres: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events and requests wait alone, in their order."""
    monkeypatch.setattr(module, "LOCK_MS", 60)
    await desk.writer.write(event(ORDER, "0"))
    holder = await asyncio.to_thread(Rows(postgres).connect)
    try:
        await asyncio.to_thread(
            holder.execute, f"SELECT 1 FROM realtime_head WHERE name='{ORDER}' FOR UPDATE"
        )
        locked = [asyncio.ensure_future(desk.writer.write(event(ORDER, n))) for n in "12"]
        desk.writer.number([ORDER], [])
        free = [desk.writer.write(event("free", n)) for n in "12"]
        await asyncio.wait_for(asyncio.gather(*free), 10)
        assert not any(one.done() for one in locked)
    finally:
        await asyncio.to_thread(holder.close)
    found = await asyncio.wait_for(asyncio.gather(*locked), 10)
    assert [one.state.seq for one in found if one.state] == [2, 3]
    await desk.writer.drain(10)
    assert not desk.writer._locked


async def test_a_topic_with_a_backlog_is_numbered_before_an_entry_is_appended(
    postgres: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction numbers a bounded part of what is pending."""
    monkeypatch.setattr(rows, "BATCH", 2)
    await in_thread(pending_entries.insert, "default", [event(ORDER, str(n)) for n in range(5)])
    stored = await desk.writer.write(event(ORDER, "5"))
    assert stored.state is not None
    assert stored.state.seq == 6
    assert not await in_thread(Pending.objects.exists)
    assert await in_thread(transactions) > 2


async def test_a_room_with_a_backlog_is_numbered_beside_the_others(
    postgres: str, db: Unsteady, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction of the site that has published much delays no client of another room."""
    monkeypatch.setattr(pending_messages, "BATCH_BYTES", 2000)
    room = await in_thread(lambda: Room.objects.create(slug="busy"))

    def publish() -> None:
        for number in range(20):
            pending_messages.insert("default", draft(room, f"{number} " + "x" * 500))

    await in_thread(publish)
    separately: list[str] = []
    run = db.write_blocking

    async def write_blocking(function: Any, *args: Any) -> Any:
        separately.append(function.__name__)
        return await run(function, *args)

    monkeypatch.setattr(db, "write_blocking", write_blocking)
    desk.writer.number([], [room.pk])
    await desk.writer.drain(20)
    assert "number_log" in separately
    found = await in_thread(lambda: list(Message.objects.order_by("seq").values_list("content")))
    assert [content.split()[0] for (content,) in found] == [str(number) for number in range(20)]


async def test_one_request_numbers_very_many_topics(
    postgres: str, desk: Desk, numbered: list[StoredEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as the queue has no space for, and beside messages."""
    monkeypatch.setattr(module, "QUEUE_SIZE", 4)
    monkeypatch.setattr(module, "NUMBERINGS", 10)
    names = [f"order/{number}" for number in range(30)]
    await in_thread(pending_entries.insert, "default", [event(name, "paid") for name in names])
    desk.writer.number(names, [])
    stored = await desk.writer.write(event(ORDER, "beside"))
    assert stored.state is not None
    await desk.writer.drain(20)
    assert {one.topic for one in numbered} >= set(names)
    assert not await in_thread(Pending.objects.exists)
    assert not desk.writer._locked


def transactions() -> int:
    """In how many transactions the entries were written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT xmin::text) FROM realtime_entry")
        return int(cursor.fetchone()[0])
