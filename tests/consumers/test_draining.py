"""A process that is replaced closes its clients one after the other, and serves the others."""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction

from harness.client.in_process import Socket
from harness.waiting import eventually
from realtime import testing
from realtime.engine import draining
from realtime.engine.engine import Engine
from realtime.models import Node, Room
from realtime.operations import draining as draining_of_nodes


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
    assert engine.draining.is_on
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


async def test_a_process_that_is_replaced_accepts_nobody_more(engine: Engine) -> None:
    closed: list[bool] = []
    engine.stop_accepting = lambda: closed.append(True)
    await engine.drain(0)
    assert closed


async def test_a_client_that_comes_late_to_a_process_that_is_replaced_is_served(
    engine: Engine,
) -> None:
    """Its handshake was on its way; a refusal would look like a site that is away."""
    await engine.drain(0)
    async with Socket() as late:
        assert await late.closed() == 4001


async def refused() -> Any:
    """The last event of a new client that is told to come back later."""
    late = Socket()
    await late.open()
    assert await late.closed() == 4001
    return late.seen[-1]


async def row(node: str) -> Node:
    """The row of a node, as soon as it is written."""
    async with asyncio.timeout(10):
        while (found := await Node.objects.filter(pk=node).afirst()) is None:
            await asyncio.sleep(0.01)
    return found


@pytest.fixture
async def node(engine: Engine) -> str:
    """The id of the node, whose row is written."""
    return (await row(engine.node.id)).pk


async def test_an_administrator_drains_a_process_and_takes_it_back(
    engine: Engine, node: str
) -> None:
    """Its clients are told to come back, new ones are refused until it serves again."""
    async with Socket() as client:
        [found] = await sync_to_async(draining_of_nodes.drain)([node], seconds=0)
        assert found.pk == node
        assert await client.closed() == 4001
    assert (await refused())["retry_after"] >= 0.5
    await sync_to_async(draining_of_nodes.serve)([node])
    await eventually(lambda: engine.takes_clients)
    async with Socket() as client:
        await client.join("general")


async def test_a_client_that_was_being_signed_in_is_moved_too(engine: Engine, node: str) -> None:
    """It is open after all others were closed."""
    await sync_to_async(draining_of_nodes.drain)([node], seconds=0)
    await eventually(lambda: engine.draining.is_on)
    engine.draining._is_final, closing = False, engine.draining._closing
    engine.draining._closing = None  # as for a client that came just before
    async with Socket() as client:
        engine.draining._closing = closing
        assert await client.closed() == 4001


async def test_a_drain_whose_note_is_lost_begins_with_the_pulse(room: Room) -> None:
    async with testing.engine(PULSE_SECONDS=0.05) as engine:
        await Node.objects.filter(pk=(await row(engine.node.id)).pk).aupdate(drain_seconds=3)
        await eventually(lambda: engine.draining.is_on)
        assert engine.draining.seconds == 3


async def test_a_row_that_cannot_be_read_is_no_missed_renewal(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stays ready, and reads the row with the next pulse."""
    failed: list[str] = []

    def fail(node: str) -> None:
        failed.append(node)
        raise OperationalError

    monkeypatch.setattr(draining.draining, "state_of", fail)
    async with testing.engine(PULSE_SECONDS=0.05) as engine:
        await eventually(lambda: len(failed) > 1)
        assert engine.is_current


async def test_a_rolled_back_drain_does_nothing(engine: Engine, node: str) -> None:
    def attempt() -> None:
        with suppress(ZeroDivisionError), transaction.atomic():
            draining_of_nodes.drain([node])
            raise ZeroDivisionError

    await sync_to_async(attempt)()
    await engine.draining.read()
    assert engine.takes_clients


async def test_a_node_that_was_reaped_while_it_drains_goes_on(engine: Engine, node: str) -> None:
    """As after a pause of the process: it writes its row again, with its state."""
    await sync_to_async(draining_of_nodes.drain)([node], seconds=7)
    await eventually(lambda: engine.draining.is_on)
    await Node.objects.filter(pk=node).adelete()
    await engine._pulse._renew_lease()
    assert engine.draining.is_on
    assert (await row(node)).drain_seconds == 7
    await engine.draining.read()
    assert engine.draining.is_on


async def test_a_process_that_is_being_replaced_does_not_serve_again(
    engine: Engine, node: str
) -> None:
    await engine.drain(0)
    await engine.draining.read()
    assert engine.draining.is_on


async def test_many_changes_in_a_row_end_as_the_last_one(engine: Engine, node: str) -> None:
    def change() -> None:
        for _ in range(10):
            draining_of_nodes.drain([node], seconds=5)
            draining_of_nodes.serve([node])

    await sync_to_async(change)()
    await asyncio.gather(*(engine.draining.read() for _ in range(5)))
    assert engine.takes_clients


def test_a_process_that_has_ended_is_left_out(database: str) -> None:
    dead = Node.objects.create(id="dead", hostname="host", pid=1, expires_at="2020-01-01T00:00Z")
    assert draining_of_nodes.drain([dead.pk, "unknown"]) == []
    dead.refresh_from_db()
    assert dead.drain_seconds is None


@pytest.mark.parametrize("seconds", [-1, draining_of_nodes.MOST_SECONDS + 1])
def test_a_time_that_cannot_be_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="from 0 to"):
        draining_of_nodes.drain([], seconds=seconds)
