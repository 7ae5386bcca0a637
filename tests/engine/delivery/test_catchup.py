"""Joining: whatever happens meanwhile, nothing is lost and nothing comes twice."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime.engine.delivery import registry
from realtime.engine.delivery.catchup import _max_bytes, attach, fit_frame
from realtime.engine.delivery.flusher import FRAME_BYTES
from realtime.engine.delivery.ring import Ring
from realtime.engine.delivery.room_topic import RoomTopic
from realtime.models import Message, Room
from realtime.store.logs import LogMark
from realtime.store.messages import history, retention
from realtime.wire.codecs import NDJSON, Codec
from realtime.wire.commands import Since
from realtime.wire.errors import CommandError, ErrorCode
from realtime.wire.events import MessageState
from tests.engine import log
from tests.engine.delivery.test_ring import state
from tests.engine.ends import ticks
from tests.engine.process import Member, Process, arrived
from tests.engine.walk import (
    Step,
    Walk,
    from_each_seed,
    in_each_codec,
    with_much_and_little_memory,
)


class RoomWalk(Walk[Member]):
    """Messages and edits of a room."""

    def __init__(self, process: Process, room: Room, codec: Codec, seed: int) -> None:
        super().__init__(process, codec, seed)
        self.room = room

    @property
    def writes(self) -> Sequence[Step]:
        return [self.say, self.say, self.say, self.edit]

    def new_member(self) -> Member:
        return self.process.member(self.codec)

    async def enter(self, member: Member) -> None:
        comes_back = bool(member.items) and self.is_likely()
        await member.join(self.room, comes_back=comes_back)

    async def say(self) -> None:
        contents = [f"message {self.number + one}" for one in range(self.dice.randint(1, 3))]
        self.number += len(contents)
        for stored in await self.process.append(self.room, *contents):
            self._plan(stored.state, stored.epoch)

    async def edit(self) -> None:
        if self.number:
            seq = self.dice.choice(list(await self.process.db.read(log.states, self.room.pk)))
            state = await self.process.db.write(log.edit, self.room.pk, seq, f"edited {seq}")
            mark = await self.process.db.read(history.mark, self.room.pk)
            self._plan(state, mark.epoch)

    def _plan(self, state: history.MessageState, epoch: str) -> None:
        self.plan(partial(self.process.receive_state, self.room, state, epoch))


@with_much_and_little_memory
@in_each_codec
@from_each_seed
async def test_every_member_has_everything_once_and_in_order(
    room: Room,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    codec: Codec,
    ring_bytes: int,
    capacity: int,
) -> None:
    """Joins, deliveries, edits and losses in random order, with much memory and with little."""
    settings.REALTIME = {"RING_BYTES": ring_bytes}
    monkeypatch.setattr(Ring, "CAPACITY", capacity)
    monkeypatch.setattr(RoomTopic, "open_states", 3)
    async with Process() as process:
        walk = RoomWalk(process, room, codec, seed)
        await walk.come()
        await walk.run(80)
        await process.hub.follower.catch_up(process.topic(room))
        truth = await process.db.read(log.states, room.pk)
        end = process.topic(room).position.seq
        for member in walk.members:
            member.outbox.send('{"type":"end"}')
        for member in walk.members:
            await eventually(lambda member=member: _is_level(member, end))  # type: ignore[misc]
            known = member.known()
            assert known.faults == []
            assert known.states == truth


async def test_many_clients_that_resume_on_a_new_process_cost_one_query(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a deploy each client resumes from another position in the log."""
    async with Process() as process:
        await process.append(room, *(f"message {number}" for number in range(300)))
        epoch = (await process.db.read(history.mark, room.pk)).epoch
        await process.hub.open_room(room.pk, room.slug)  # a new client was here first
        queries: list[str] = []
        read = process.db.read

        async def noted(function: Any, *args: Any) -> Any:
            queries.append(function.__name__)
            return await read(function, *args)

        monkeypatch.setattr(process.db, "read", noted)
        members = [process.member() for _ in range(50)]
        replies = await asyncio.gather(
            *(
                member.join(room, Since(seq=number * 4, epoch=epoch))
                for number, member in enumerate(members)
            )
        )
        for number, one in enumerate(replies):
            assert one["recovered"]
            assert [state["seq"] for state in one["messages"]] == list(range(number * 4 + 1, 301))
        assert queries == ["older"]


