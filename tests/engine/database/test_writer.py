"""The group commit: everything once and in order, whatever fails on the way."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, TypeVar

import pytest
from django.db import OperationalError
from pytest_django.fixtures import Settings

from harness.database import Database as Rows
from harness.waiting import eventually
from realtime.engine.database import writer as module
from realtime.engine.database.executor import Database
from realtime.engine.database.writer import Result, Writer
from realtime.models import Message, Room
from realtime.store.messages import history
from realtime.store.messages.drafts import Draft, Stored
from realtime.store.outbox import pending_messages
from realtime.store.outbox.room_batch import Change
from realtime.wire.errors import CommandError, ErrorCode
from tests.engine.ends import in_thread
from tests.store.says import delete, draft

T = TypeVar("T")


class Unsteady(Database):
    """The real database, which is away for some calls, or loses the answers of some."""

    def __init__(self) -> None:
        super().__init__()
        self.away = 0
        self.unanswered = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[int] = []

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        await self.gate.wait()
        self.batches.append(len(args[0]))
        if self.away:
            self.away -= 1
            raise OperationalError("the server closed the connection unexpectedly")
        result = await super().write(function, *args)
        if self.unanswered:
            self.unanswered -= 1
            raise OperationalError("the connection was lost after the commit")
        return result


class Desk:
    """A writer, the results for its senders, and the messages broadcast to rooms, in order."""

    def __init__(self, db: Database) -> None:
        self.writer = Writer(db, self._committed)
        self.broadcasts: list[tuple[int, str | None]] = []
        self.results: dict[str, Result] = {}
        self.error: Exception | None = None

    def submit(self, room: Room | int, content: str, **fields: Any) -> None:
        room_id = room if isinstance(room, int) else room.pk
        draft = Draft(
            **{"room_id": room_id, "content": content, "sender": "7", "username": "ada"} | fields
        )
        self.writer.submit(draft, lambda result: self.results.__setitem__(content, result))

    async def settled(self, number: int) -> None:
        await eventually(lambda: len(self.results) == number, 20, f"{number} results")

    def codes(self) -> dict[str, str]:
        """The result for each sender: "ok" or the code of its error."""
        return {
            content: str(result.code) if isinstance(result, CommandError) else "ok"
            for content, result in self.results.items()
        }

    def _committed(self, stored: Stored) -> None:
        self.broadcasts.append((stored.room_id, stored.state.content))
        if self.error is not None:
            raise self.error


@pytest.fixture
async def db() -> AsyncIterator[Unsteady]:
    made = Unsteady()
    yield made
    await made.stop()


@pytest.fixture
async def desk(db: Unsteady) -> AsyncIterator[Desk]:
    made = Desk(db)
    made.writer.start()
    yield made
    await made.writer.drain(0.1)
    made.writer.stop()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01,))


async def stored(room: Room) -> list[str]:
    rows = await in_thread(lambda: list(Message.objects.filter(room=room).order_by("seq")))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    return [row.content for row in rows]


MakeRoom = Callable[[str], Room]


@pytest.fixture
def room(either: str, make_room: MakeRoom) -> Room:
    return make_room("general")


async def test_drafts_are_stored_and_broadcast_in_order(desk: Desk, room: Room) -> None:
    """Rooms get messages in the order of the log, which is that of arrival."""
    names = [str(number) for number in range(50)]
    for name in names:
        desk.submit(room, name)
    await desk.settled(50)
    assert set(desk.codes().values()) == {"ok"}
    assert [content for _, content in desk.broadcasts] == names == await stored(room)


async def test_what_comes_during_a_commit_is_the_next_batch(
    desk: Desk, db: Unsteady, room: Room
) -> None:
    """No delay is added, and no commit is made a message."""
    db.gate.clear()
    desk.submit(room, "first")
    await eventually(lambda: not desk.writer._jobs)
    for number in range(20):
        desk.submit(room, str(number))
    db.gate.set()
    await desk.settled(21)
    assert db.batches == [1, 20]


async def test_a_batch_is_bounded(
    desk: Desk, db: Unsteady, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood is several transactions."""
    monkeypatch.setattr(module, "BATCH_SIZE", 10)
    for number in range(25):
        desk.submit(room, str(number))
    await desk.settled(25)
    assert db.batches == [10, 10, 5]
    assert await stored(room) == [str(number) for number in range(25)]


