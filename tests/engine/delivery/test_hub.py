"""The hub: what was committed reaches every member once, whatever the layer loses."""

import asyncio

import pytest
from msgspec import structs

from harness.services import Redis
from harness.waiting import eventually
from realtime.counts import counts
from realtime.engine.bus import layer as layer_module
from realtime.engine.bus.notes import Close, Direct, Probe
from realtime.engine.delivery import follower
from realtime.engine.delivery import registry as module
from realtime.engine.delivery.topic import State
from realtime.models import Room
from realtime.store.database import life
from realtime.store.messages import history
from realtime.store.messages.drafts import Stored
from realtime.wire.codecs import JSON, NDJSON
from realtime.wire.errors import CloseCode
from realtime.wire.events import Notice
from tests.engine import log
from tests.engine.conftest import UseLayer
from tests.engine.ends import End, in_thread
from tests.engine.process import Member, Process, arrived


def contents(member: Member) -> list[str]:
    return [item["content"] for item in member.items if item["type"] == "message"]


# One process.


async def test_what_is_announced_reaches_every_member(process: Process, room: Room) -> None:
    """In order, and each in its own encoding."""
    members = [await process.joined(room, codec) for codec in (JSON, NDJSON)]
    await process.say(room, *"abc")
    for member in members:
        await arrived(member, 3)
        assert contents(member) == ["a", "b", "c"]
        assert member.known().faults == []


async def test_a_repeat_is_dropped(process: Process, room: Room) -> None:
    """An event comes by the layer, by a repair and by the loop-back: once to a member."""
    member = await process.joined(room)
    [stored] = await process.say(room, "a")
    process.receive(room, stored)
    process.receive(room, stored)
    await process.say(room, "b")
    await arrived(member, 2)
    assert contents(member) == ["a", "b"]