async def test_a_resume_from_purged_positions_is_not_recovered(room: Room) -> None:
    """This process does not know yet that rows were purged."""
    async with Process() as process:
        await process.append(room, *(f"message {number}" for number in range(200)))
        epoch = (await process.db.read(history.mark, room.pk)).epoch
        topic = await process.hub.open_room(room.pk, room.slug)
        await process.db.write(log.purge, room.pk, 50)
        reply = await process.member().join(room, Since(seq=10, epoch=epoch))
        assert not reply["recovered"]
        reply = await process.member().join(room, Since(seq=50, epoch=epoch))
        assert reply["recovered"]
        assert [state["seq"] for state in reply["messages"]] == list(range(51, 201))
        assert topic.ring.floor == 50


async def test_a_client_that_missed_too_much_costs_no_query_of_its_own(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They start with the newest messages instead."""
    async with Process() as process:
        await process.append(room, *(f"message {number}" for number in range(600)))
        epoch = (await process.db.read(history.mark, room.pk)).epoch
        await process.member().join(room, Since(seq=0, epoch=epoch))
        monkeypatch.setattr(process.db, "read", None)
        reply = await process.member().join(room, Since(seq=50, epoch=epoch))
        assert not reply["recovered"]
        assert [state["seq"] for state in reply["messages"]] == list(range(501, 601))


def _is_level(member: Member, end: int) -> bool:
    assert member.topic is not None
    return member.topic.lane(member.outbox.codec).position == end


async def test_a_first_join_brings_the_newest_messages(process: Process, room: Room) -> None:
    """As many as requested, in the order of the log, and whether there are more."""
    await process.append(room, *"abcde")
    reply = await process.member().join(room, limit=3)
    assert [one["content"] for one in reply["messages"]] == ["c", "d", "e"]
    assert (reply["through"], reply["has_more"], reply["recovered"]) == (5, True, False)


async def test_no_history_is_no_history(process: Process, room: Room) -> None:
    """The position is that of the log all the same."""
    await process.append(room, *"abc")
    reply = await process.member().join(room, limit=0)
    assert (reply["messages"], reply["through"], reply["has_more"]) == ([], 3, True)


async def test_a_resume_brings_what_was_missed(process: Process, room: Room) -> None:
    """What changed since, latest state, in the order of change."""
    member = await process.joined(room)
    await process.say(room, "a", "b")
    await arrived(member, 2)
    member.leave()
    await process.say(room, "c")
    edited = await process.db.write(log.edit, room.pk, 1, "A")
    process.receive_state(room, edited, process.topic(room).position.epoch)
    reply = await member.join(room, comes_back=True)
    assert [one["content"] for one in reply["messages"]] == ["c", "A"]
    assert (reply["recovered"], reply["through"]) == (True, 4)
    assert member.known().faults == []


async def test_a_resume_may_be_ahead_of_this_process(process: Process, room: Room) -> None:
    """The client got the event from a faster process: then the database is queried."""
    await process.joined(room)
    await process.append(room, *"abc")
    reply = await process.member().join(room, Since(2, process.topic(room).position.epoch))
    assert [one["content"] for one in reply["messages"]] == ["c"]
    assert (reply["recovered"], reply["through"]) == (True, 3)


async def test_a_resume_waits_for_a_repair_that_runs(process: Process, room: Room) -> None:
    """It may have read the database before what the client knows was there."""
    await process.joined(room)
    topic = process.topic(room)
    read, gate, has_read = process.db.read, asyncio.Event(), asyncio.Event()

    async def read_slowly(function: object, *args: object) -> object:
        result = await read(function, *args)  # type: ignore[arg-type]
        has_read.set()
        await gate.wait()
        return result

    process.db.read = read_slowly  # type: ignore[method-assign,assignment]
    repair = process.hub.follower.repair(topic)
    await has_read.wait()
    await process.append(room, *"ab")
    joining = asyncio.ensure_future(process.member().join(room, Since(2, topic.position.epoch)))
    await ticks(10)
    gate.set()
    reply = await joining
    assert repair.done()
    assert (reply["recovered"], reply["through"], reply["messages"]) == (True, 2, [])


@pytest.mark.parametrize(
    "since", [Since(1, "other"), Since(9, ""), Since(2**53 - 1, "")], ids=["epoch", "9", "2^53"]
)
async def test_a_position_that_never_was_is_not_continued(
    process: Process, room: Room, since: Since
) -> None:
    """Another epoch, or beyond the end of the log: the newest messages instead."""
    await process.append(room, *"abc")
    await process.joined(room)
    epoch = since.epoch or process.topic(room).position.epoch
    reply = await process.member().join(room, Since(since.seq, epoch))
    assert (reply["recovered"], reply["through"]) == (False, 3)
    assert [one["content"] for one in reply["messages"]] == ["a", "b", "c"]


async def test_a_purged_position_is_not_continued(process: Process, room: Room) -> None:
    """The lost positions are unknown."""
    await process.append(room, *"abcde")
    await process.db.write(log.purge, room.pk, 3)
    await process.joined(room)
    epoch = process.topic(room).position.epoch
    reply = await process.member().join(room, Since(2, epoch))
    assert (reply["recovered"], [one["content"] for one in reply["messages"]]) == (
        False,
        ["d", "e"],
    )
    assert reply["has_more"] is False
    reply = await process.member().join(room, Since(3, epoch))
    assert reply["recovered"] is True


@pytest.mark.parametrize("is_open", [False, True])
async def test_messages_below_the_purged_position_are_still_shown(
    process: Process, room: Room, is_open: bool
) -> None:
    """A message was changed, and then removed for its age: the younger ones stay."""
    await process.append(room, *[str(number) for number in range(150)])
    await process.db.write(log.edit, room.pk, 1, "edited")
    if is_open:
        await process.joined(room)
    assert await process.db.write(_prune_first, room.pk) == [1]
    topic = await process.hub.open_room(room.pk, room.slug)
    process.hub.compare(process.positions(), await process.marks())
    assert topic.ring.purged_seq == 151
    reply = await process.member().join(room, limit=100)
    assert [one["seq"] for one in reply["messages"]] == list(range(51, 151))
    assert reply["has_more"]


def _prune_first(room_id: int) -> list[int]:
    now = timezone.now()
    Message.objects.filter(room=room_id, seq=1).update(created_at=now - timedelta(days=30))
    return list(retention.purge(room_id, now - timedelta(days=15)))


async def test_too_much_to_resume_starts_anew(process: Process, room: Room) -> None:
    """Beyond 500 messages the newest ones come, and the client requests the rest."""
    member = await process.joined(room)
    epoch = process.topic(room).position.epoch
    await process.say(room, *[str(number) for number in range(501)])
    await arrived(member, 501)
    reply = await process.member().join(room, Since(1, epoch))
    assert (reply["recovered"], len(reply["messages"])) == (True, 500)
    reply = await process.member().join(room, Since(0, epoch), limit=10)
    assert (reply["recovered"], len(reply["messages"]), reply["has_more"]) == (False, 10, True)


async def test_too_many_bytes_to_resume_start_anew(process: Process, room: Room) -> None:
    """One frame holds the messages, and says that there are more."""
    member = await process.joined(room)
    epoch = process.topic(room).position.epoch
    await process.say(room, *["😀" * 4000] * 30)
    await arrived(member, 30)
    reply = await process.member().join(room, Since(0, epoch))
    assert (reply["recovered"], reply["has_more"], reply["through"]) == (False, True, 30)
    assert 0 < len(reply["messages"]) < 30
    assert reply["messages"][-1]["seq"] == 30


async def test_a_reconnect_storm_needs_no_queries(process: Process, room: Room) -> None:
    """Resumes and fresh joins are served from memory."""
    member = await process.joined(room)
    await process.say(room, *"abc")
    await arrived(member, 3)
    epoch = process.topic(room).position.epoch
    reads: list[object] = []

    async def read(*args: object) -> object:
        reads.append(args)
        raise AssertionError("the database was queried")

    process.db.read = read  # type: ignore[method-assign,assignment]
    for seq in range(4):
        reply = await process.member().join(room, Since(seq, epoch))
        assert (reply["recovered"], reply["through"]) == (True, 3)
    assert len((await process.member().join(room))["messages"]) == 3
    assert reads == []


async def test_a_resume_over_a_new_epoch_is_not_continued(process: Process, room: Room) -> None:
    """The log begins anew while the join waits for the flusher, and the join does not hang."""
    reader = await process.joined(room, NDJSON)
    topic = process.topic(room)
    epoch = topic.position.epoch
    lane = topic.lane(NDJSON)
    for flusher in topic._flushers:
        await flusher.stop()
    await process.say(room, *"abc")
    joining = asyncio.ensure_future(process.member(NDJSON).join(room, Since(3, epoch)))
    while not lane._waiters:
        await asyncio.sleep(0)
    await process.db.write(log.restore, room.pk, 1)
    await process.db.write(_set_epoch, room.pk, "epoch-02")
    topic.open(LogMark(1, 0, 0, "epoch-02"), Ring([], 1, 0))
    reply = await asyncio.wait_for(joining, 30)
    assert (reply["recovered"], reply["epoch"], reply["through"]) == (False, "epoch-02", 1)
    assert reader.ends == []


def _set_epoch(room_id: int, epoch: str) -> None:
    history.Log.objects.filter(room=room_id).update(epoch=epoch)


@pytest.mark.parametrize("last_seq", [1, 3])
async def test_a_join_finds_an_epoch_that_this_process_does_not_know(
    room: Room, settings: Settings, last_seq: int
) -> None:
    """The members are sent to join again, and the joiner begins in the new life of the log."""
    settings.REALTIME = {"RING_BYTES": 0}
    async with Process() as process:
        member = await process.joined(room)
        await process.say(room, *"abc")
        await arrived(member, 3)
        await process.db.write(log.restore, room.pk, last_seq)
        await process.db.write(_set_epoch, room.pk, "epoch-02")
        reply = await process.member().join(room)
        assert (reply["epoch"], reply["through"]) == ("epoch-02", last_seq)
        assert [one["content"] for one in reply["messages"]] == list("abc")[:last_seq]
        assert [item["epoch"] for item in member.kinds("resync")] == ["epoch-02"]


async def test_a_join_of_a_room_that_changes_too_fast_is_refused(
    room: Room, settings: Settings
) -> None:
    """Without memory for it, and with a message for every reading: no endless loop."""
    settings.REALTIME = {"RING_BYTES": 0}
    async with Process() as process:
        await process.joined(room)
        await process.say(room, "a")
        read = process.db.read

        async def read_late(function: object, *args: object) -> object:
            result = await read(function, *args)  # type: ignore[arg-type]
            await process.say(room, "more")
            await asyncio.sleep(0)
            return result

        process.db.read = read_late  # type: ignore[method-assign,assignment]
        with pytest.raises(CommandError) as caught:
            await asyncio.wait_for(process.member().join(room), 10)
        assert caught.value.code == ErrorCode.UNAVAILABLE


@given(
    content=st.none() | st.text(),
    names=st.tuples(st.text(max_size=150), st.text(max_size=150)),
    nonce=st.none() | st.text(max_size=64),
    numbers=st.tuples(*[st.integers(0, 2**63 - 1)] * 3),
)
def test_the_bound_of_a_state_is_never_below_its_size(
    content: str | None, names: tuple[str, str], nonce: str | None, numbers: tuple[int, int, int]
) -> None:
    """Control characters become six bytes each."""
    made = MessageState(
        id=numbers[0],
        seq=numbers[1],
        changed_seq=numbers[2],
        user_id=names[0],
        username=names[1],
        created_at="2026-01-01T00:00:00.000Z",
        edited_at="2026-01-01T00:00:00.000Z",
        deleted=True,
        content=content,
        nonce=nonce,
    )
    assert len(msgspec.json.encode(made)) <= _max_bytes(made)


def test_the_newest_that_fit_into_a_frame_are_kept() -> None:
    """At least one, also where that is too large by itself."""
    many = [state(number, number, content="x" * 4000) for number in range(1, 101)]
    kept = fit_frame(many)
    assert kept == many[-len(kept) :]
    assert FRAME_BYTES * 0.9 < sum(4100 for _ in kept) < FRAME_BYTES
    assert fit_frame(many[:3]) == many[:3]
    assert fit_frame([]) == []
    assert len(fit_frame([state(1, 1, content="x" * FRAME_BYTES)] * 2)) == 1


async def test_a_room_that_was_closed_meanwhile_is_not_entered(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its member would never get an event."""
    monkeypatch.setattr(registry, "LINGER_SECONDS", 0.02)
    topic = await process.hub.open_room(room.pk, room.slug)
    await eventually(lambda: not process.hub.rooms)
    one = process.member().connection
    with pytest.raises(CommandError) as caught:
        await attach(process.hub, process.db, topic, one, since=None, limit=50)
    assert (caught.value.code, topic.members) == (ErrorCode.UNAVAILABLE, {})