async def test_the_sender_is_answered_before_the_broadcast(desk: Desk, room: Room) -> None:
    """Both after the commit: the row is there when the result is."""
    result = await desk.writer.write(
        Draft(room_id=room.pk, content="hi", sender="7", username="ada")
    )
    assert result.state.seq == 1
    assert await stored(room) == ["hi"]


async def test_a_bad_draft_fails_alone(desk: Desk, room: Room) -> None:
    """Its neighbours in the batch are stored in order, and broadcast once."""
    desk.submit(room, "a")
    desk.submit(room, "bad", username=None)
    desk.submit(999_999, "nowhere")
    desk.submit(room, "b")
    await desk.settled(4)
    assert desk.codes() == {"a": "ok", "bad": "unknown_room", "nowhere": "unknown_room", "b": "ok"}
    assert await stored(room) == ["a", "b"]
    assert desk.broadcasts == [(room.pk, "a"), (room.pk, "b")]


async def test_a_repeat_is_answered_alike_and_not_broadcast_again(desk: Desk, room: Room) -> None:
    """The same nonce: one row, one event, two answers."""
    desk.submit(room, "first", nonce="n")
    await desk.settled(1)
    desk.submit(room, "again", nonce="n")
    await desk.settled(2)
    first, again = desk.results["first"], desk.results["again"]
    assert isinstance(first, Stored)
    assert isinstance(again, Stored)
    assert first.state.id == again.state.id
    assert desk.broadcasts == [(room.pk, "first")]


async def test_a_database_that_is_away_is_tried_again(desk: Desk, db: Unsteady, room: Room) -> None:
    """In the same order, and without a broadcast."""
    db.away = 3
    for name in "abc":
        desk.submit(room, name)
    await desk.settled(3)
    assert set(desk.codes().values()) == {"ok"}
    assert await stored(room) == ["a", "b", "c"]


async def test_after_the_deadline_the_sender_may_try_again(
    desk: Desk, db: Unsteady, room: Room, settings: Settings
) -> None:
    """`unavailable` is retryable; the same nonce works once the database is back."""
    settings.REALTIME = {"WRITE_TIMEOUT_SECONDS": 0.05}
    db.away = 1000
    desk.submit(room, "a", nonce="n")
    await desk.settled(1)
    error = desk.results["a"]
    assert isinstance(error, CommandError)
    assert (error.code, error.retryable, error.retry_after) == (ErrorCode.UNAVAILABLE, True, 1)
    db.away = 0
    settings.REALTIME = {}
    desk.submit(room, "b", nonce="n")
    await desk.settled(2)
    assert await stored(room) == ["b"]


async def test_a_commit_whose_answer_was_lost_is_broadcast(
    desk: Desk, db: Unsteady, room: Room
) -> None:
    """Its nonce is found, so it is not new, but it was never broadcast."""
    db.unanswered = 1
    desk.submit(room, "a")
    desk.submit(room, "b")
    await desk.settled(2)
    assert set(desk.codes().values()) == {"ok"}
    assert await stored(room) == ["a", "b"]
    assert desk.broadcasts == [(room.pk, "a"), (room.pk, "b")]


