"""What administrators see of a connection."""

import asyncio
import time

import pytest

from realtime.engine.connections.connection import Connection
from realtime.engine.connections.stats import AGENT, LABEL, PLACES, snapshot
from realtime.engine.delivery.event import Event
from realtime.engine.delivery.flusher import Flusher
from realtime.engine.delivery.ring import Ring
from realtime.engine.delivery.room_topic import RoomTopic
from realtime.engine.delivery.topic import Topic
from realtime.store.accounts.identity import Identity
from realtime.store.logs import LogMark
from realtime.store.messages.room_log import RoomLog
from realtime.wire.codecs import JSON, NDJSON, Codec, Frame
from realtime.wire.events import Notice
from tests.engine.ends import End


class Silent:
    """A client that was last heard so many seconds ago."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.heard_at = asyncio.get_running_loop().time() - seconds

    def probe(self, seconds: float) -> bool:
        return False


def made(end: End, agent: str = "") -> Connection:
    scope = {"headers": [(b"user-agent", agent.encode())]}
    return Connection("n.1", end, end.server.send, JSON, scope=scope)


async def test_a_snapshot_tells_what_is_known_of_a_connection() -> None:
    """Before the client has authenticated, and while it reads slowly."""
    connection = made(End(), "x" * 999)
    found = snapshot(connection)
    assert (found.id, found.user_id, found.phase) == ("n.1", "", "connecting")
    assert (found.encoding, found.agent) == (JSON.subprotocol, "x" * AGENT)
    assert found.active_at == found.connected_at == pytest.approx(time.time(), abs=5)
    connection.identity, connection.peer_address = Identity("guest:a", "Ada"), "192.0.2.1"
    connection.outbox._pause()
    connection.outbox.send("é")
    connection.outbox.send("ab")
    found = snapshot(connection)
    assert (found.user_id, found.username, found.address) == ("guest:a", "Ada", "192.0.2.1")
    assert (found.queued_frames, found.queued_bytes) == (2, 4)
    connection.release()
    found = snapshot(connection)
    assert (found.phase, found.queued_frames, found.queued_bytes) == ("closed", 0, 0)


async def test_a_snapshot_tells_when_the_client_was_last_active() -> None:
    connection = made(End())
    connection.heartbeat = Silent(60)
    assert snapshot(connection).active_at == pytest.approx(time.time() - 60, abs=5)


async def test_a_snapshot_counts_what_topics_have_sent() -> None:
    """Also of a topic that it has left; topics of the engine send, but are not counted as such."""
    flushers = Flusher(coalesces=False), Flusher(coalesces=True)
    end, topic = End(), Topic("user.1", flushers)
    connection = made(end)
    connection.subscribe(topic)
    topic.deliver(Event(Frame.of(Notice(level="info", text="a"))))
    await flushers[0].stop()
    connection.outbox.send("{}")
    found = snapshot(connection)
    assert (found.frames_sent, found.subscriptions) == (2, 0)
    assert found.bytes_sent == sum(len(str(frame)) for frame in end.server.frames)
    connection.unsubscribe(topic)
    assert snapshot(connection).frames_sent == 2


@pytest.mark.parametrize(("codec", "waiting"), [(JSON, 3), (NDJSON, 4)], ids=["json", "ndjson"])
async def test_the_lag_is_what_a_client_was_not_sent_up_to_the_end_of_the_log(
    codec: Codec, waiting: int
) -> None:
    """Events of a later position, of the database, of the lane, and those that wait for it."""
    flushers = Flusher(coalesces=False), Flusher(coalesces=True)
    topic, end = RoomTopic(RoomLog(7), "hall", flushers), End()
    connection = Connection("n.1", end, end.server.send, codec)
    topic.open(LogMark(10, 0, 0, "a"), Ring([], 10, 0))
    connection.subscribe(topic)
    assert snapshot(connection).lag == 0
    topic.position.advance(12)
    assert snapshot(connection).lag == 2
    topic.keep(Event(Frame("{}"), 15, None), "a")
    topic.keep(Event(Frame("{}"), 99, None), "other")
    assert snapshot(connection).lag == 5
    topic.marked = 20
    assert snapshot(connection).lag == 10
    topic.open(LogMark(20, 0, 0, "a"), Ring([], 20, 0))
    connection.outbox._pause()
    for text in ("{}", "{}\n{}", "{}"):
        connection.outbox.send(text)
    found = snapshot(connection)
    assert (found.lag, found.places) == (waiting, ["hall"])


async def test_a_snapshot_names_few_places_in_few_characters() -> None:
    flushers = Flusher(coalesces=False), Flusher(coalesces=True)
    connection = made(End())
    for number in range(PLACES + 2):
        connection.subscribe(RoomTopic(RoomLog(number), f"{number}" * 100, flushers))
    found = snapshot(connection)
    assert (found.subscriptions, len(found.places)) == (PLACES + 2, PLACES)
    assert {len(name) for name in found.places} == {LABEL}
