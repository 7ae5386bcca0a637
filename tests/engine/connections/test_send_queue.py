"""Frames that wait for a client: what counts, and whose turn it is."""

import asyncio

import pytest
from pytest_django.fixtures import Settings

from realtime.engine.connections.send_queue import Senders, SendQueue
from tests.engine.ends import ticks


def test_frames_come_out_in_their_order() -> None:
    queue = SendQueue()
    for frame in ("a", b"b", "c"):
        queue.add(frame, is_counted=True)
    assert [queue.take() for _ in range(3)] == ["a", b"b", "c"]
    assert (queue.counted_frames, queue.counted_bytes, queue.size) == (0, 0, 0)


def test_what_the_client_has_requested_does_not_count(settings: Settings) -> None:
    """It fills memory, but does not show that the client is slow."""
    settings.REALTIME = {"OUTBOX_FRAMES": 2, "OUTBOX_BYTES": 10}
    queue = SendQueue()
    queue.add("x" * 100, is_counted=False)
    assert (queue.filled, queue.size) == (0, 100)
    queue.add("12345", is_counted=True)
    assert queue.filled == 0.5
    queue.take()
    assert (queue.filled, queue.size) == (0.5, 5)


@pytest.mark.parametrize(("frames", "filled"), [(["1", "2"], 1.0), (["123456789012345"], 1.5)])
def test_the_limit_that_is_nearer_counts(
    settings: Settings, frames: list[str], filled: float
) -> None:
    settings.REALTIME = {"OUTBOX_FRAMES": 2, "OUTBOX_BYTES": 10}
    queue = SendQueue()
    for frame in frames:
        queue.add(frame, is_counted=True)
    assert queue.filled == filled
    queue.clear()
    assert (queue.filled, len(queue)) == (0, 0)


async def test_senders_go_on_one_after_the_other() -> None:
    """None that sends much keeps another from its turn."""
    senders, done, may_go_on = Senders(), [], False

    async def send(name: str) -> None:
        nonlocal may_go_on
        await senders.wait(lambda: may_go_on)
        may_go_on = False  # it has filled the buffer again
        done.append(name)

    tasks = [asyncio.create_task(send(name)) for name in "abc"]
    for expected in ("a", "ab", "abc"):
        await ticks()
        senders.wake()  # the client has not read so much
        await ticks()
        assert done == list(expected[:-1])
        may_go_on = True
        senders.wake()
        await ticks(5)
        assert done == list(expected)
    await asyncio.gather(*tasks)


async def test_a_sender_that_is_cancelled_leaves_its_turn_to_the_next() -> None:
    senders, may_go_on = Senders(), False
    first = asyncio.create_task(senders.wait(lambda: may_go_on))
    second = asyncio.create_task(senders.wait(lambda: may_go_on))
    await ticks()
    first.cancel()
    may_go_on = True
    await asyncio.wait_for(second, 5)
    assert first.cancelled()
