"""A fixed rate: kept, and not at the cost of a core."""

import pytest
import uvloop

from benchmarks.load import senders
from benchmarks.load.crowd import after
from benchmarks.load.dialects import DIALECTS
from benchmarks.load.senders import Latencies, Pace
from benchmarks.load.sockets import Book, Socket

SECONDS = 0.2


def _pace(rate: float) -> Pace:
    socket = Socket(DIALECTS["json"], b"")
    socket.book = Book()
    socket.send = lambda data: None  # type: ignore[method-assign]
    return Pace([(socket, "general", 1)], rate, Latencies())


@pytest.mark.parametrize("rate", [20, 400, 5000])
def test_a_pace_is_kept_and_sleeps_between(rate):
    looks = 0

    async def run() -> int:
        pace, is_over = _pace(rate), after(SECONDS)

        def look() -> bool:
            nonlocal looks
            looks += 1
            return is_over()

        await pace.run(look)
        return pace.sent

    sent = uvloop.run(run())
    # uvloop's clock has steps of 1 ms: after a shorter sleep it goes on at once.
    assert looks <= SECONDS / senders.TICK_SECONDS + 2
    assert SECONDS * rate * 0.5 <= sent <= SECONDS * rate
