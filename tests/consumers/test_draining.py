"""A process that is replaced closes its clients one after the other, and serves the others."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from harness.client.in_process import Socket
from harness.waiting import eventually
from realtime.engine import draining
from realtime.engine.engine import Engine


async def test_clients_are_closed_at_an_even_pace(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told to come back at once, and those that are still here can go on."""
    monkeypatch.setattr(draining, "LEAST_PER_SECOND", 4.0)
    async with AsyncExitStack() as stack:
        first, *others = [await stack.enter_async_context(Socket()) for _ in range(3)]
        for one in others:
            await one.join("general")
        drained = asyncio.create_task(engine.drain(30))
        assert await first.closed() == 4001
        assert 0 < first.seen[-1]["retry_after"] < 0.5
        await others[-1].say("general", "still here")
        assert not drained.done()
        assert [await one.closed() for one in others] == [4001, 4001]
        assert [item["content"] for item in others[-1].seen if item["type"] == "message"]
    await drained
    assert engine.is_draining
    assert not engine.is_stopping


async def test_what_a_client_has_sent_is_acknowledged_before_its_close(engine: Engine) -> None:
    """Though the commit takes longer than the client's turn."""
    async with Socket() as client:
        await client.join("general")
        for turn in range(20):
            await client.send("message", room="general", content=str(turn), nonce=f"n{turn}")
        await eventually(lambda: not engine.writer.is_idle)
        await asyncio.gather(engine.drain(0), client.closed())
        kinds = [item["type"] for item in client.seen]
        assert kinds[-1] == "disconnect"
        contents = [item["content"] for item in client.seen if item["type"] == "message"]
        assert contents
        assert kinds.count("ack") == len(contents)


async def test_a_shutdown_does_not_wait_for_the_pace(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "LEAST_PER_SECOND", 0.01)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Socket()) for _ in range(5)]
        drained = asyncio.create_task(engine.drain(1000))
        await clients[0].closed()
        await asyncio.gather(engine.stop(), *(client.closed() for client in clients[1:]))
    await drained


async def test_a_draining_process_accepts_nobody_more(engine: Engine) -> None:
    closed: list[bool] = []
    engine.stop_accepting = lambda: closed.append(True)
    await engine.drain(0)
    assert closed