async def test_order_holds_when_single_drafts_have_to_wait(
    desk: Desk, db: Unsteady, room: Room
) -> None:
    """One bad draft splits the batch, and the database goes away in the middle of it."""
    commit, calls, deadlocks = desk.writer._commit, 0, 2

    async def failing(batch: list[Any], *args: Any) -> None:
        nonlocal calls, deadlocks
        calls += 1
        if calls > 1 and deadlocks and "b" in [job.submission.content for job in batch]:
            deadlocks -= 1
            raise OperationalError("deadlock detected")
        await commit(batch, *args)

    desk.writer._commit = failing  # type: ignore[method-assign]
    desk.submit(room, "a")
    desk.submit(room, "b")
    desk.submit(999_999, "nowhere")
    desk.submit(room, "c")
    await eventually(lambda: calls)
    desk.submit(room, "d")
    await desk.settled(5)
    assert await stored(room) == ["a", "b", "c", "d"]
    assert [content for _, content in desk.broadcasts] == ["a", "b", "c", "d"]


async def test_a_listener_that_raises_changes_nothing(
    desk: Desk, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """What is committed stays committed, once, and the sender is answered."""
    desk.error = KeyError("odd")
    desk.submit(room, "a")
    desk.submit(room, "b")
    await desk.settled(2)
    assert await stored(room) == ["a", "b"]
    assert [content for _, content in desk.broadcasts] == ["a", "b"]
    desk.error = None
    desk.submit(room, "c")
    await desk.settled(3)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_sender_that_raises_changes_nothing(desk: Desk, room: Room) -> None:
    """The next ones are stored and broadcast."""
    draft = Draft(room_id=room.pk, content="a", sender="7", username="ada")
    desk.writer.submit(draft, lambda result: 1 / 0)  # type: ignore[arg-type,return-value]
    desk.submit(room, "b")
    await desk.settled(1)
    assert await stored(room) == ["a", "b"]


async def test_too_many_waiting_drafts_are_refused_at_once(
    desk: Desk, db: Unsteady, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, and there is room again when some are done."""
    monkeypatch.setattr(module, "QUEUE_SIZE", 3)
    db.gate.clear()
    for name in "abc":
        desk.submit(room, name)
    with pytest.raises(CommandError) as caught:
        desk.submit(room, "d")
    assert caught.value.code == ErrorCode.UNAVAILABLE
    db.gate.set()
    await desk.settled(3)
    desk.submit(room, "e")
    await desk.settled(4)
    assert await stored(room) == ["a", "b", "c", "e"]


async def test_stopping_commits_what_is_queued(db: Unsteady, room: Room) -> None:
    """A deploy loses nothing that was accepted."""
    desk = Desk(db)
    desk.writer.start()
    for number in range(30):
        desk.submit(room, str(number))
    await desk.writer.drain(5)
    desk.writer.stop()
    assert len(desk.results) == 30
    assert len(await stored(room)) == 30


async def test_stopping_does_not_wait_for_ever(db: Unsteady, room: Room) -> None:
    """A database that is away must not hold a shutdown."""
    desk = Desk(db)
    db.gate.clear()
    desk.writer.start()
    desk.submit(room, "a")
    async with asyncio.timeout(5):
        await desk.writer.drain(0.05)
    desk.writer.stop()
    assert desk.results == {}


# Changes.


async def said(desk: Desk, room: Room, *contents: str) -> list[int]:
    """Store messages; return their keys."""
    drafts = [Draft(room_id=room.pk, content=text, sender="7", username="ada") for text in contents]
    results = [await desk.writer.write(draft) for draft in drafts]
    desk.broadcasts.clear()
    return [result.state.id for result in results]


def deletion(room: Room, message: int) -> Change:
    return Change(room.pk, partial(delete, message))


async def test_a_change_goes_with_the_messages_around_it(
    desk: Desk, db: Unsteady, room: Room
) -> None:
    """One batch, and the broadcasts are in the order of the log."""
    [message] = await said(desk, room, "secret")
    db.gate.clear()
    desk.submit(room, "first")
    await eventually(lambda: not desk.writer._jobs)
    desk.submit(room, "before")
    deleting = asyncio.ensure_future(desk.writer.write(deletion(room, message)))
    await asyncio.sleep(0)
    desk.submit(room, "after")
    db.gate.set()
    result = await deleting
    await desk.settled(3)
    assert (result.state.deleted, result.state.position) == (True, 4)
    assert [content for _, content in desk.broadcasts] == ["first", "before", None, "after"]
    assert db.batches[-2:] == [1, 3]


async def test_a_refused_change_fails_alone(desk: Desk, room: Room) -> None:
    def refuse() -> Stored:
        raise CommandError(ErrorCode.PERMISSION_DENIED, "no")

    desk.submit(room, "a")
    with pytest.raises(CommandError) as caught:
        await desk.writer.write(Change(room.pk, refuse))
    assert caught.value.code == ErrorCode.PERMISSION_DENIED
    assert desk.codes() == {"a": "ok"}
    assert await stored(room) == ["a"]


async def test_a_change_that_raises_fails_alone(
    desk: Desk, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Stored:
        raise KeyError("odd")

    failing = asyncio.ensure_future(desk.writer.write(Change(room.pk, fail)))
    await asyncio.sleep(0)
    desk.submit(room, "a")
    with pytest.raises(CommandError) as caught:
        await failing
    assert (caught.value.code, caught.value.message) == ("internal", "The change cannot be stored.")
    await desk.settled(1)
    assert await stored(room) == ["a"]
    assert "a change cannot be stored" in caplog.text


async def test_a_change_whose_answer_was_lost_is_made_once_and_broadcast(
    desk: Desk, db: Unsteady, room: Room
) -> None:
    """The repeat finds it made, but it was never broadcast."""
    [message] = await said(desk, room, "secret")
    db.unanswered = 1
    result = await desk.writer.write(deletion(room, message))
    assert (result.is_new, result.state.position) == (False, 2)
    assert desk.broadcasts == [(room.pk, None)]


async def test_a_change_that_comes_too_late_is_unavailable(
    desk: Desk, db: Unsteady, room: Room, settings: Settings
) -> None:
    [message] = await said(desk, room, "a")
    settings.REALTIME = {"WRITE_TIMEOUT_SECONDS": 0.05}
    db.away = 1000
    with pytest.raises(CommandError) as caught:
        await desk.writer.write(deletion(room, message))
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.UNAVAILABLE, True)
    db.away = 0


async def test_changes_and_messages_of_a_process_do_not_wait_for_each_other(
    desk: Desk, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """One thread makes both, so no room is ever locked by the process itself."""
    messages = await said(desk, room, *map(str, range(20)))
    deleting = [desk.writer.write(deletion(room, message)) for message in messages]
    for number in range(20, 40):
        desk.submit(room, str(number))
    results = await asyncio.gather(*deleting)
    await desk.settled(20)
    assert len({result.state.position for result in results}) == 20
    assert not desk.writer._locked
    assert caplog.records == []


# A room whose row another transaction has locked (PostgreSQL).


async def test_a_locked_room_delays_no_other(
    postgres: str, desk: Desk, make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on in a lane of its own, keeps its order, and comes back to the common one."""
    monkeypatch.setattr(module, "LOCK_MS", 60)
    locked = await in_thread(make_room, "locked")
    free = await in_thread(make_room, "free")
    await in_thread(history.mark, locked.pk)
    holder = await asyncio.to_thread(Rows(postgres).connect)
    try:
        await asyncio.to_thread(
            holder.execute, f"SELECT 1 FROM realtime_head WHERE room_id={locked.pk} FOR UPDATE"
        )
        for number in range(5):
            desk.submit(locked, f"locked {number}")
            desk.submit(free, f"free {number}")
        await desk.settled(5)
        for number in range(5, 10):
            desk.submit(locked, f"locked {number}")
            desk.submit(free, f"free {number}")
        await desk.settled(10)
        assert {name.split()[0] for name in desk.results} == {"free"}
    finally:
        await asyncio.to_thread(holder.close)
    await desk.settled(20)
    assert set(desk.codes().values()) == {"ok"}
    assert await stored(free) == [f"free {number}" for number in range(10)]
    assert await stored(locked) == [f"locked {number}" for number in range(10)]
    await eventually(lambda: not desk.writer._locked)
    desk.submit(locked, "later")
    await desk.settled(21)
    assert (await stored(locked))[-1] == "later"


async def test_a_bad_draft_in_a_locked_room_fails_alone(
    postgres: str, desk: Desk, make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked room keeps the order of its messages, too."""
    monkeypatch.setattr(module, "LOCK_MS", 60)
    locked = await in_thread(make_room, "locked")
    await in_thread(history.mark, locked.pk)
    holder = await asyncio.to_thread(Rows(postgres).connect)
    await asyncio.to_thread(
        holder.execute, f"SELECT 1 FROM realtime_head WHERE room_id={locked.pk} FOR UPDATE"
    )
    for name, fields in {"a": {}, "bad": {"username": "x" * 200}, "b": {}, "c": {}}.items():
        desk.submit(locked, name, **fields)
    await eventually(lambda: desk.writer._locked)
    desk.submit(locked, "d")
    await asyncio.to_thread(holder.close)
    await desk.settled(5)
    assert desk.codes() == {"a": "ok", "bad": "internal", "b": "ok", "c": "ok", "d": "ok"}
    assert await stored(locked) == ["a", "b", "c", "d"]


async def test_a_locked_room_fails_in_the_end(
    postgres: str,
    desk: Desk,
    make_room: MakeRoom,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deadline holds in the slow lane too."""
    monkeypatch.setattr(module, "LOCK_MS", 30)
    settings.REALTIME = {"WRITE_TIMEOUT_SECONDS": 0.2}
    locked = await in_thread(make_room, "locked")
    await in_thread(history.mark, locked.pk)
    holder = await asyncio.to_thread(Rows(postgres).connect)
    try:
        await asyncio.to_thread(
            holder.execute, f"SELECT 1 FROM realtime_head WHERE room_id={locked.pk} FOR UPDATE"
        )
        desk.submit(locked, "a")
        await desk.settled(1)
    finally:
        await asyncio.to_thread(holder.close)
    assert desk.codes() == {"a": "unavailable"}


async def test_no_answered_job_is_kept(desk: Desk, room: Room) -> None:
    """A sender that has gone is free also where nothing more is sent for hours."""

    class Sender:
        def receive(self, result: Result) -> None:
            desk.results["hello"] = result

    sender = Sender()
    is_kept = weakref.ref(sender)
    draft = Draft(room_id=room.pk, content="hello", sender="7", username="ada")
    desk.writer.submit(draft, sender.receive)
    del sender
    await desk.settled(1)
    await eventually(lambda: is_kept() is None, 5, "the sender is gone")


async def test_a_room_with_a_backlog_delays_no_other_and_keeps_its_order(
    postgres: str, desk: Desk, make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction never stores all that the site has published there, beside a client."""
    monkeypatch.setattr(pending_messages, "BATCH_BYTES", 2000)
    busy = await in_thread(make_room, "busy")
    free = await in_thread(make_room, "free")

    def publish() -> None:
        for number in range(20):
            pending_messages.insert("default", draft(busy, f"site {number} " + "x" * 500))

    await in_thread(publish)
    desk.submit(busy, "client")
    desk.submit(free, "other")
    await desk.settled(2)
    assert list(desk.results) == ["other", "client"]
    assert set(desk.codes().values()) == {"ok"}
    found = [content.rstrip("x ") for content in await stored(busy)]
    assert found == [*(f"site {number}" for number in range(20)), "client"]
    await eventually(lambda: not desk.writer._locked)