async def test_an_event_that_overtook_another_waits_for_it(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the missing event arrives by itself, the database is not queried."""
    monkeypatch.setattr(follower, "GAP_SECONDS", 60)
    member = await process.joined(room)
    first, second, third = await process.append(room, *"abc")
    process.receive(room, third)
    process.receive(room, second)
    assert process.topic(room).position.seq == 0
    process.receive(room, first)
    await arrived(member, 3)
    assert contents(member) == ["a", "b", "c"]


async def test_a_gap_is_filled_from_the_database(process: Process, room: Room) -> None:
    """What was missed comes first, what came early after it."""
    member = await process.joined(room)
    *_, last = await process.append(room, *"abcd")
    process.receive(room, last)
    await arrived(member, 4)
    assert contents(member) == ["a", "b", "c", "d"]
    assert member.known().faults == []
    assert process.topic(room).early == {}


async def test_a_large_gap_is_filled_page_by_page(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much was missed."""
    monkeypatch.setattr(follower, "PAGE", 7)
    member = await process.joined(room)
    names = [str(number) for number in range(50)]
    *_, last = await process.append(room, *names)
    gaps, events = counts.repairs, counts.events_repaired
    process.receive(room, last)
    await arrived(member, 50)
    assert contents(member) == names
    assert member.known().faults == []
    assert (counts.repairs - gaps, counts.events_repaired - events) == (1, 50)


async def test_a_gap_with_superseded_positions_is_covered(process: Process, room: Room) -> None:
    """A message that changed twice meanwhile is sent once, and covers the missing positions."""
    member = await process.joined(room)
    await process.say(room, *"ab")
    await arrived(member, 2)
    await process.db.write(log.edit, room.pk, 1, "A")
    await process.db.write(log.edit, room.pk, 1, "AA")
    [stored] = await process.append(room, "c")
    process.receive(room, stored)
    await arrived(member, 5)
    assert [(item["seq"], item.get("from")) for item in member.items[-2:]] == [(4, 3), (5, None)]
    assert member.known().faults == []
    assert member.known().states == await process.db.read(log.states, room.pk)


async def test_what_arrives_during_a_repair_comes_after_it(process: Process, room: Room) -> None:
    """Nothing overtakes what is being read."""
    member = await process.joined(room)
    topic = process.topic(room)
    await process.append(room, *"ab")
    repair = process.hub.follower.repair(topic)
    assert topic.state is State.REPAIRING
    await process.say(room, *"cd")
    await repair
    await arrived(member, 4)
    assert contents(member) == ["a", "b", "c", "d"]


async def test_a_last_event_that_was_lost_is_found_by_comparing(
    process: Process, room: Room
) -> None:
    """No later event shows the gap, so the pulse does. Behind twice in a row means deaf."""
    member = await process.joined(room)
    positions = process.positions()
    await process.append(room, "a")
    marks = await process.marks()
    assert process.hub.compare(positions, marks) is False
    await arrived(member, 1)
    assert process.hub.compare(process.positions(), marks) is False
    for expected in (False, True):
        positions = process.positions()
        await process.append(room, "b")
        marks = await process.marks()
        assert process.hub.compare(positions, marks) is expected
        await process.hub.follower.catch_up(process.topic(room))


async def test_comparing_equal_positions_causes_no_query(process: Process, room: Room) -> None:
    """An idle process reads no log."""
    await process.joined(room)
    await process.say(room, "a")
    positions = process.positions()
    marks = await process.marks()
    assert process.hub.compare(positions, marks) is False
    assert process.topic(room).repair is None


async def test_a_new_epoch_makes_all_members_join_again(process: Process, room: Room) -> None:
    """An event of another epoch is never delivered into this one."""
    member, other = await process.joined(room), await process.joined(room, NDJSON)
    await process.say(room, *"abc")
    await arrived(member, 3)
    await process.db.write(log.restore, room.pk, 1)
    await process.db.write(history.renew_epoch, room.pk, process.topic(room).position.epoch)
    [stored] = await process.append(room, "B")
    process.receive(room, stored)
    for one in (member, other):
        await eventually(lambda one=one: one.kinds("resync"))  # type: ignore[misc]
        assert [(item["seq"], item["epoch"]) for item in one.kinds("resync")] == [(2, stored.epoch)]
    assert process.topic(room).members == {}
    reply = await member.join(room)
    assert [one["content"] for one in reply["messages"]] == ["a", "B"]
    await process.say(room, "c")
    await arrived(member, 3)


async def test_a_log_that_ends_before_our_position_begins_a_new_epoch(
    process: Process, room: Room
) -> None:
    """The first process that notices it renews the epoch of a restored database, once."""
    member = await process.joined(room)
    await process.say(room, *"abc")
    await arrived(member, 3)
    epoch = process.topic(room).position.epoch
    await process.db.write(log.restore, room.pk, 1)
    positions = process.positions()
    process.hub.compare(positions, await process.marks())
    await eventually(lambda: member.kinds("resync"))
    mark = await process.db.read(history.mark, room.pk)
    assert mark.epoch != epoch
    assert member.kinds("resync")[0]["epoch"] == mark.epoch


async def restored(process: Process, room: Room, *contents: str) -> list[Stored]:
    """Go back to the first message, and store others at known positions in the same epoch.

    Returns these; all that can show it is what they say.
    """
    await process.db.write(log.restore, room.pk, 1)
    life._ends.clear()  # as in another process
    found = await process.append(room, *contents)
    assert {one.epoch for one in found} == {process.topic(room).position.epoch}
    return found


async def test_another_message_at_a_known_position_begins_a_new_epoch(
    process: Process, room: Room
) -> None:
    """A restored database has grown again before its end was compared."""
    member = await process.joined(room)
    await process.say(room, *"abc")
    await arrived(member, 3)
    [stored] = await restored(process, room, "B")
    process.receive(room, stored)
    await eventually(lambda: member.kinds("resync"))
    assert member.kinds("resync")[0]["epoch"] != stored.epoch
    reply = await member.join(room, comes_back=True)
    assert not reply["recovered"]
    assert [one["content"] for one in reply["messages"]] == ["a", "B"]


async def test_a_process_that_appends_below_its_position_begins_a_new_epoch(
    process: Process, room: Room
) -> None:
    """Its own message is an event like one of another process."""
    member = await process.joined(room)
    await process.say(room, *"abc")
    await arrived(member, 3)
    await process.db.write(log.restore, room.pk, 1)
    life._ends.clear()  # which the store compares first
    await process.say(room, "B")
    await eventually(lambda: member.kinds("resync"))
    changes = await process.db.read(history.newest, room.pk, 9)
    assert [state.content for state in changes.states] == ["a", "B"]
    assert process.topic(room).ring.since(0) == changes.states


async def test_a_forged_event_at_a_known_position_changes_nothing(
    process: Process, room: Room
) -> None:
    """The database decides, not the event."""
    member = await process.joined(room)
    *_, stored = await process.say(room, *"abc")
    forged = structs.replace(stored.state, user_id="other")
    process.receive_state(room, forged, stored.epoch)
    await eventually(lambda: process.topic(room).state is State.LIVE)
    assert process.topic(room).position.epoch == stored.epoch
    await process.say(room, "d")
    await arrived(member, 4)
    assert member.kinds("resync") == []
    assert member.known().faults == []


async def test_repeats_of_what_the_database_has_cause_no_query(
    process: Process, room: Room
) -> None:
    """Also of a message that has changed since, or that this process has read itself."""
    await process.joined(room)
    stored = await process.append(room, *"ab")
    await process.hub.follower.catch_up(process.topic(room))
    await process.db.write(log.edit, room.pk, 1, "A")
    await process.hub.follower.catch_up(process.topic(room))
    for one in stored:
        process.receive(room, one)
    assert process.topic(room).state is State.LIVE


async def test_many_events_of_a_new_epoch_restart_a_topic_once(
    process: Process, room: Room
) -> None:
    """Members that have joined again meanwhile do not have to join twice."""
    member = await process.joined(room)
    await process.db.write(history.renew_epoch, room.pk, process.topic(room).position.epoch)
    for stored in await process.append(room, *"abc"):
        process.receive(room, stored)
    await eventually(lambda: member.kinds("resync"))
    await process.hub.follower.catch_up(process.topic(room))
    assert len(member.kinds("resync")) == 1


async def test_a_position_that_was_purged_cannot_be_repaired(process: Process, room: Room) -> None:
    """The members join again, because what they have missed is unknown."""
    member = await process.joined(room)
    *_, last = await process.append(room, *"abcd")
    await process.db.write(log.purge, room.pk, 2)
    process.receive(room, last)
    await eventually(lambda: member.kinds("resync"))
    assert contents(member) == []
    reply = await member.join(room)
    assert [one["content"] for one in reply["messages"]] == ["c", "d"]


async def test_a_room_is_opened_once_for_concurrent_joins(process: Process, room: Room) -> None:
    """A hundred joins at once read the database once."""
    await process.append(room, "a")
    topics = await asyncio.gather(*(process.hub.open_room(room.pk, room.slug) for _ in range(100)))
    assert len({id(topic) for topic in topics}) == 1
    assert topics[0].position.seq == 1


async def test_a_room_that_cannot_be_opened_can_be_tried_again(
    process: Process, room: Room
) -> None:
    """A failure leaves nothing behind."""
    read, process.db.read = process.db.read, _failing  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        await process.hub.open_room(room.pk, room.slug)
    process.db.read = read  # type: ignore[method-assign]
    assert process.hub.room(room.pk) is None
    topic = await process.hub.open_room(room.pk, room.slug)
    assert topic.state is State.LIVE


async def _failing(*args: object) -> None:
    raise ZeroDivisionError


async def test_a_room_lingers_and_is_then_closed(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty room costs nothing; a member that comes back later starts correctly."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    member = await process.joined(room)
    await process.say(room, "a")
    await arrived(member, 1)
    assert process.hub.room(room.pk) is not None
    member.leave()
    await eventually(lambda: process.hub.room(room.pk) is None)
    assert process.positions() == {}
    reply = await member.join(room, comes_back=True)
    assert (reply["recovered"], reply["messages"]) == (True, [])
    await process.say(room, "b")
    await arrived(member, 2)


async def test_a_room_with_members_is_not_closed(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member left, and another one is still there."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.02)
    stays, goes = await process.joined(room), await process.joined(room)
    goes.leave()
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, done.set)
    await done.wait()
    await process.say(room, "a")
    await arrived(stays, 1)


async def test_a_topic_without_a_log_is_soon_closed(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each user who leaves has one, and it costs little to open again."""
    monkeypatch.setattr(module, "USER_LINGER_SECONDS", 0.05)
    topic, end = process.hub.topic("user.1"), End()
    end.connection.subscribe(topic)
    end.connection.unsubscribe(topic)
    assert process.hub.topic("user.1") is topic
    await eventually(lambda: process.hub.topic("user.1") is not topic, 5)


# What is not stored.


async def test_an_event_reaches_all_members_but_the_excluded_one(
    process: Process, room: Room
) -> None:
    """The connection that sent it is excluded."""
    one, other = await process.joined(room), await process.joined(room)
    process.hub.send_event(
        f"room.{room.pk}", Notice(level="info", text="hi"), exclude=one.outbox.id
    )
    await eventually(lambda: other.kinds("notice"))
    assert one.kinds("notice") == []


async def test_a_whisper_reaches_one_connection(process: Process) -> None:
    """In its own encoding, and no other connection."""
    one, other = End("one.1"), End("one.2", NDJSON)
    topic = process.hub.topic("node.one")
    topic.attach(one.connection)
    topic.attach(other.connection)
    note = Direct('{"type":"notice","level":"info","text":"hi"}', "one.2")
    process.hub.publish("node.one", note)
    process.hub.publish("node.one", Direct("{}", "one.9"))
    assert [item["text"] for item in other.items] == ["hi"]
    assert one.items == []


async def test_an_end_reaches_one_or_all(process: Process) -> None:
    """With its code and reason."""
    one, other = End("one.1"), End("one.2")
    topic = process.hub.topic("user.x")
    topic.attach(one.connection)
    topic.attach(other.connection)
    process.hub.publish("user.x", Close(4503, "Out.", "one.2"))
    assert (one.ends, [why.reason for why in other.ends]) == ([], ["Out."])
    process.hub.publish("user.x", Close(4001, "", ""))
    assert [why.code for why in one.ends] == [CloseCode.SHUTDOWN]


async def test_a_note_of_an_unknown_kind_is_passed_over(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    """Processes of two versions may run side by side."""
    process.hub.topic("everyone")
    process.hub._receive("everyone", [["later", 1]])
    process.hub._receive("nobody-listens", [["later", 1]])
    assert ["later" in record.getMessage() for record in caplog.records] == [True]


# Several processes on one Redis.


@pytest.fixture(params=["pubsub", "core"])
def shared(request: pytest.FixtureRequest, use_layer: UseLayer, redis_url: str) -> str:
    use_layer(request.param, redis_url)
    return str(request.param)


async def test_members_of_another_process_get_everything_once_and_in_order(
    shared: str, room: Room
) -> None:
    """Both send and both receive."""
    async with Process("one") as one, Process("two") as two:
        members = [await one.joined(room), await two.joined(room, NDJSON)]
        for number in range(30):
            await (one if number % 2 else two).say(room, str(number))
        for member in members:
            await arrived(member, 30)
            assert contents(member) == [str(number) for number in range(30)]
            assert member.known().faults == []


async def test_a_message_without_a_broadcast_shows_as_a_gap(shared: str, room: Room) -> None:
    """The process died between commit and publish; the next message shows the gap."""
    async with Process("one") as one, Process("two") as two:
        member = await two.joined(room)
        await one.append(room, "not broadcast")
        await one.say(room, "broadcast")
        await arrived(member, 2)
        assert contents(member) == ["not broadcast", "broadcast"]


async def test_a_join_succeeds_while_the_layer_is_away(
    own_redis: Redis,
    use_layer: UseLayer,
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The room is polled until its subscription works."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(layer_module, "BREAKER_SECONDS", 0.05)
    use_layer("pubsub", own_redis.url)
    async with Process("one") as one, Process("two") as two:
        await in_thread(own_redis.stop)
        member = await two.joined(room)
        topic = two.topic(room)
        assert topic.is_polled
        await one.append(room, "polled")
        await arrived(member, 1)
        await in_thread(own_redis.start)
        two.hub.layer.publish("node.two", Probe("any"))
        await eventually(lambda: not topic.is_polled)
        async with asyncio.timeout(30):  # it probes as its pulse would
            while one.hub.layer.is_away:
                await one.hub.layer.probe("room.0", 0.2)
        await one.say(room, "received")
        await arrived(member, 2)
        assert member.known().faults == []


async def test_a_closed_room_is_unsubscribed(
    shared: str, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events no longer come to this process, until a new member subscribes again."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    async with Process("one") as one, Process("two") as two:
        member = await two.joined(room)
        member.leave()
        await eventually(lambda: two.hub.room(room.pk) is None)
        await eventually(lambda: f"room.{room.pk}" not in two.hub.layer._topics)
        await member.join(room)
        await one.say(room, "a")
        await arrived(member, 1)
