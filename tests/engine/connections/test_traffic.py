"""The numbers of one connection, of which lanes count a part for all their members."""

from realtime.counts import counts
from realtime.engine.delivery.event import Event
from realtime.engine.delivery.flusher import Flusher, Lane
from realtime.wire.codecs import JSON, Frame
from realtime.wire.events import Notice
from tests.engine.ends import End


def event(text: str, *, exclude: str = "") -> Event:
    return Event(Frame.of(Notice(level="info", text=text)), exclude=exclude)


def sent(end: End, *lanes: Lane) -> tuple[int, int]:
    """What a connection was sent, which is in these lanes."""
    own = end.outbox.traffic
    frames = own.frames_sent + sum(lane.frames_sent for lane in lanes)
    return frames, own.bytes_sent + sum(lane.bytes_sent for lane in lanes)


def arrived(end: End) -> tuple[int, int]:
    frames = [str(frame) for frame in end.server.frames]
    return len(frames), sum(len(frame.encode()) for frame in frames)


async def test_each_connection_is_counted_what_it_was_sent() -> None:
    """By lanes, which it enters and leaves, and by replies."""
    flusher = Flusher(coalesces=False)
    lane, other = Lane(JSON, flusher, 0), Lane(JSON, flusher, 0)
    early, late, idle = End("n.1"), End("n.2"), End("n.3")
    before = counts.frames_sent, counts.bytes_sent
    lane.attach(early.outbox)
    lane.attach(idle.outbox)
    other.attach(early.outbox)
    lane.put(event("ä"))
    other.put(event("b"))
    await flusher.stop()
    lane.attach(late.outbox)
    lane.attach(late.outbox)  # it subscribes again
    lane.put(event("c", exclude="n.1"))
    lane.put(event("d"))
    early.outbox.send("{}")
    await flusher.stop()
    lane.detach("n.2")
    lane.put(event("e"))
    await flusher.stop()
    assert sent(early, lane, other) == arrived(early)
    assert sent(idle, lane) == arrived(idle)
    assert sent(late) == arrived(late)
    assert arrived(late)[0] == 2
    total = [sum(each) for each in zip(*map(arrived, (early, late, idle)), strict=True)]
    assert (counts.frames_sent - before[0], counts.bytes_sent - before[1]) == tuple(total)


def test_a_frame_of_a_client_is_counted_for_it_and_for_the_process() -> None:
    traffic, before = End().outbox.traffic, (counts.frames_received, counts.bytes_received)
    traffic.receive(7)
    assert (traffic.frames_received, traffic.bytes_received) == (1, 7)
    assert (counts.frames_received, counts.bytes_received) == (before[0] + 1, before[1] + 7)
