"""What all loops over one room or topic get."""

import gc
from typing import Any

import pytest

from realtime.client import RealtimeError
from realtime.client.seen import Seen
from realtime.client.stream import Page, Placed, Reset, Stream
from realtime.client.streams import Streams
from realtime.wire.position import Position


class Log:
    """A log that no stream has to read from."""

    position = 0

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def ready(self) -> None:
        raise AssertionError("A stream has fallen behind.")

    async def page(self, after: int, seen: Seen) -> Page:
        raise AssertionError(f"A stream reads after {after}.")

    def forget_stream(self, stream: Stream[Any]) -> None:
        self._streams.discard(stream)


def opened(count: int = 2) -> tuple[Streams, list[Stream[Any]]]:
    """Return loops that have begun after the position 3."""
    streams = Streams()
    loops: list[Stream[Any]] = [Stream(Log(streams), lambda event: event) for _ in range(count)]
    for loop in loops:
        streams.add(loop)
    streams.start(Position(3, "e"))
    return streams, loops


def place(loop: Stream[Any]) -> tuple[int, str] | None:
    """Return up to where a loop has handled the events."""
    return loop.handled and (loop.handled.seq, loop.handled.epoch)


async def test_an_event_reaches_each_loop() -> None:
    streams, loops = opened()
    streams.put(Placed("paid", 4))
    assert [await anext(loop) for loop in loops] == ["paid", "paid"]


async def test_a_loop_that_was_given_up_gets_nothing_more() -> None:
    streams, [one, other] = opened()
    streams.discard(one)
    streams.put(Placed("paid", 4))
    streams.end(None)
    assert [event async for event in other] == ["paid"]
    assert place(one) == (3, "e")


async def test_a_loop_that_nobody_holds_disappears() -> None:
    streams, loops = opened()
    loops.clear()
    gc.collect()
    streams.put(Placed("paid", 4))  # reaches nobody
    assert not list(streams._all)


async def test_an_error_ends_all_loops_after_what_they_have() -> None:
    streams, loops = opened()
    streams.put(Placed("paid", 4))
    streams.end(RealtimeError("left"))
    for loop in loops:
        assert await anext(loop) == "paid"
        with pytest.raises(RealtimeError, match="left"):
            await anext(loop)


async def test_a_new_state_tells_a_reset_to_those_that_have_begun() -> None:
    streams, [old] = opened(1)
    new: Stream[Any] = Stream(Log(streams), lambda event: event)
    streams.add(new)
    streams.begin_anew([Placed("newest", 9)], Position(9, "f"), 5)
    streams.end(None)
    assert [event async for event in old] == [Reset(5), "newest"]
    assert [event async for event in new] == ["newest"]


async def test_what_shows_the_state_is_handled_at_the_position_before_it() -> None:
    """A client that stops after the first one must get the second one again."""
    streams, [loop] = opened(1)
    streams.begin_anew([Placed("a", 8), Placed("b", 9)], Position(9, "f"), None)
    assert [await anext(loop), await anext(loop)] == [Reset(None), "a"]
    assert place(loop) == (7, "f")
    assert await anext(loop) == "b"
    assert place(loop) == (8, "f")
