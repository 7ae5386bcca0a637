"""Topics: members by encoding, and the log's position with its holes."""

import pytest

from realtime.engine.delivery.event import Event
from realtime.engine.delivery.flusher import Flusher
from realtime.engine.delivery.ring import Ring
from realtime.engine.delivery.room_topic import RoomTopic, room_event
from realtime.engine.delivery.topic import State, Topic
from realtime.store.logs import LogMark
from realtime.store.messages.room_log import RoomLog
from realtime.wire.codecs import JSON, MSGPACK, NDJSON
from realtime.wire.events import MessageState
from tests.engine.delivery.test_ring import state
from tests.engine.ends import End

EPOCH = "epoch-01"


def opened(last_seq: int = 0) -> RoomTopic:
    flushers = (Flusher(coalesces=False), Flusher(coalesces=True))
    topic = RoomTopic(RoomLog(1), "general", flushers)
    topic.open(LogMark(last_seq, 0, 0, EPOCH), Ring([], last_seq, 0))
    return topic


def event(made: MessageState, first: int | None = None) -> Event:
    return room_event("general", made, first)


async def flush(topic: Topic) -> None:
    for flusher in topic._flushers:
        await flusher.stop()


async def test_each_member_gets_events_in_its_own_encoding() -> None:
    """One topic, three lanes."""
    topic = opened()
    ends = [End(f"n.{number}", codec) for number, codec in enumerate((JSON, NDJSON, MSGPACK))]
    for end in ends:
        topic.attach(end.connection)
    topic.advance(event(state(1, 1, content="é")))
    await flush(topic)
    assert [end.items[0]["content"] for end in ends] == ["é"] * 3


async def test_a_detached_member_gets_nothing() -> None:
    """Detaching twice, or what was never there, is harmless."""
    topic, end = opened(), End()
    topic.attach(end.connection)
    assert topic.detach(end.connection)
    assert not topic.detach(end.connection)
    topic.advance(event(state(1, 1)))
    await flush(topic)
    assert (end.items, topic.members) == ([], {})


async def test_an_event_after_a_hole_covers_it() -> None:
    """Positions 2 and 3 have no row any more: a client must not count them as lost."""
    topic, end = opened(), End()
    topic.attach(end.connection)
    new = topic.advance_over([state(1, 1), state(4, 4)], 4)
    await flush(topic)
    assert [one.seq for one in new] == [1, 4]
    assert [(item["seq"], item.get("from")) for item in end.items] == [(1, None), (4, 2)]
    assert topic.position.seq == 4


async def test_a_hole_at_the_end_is_covered_by_the_next_event() -> None:
    """Also over several readings of the database."""
    topic, end = opened(), End()
    topic.attach(end.connection)
    topic.advance_over([state(1, 1)], 3)
    topic.advance_over([], 5)
    await flush(topic)
    assert topic.position.seq == 5
    topic.advance(event(state(6, 6)))
    topic.advance(event(state(7, 7)))
    await flush(topic)
    assert [(item["seq"], item.get("from")) for item in end.items] == [
        (1, None),
        (6, 2),
        (7, None),
    ]


async def test_a_hole_reaches_members_that_attach_in_it() -> None:
    """A lane without anything pending stands behind the hole."""
    topic = opened()
    topic.advance_over([], 5)
    assert topic.lane(JSON).position == 5


async def test_known_states_are_not_sent_again() -> None:
    """A repair may read what arrived meanwhile."""
    topic, end = opened(3), End()
    topic.attach(end.connection)
    assert topic.advance_over([state(2, 2), state(3, 3), state(4, 4)], 4) == [state(4, 4)]
    await flush(topic)
    assert end.seqs() == [4]


async def test_a_change_is_sent_as_one() -> None:
    """An old message at a new position, in full."""
    topic, end = opened(5), End()
    topic.attach(end.connection)
    topic.advance(event(state(2, 2, 6, content="edited")))
    await flush(topic)
    [item] = end.items
    assert (item["type"], item["seq"]) == ("changed", 6)
    assert item["message"]["seq"] == 2
    assert item["message"]["changed_seq"] == 6
    assert item["message"]["content"] == "edited"


async def test_an_event_outside_of_the_log_has_no_turn() -> None:
    """A programming error is raised as one."""
    with pytest.raises(ValueError, match="log"):
        opened().advance(Event(event(state(1, 1)).frame))


async def test_early_events_come_in_their_turn() -> None:
    """In order, not across a gap, and no old ones."""
    topic = opened(1)
    for seq in (5, 1, 3, 2):
        topic.keep(event(state(seq, seq)), EPOCH)
    taken = []
    while (made := topic.next_early()) is not None:
        topic.advance(made)
        taken.append(made.seq)
    assert taken == [2, 3]
    assert [seq for _, seq in topic.early] == [5]


async def test_an_early_event_may_cover_a_hole() -> None:
    """`from` says that it is the next one."""
    topic = opened(1)
    topic.keep(event(state(5, 5), first=2), EPOCH)
    made = topic.next_early()
    assert made is not None
    assert made.seq == 5


async def test_an_early_event_of_another_epoch_never_has_a_turn() -> None:
    """Its number counts in a log that is no more."""
    topic = opened(1)
    topic.keep(event(state(2, 2, content="old")), "epoch-00")
    assert topic.next_early() is None
    topic.keep(event(state(2, 2, content="old")), "epoch-00")
    topic.keep(event(state(2, 2, content="new")), EPOCH)
    made = topic.next_early()
    assert made is not None
    assert made.state is not None
    assert made.state.content == "new"


async def test_early_events_are_bounded() -> None:
    """The database has them anyway."""
    topic = opened()
    for seq in range(topic.EARLY + 10):
        topic.keep(event(state(seq + 2, seq + 2)), EPOCH)
    assert len(topic.early) == topic.EARLY


async def test_opening_again_begins_at_another_position() -> None:
    """Pending events of a lane belong to the old log and are dropped, and so is a hole."""
    topic, end = opened(), End()
    topic.attach(end.connection)
    topic.advance(event(state(1, 1)))
    topic.advance_over([], 9)
    topic.open(LogMark(3, 0, 7, "epoch-02"), Ring([], 3, 0))
    topic.advance(event(state(4, 4)))
    await flush(topic)
    assert [(item["seq"], item.get("from")) for item in end.items] == [(4, None)]
    assert (topic.position.seq, topic.position.epoch, topic.rights_seq) == (4, "epoch-02", 7)
    assert topic.state is State.LIVE
