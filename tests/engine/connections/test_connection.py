"""The phases of a connection, and the release of what it has acquired."""

import asyncio
import logging
from itertools import product

import pytest

from harness.waiting import eventually
from realtime.engine.connections import connection as module
from realtime.engine.connections.connection import Connection
from realtime.engine.connections.phase import MOVES, Phase, PhaseError
from realtime.wire.codecs import JSON
from realtime.wire.errors import CloseCode, Disconnect
from tests.engine.ends import End, ticks

LEGAL = {
    "CONNECTING": {"AUTHENTICATING", "OPEN", "CLOSING", "CLOSED"},
    "AUTHENTICATING": {"OPEN", "CLOSING", "CLOSED"},
    "OPEN": {"CLOSING", "CLOSED"},
    "CLOSING": {"CLOSED"},
    "CLOSED": set[str](),
}


@pytest.fixture
def end() -> End:
    return End()


def made(end: End, task: "asyncio.Task[None] | None" = None) -> Connection:
    return Connection("n.1", end, end.server.send, JSON, task=task)


@pytest.mark.parametrize(("phase", "to"), list(product(Phase, Phase)))
def test_only_the_moves_of_the_table_are_legal(end: End, phase: Phase, to: Phase) -> None:
    """Every pair; a refused move changes nothing and names what was expected."""
    connection = made(end)
    connection.phase = phase
    if to.name in LEGAL[phase.name]:
        connection.move(to)
        assert connection.phase is to
        return
    with pytest.raises(PhaseError) as caught:
        connection.move(to)
    assert connection.phase is phase
    assert (caught.value.phase, caught.value.to) == (phase, to)
    expected = [one.name for one in MOVES[phase]] or ["no other phase"]
    assert all(name in str(caught.value) for name in (phase.name, to.name, *expected))


def test_an_illegal_move_names_the_expected_phases_and_its_own(end: End) -> None:
    connection = made(end)
    connection.move(Phase.CLOSING)
    with pytest.raises(PhaseError) as caught:
        connection.move(Phase.OPEN)
    message = "connection n.1 is CLOSING: expected a move to CLOSED, got OPEN"
    assert str(caught.value) == message


def test_the_life_of_a_connection_can_be_read(end: End, caplog: pytest.LogCaptureFixture) -> None:
    """One line at DEBUG for each move."""
    connection = made(end)
    with caplog.at_level(logging.DEBUG, "realtime.connection.phase"):
        connection.move(Phase.AUTHENTICATING)
        connection.move(Phase.OPEN)
        connection.lose()
        connection.release()
    assert [record.getMessage() for record in caplog.records] == [
        "connection n.1: AUTHENTICATING after CONNECTING",
        "connection n.1: OPEN after AUTHENTICATING",
        "connection n.1: CLOSING after OPEN",
        "connection n.1: CLOSED after CLOSING",
    ]


def test_what_was_acquired_is_released_in_reverse(
    end: End, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where one of them fails, which is logged."""
    connection, released = made(end), list[int]()

    def fail(_: Connection) -> None:
        raise ValueError("odd")

    connection.acquire(lambda _: released.append(1))
    connection.acquire(fail)
    connection.acquire(lambda _: released.append(2))
    connection.release()
    assert released == [2, 1]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_what_a_closed_connection_acquires_is_released_at_once(end: End) -> None:
    connection, released = made(end), list[int]()
    connection.release()
    connection.acquire(lambda _: released.append(1))
    assert released == [1]


class Names(set[str]):
    """A topic that only knows the names of its members."""

    is_for_clients = True

    def lane_of(self, connection: Connection) -> None:
        return None

    def attach(self, connection: Connection) -> bool:
        is_new = connection.id not in self
        self.add(connection.id)
        return is_new

    def detach(self, connection: Connection) -> bool:
        was_member = connection.id in self
        self.discard(connection.id)
        return was_member


def test_a_closed_connection_is_subscribed_to_nothing(end: End) -> None:
    """Whatever it has subscribed to, also twice, and also what it subscribes to afterwards."""
    connection, topics = made(end), [Names() for _ in range(3)]
    for topic in (*topics[:2], topics[0]):
        connection.subscribe(topic)
    assert topics == [{"n.1"}, {"n.1"}, set()]
    connection.release()
    assert topics == [set(), set(), set()]
    connection.subscribe(topics[2])
    assert topics[2] == set()


def test_what_is_unsubscribed_is_not_released_later(end: End) -> None:
    connection, topic = made(end), Names()
    connection.subscribe(topic)
    connection.unsubscribe(topic)
    connection.unsubscribe(topic)
    assert (topic, connection._acquired) == (set(), [])


async def test_the_reason_of_a_close_is_sent_once(end: End) -> None:
    """The first reason counts."""
    connection = made(end)
    connection.close(Disconnect(CloseCode.KICKED, "Out."))
    connection.close(Disconnect(CloseCode.SHUTDOWN))
    await ticks(5)
    assert [item["code"] for item in end.items] == [CloseCode.KICKED]
    assert end.server.messages[-1]["code"] == CloseCode.KICKED
    connection.release()


async def test_nothing_is_sent_to_a_client_that_has_gone(end: End) -> None:
    connection = made(end)
    connection.lose()
    connection.close(Disconnect(CloseCode.KICKED))
    await ticks(5)
    assert end.server.messages == []
    connection.release()


async def test_a_pause_ends_when_the_connection_closes(end: End) -> None:
    connection = made(end)
    pause = asyncio.create_task(connection.pause(60))
    await ticks()
    assert connection.is_paused
    connection.close(Disconnect(CloseCode.KICKED))
    await pause
    assert not connection.is_paused
    connection.release()


async def test_releasing_ends_the_task_that_closes_the_socket(end: End) -> None:
    """It would wait for the answer of a client that has gone."""
    connection, before = made(end), asyncio.all_tasks()
    connection.close(Disconnect(CloseCode.KICKED))
    await ticks()
    connection.release()
    await eventually(lambda: asyncio.all_tasks() == before)


async def test_the_task_is_ended_if_the_transport_cannot_be_reached(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the consumer can distinguish that from a cancellation by the server."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0)

    async def wait() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            assert not connection.was_given_up()
            assert connection.was_dropped()
            raise

    task = asyncio.create_task(wait())
    connection = made(end, task)
    await ticks()
    connection.close(Disconnect(CloseCode.KICKED))
    with pytest.raises(asyncio.CancelledError):
        await task
    connection.release()


async def test_a_task_that_the_server_cancels_as_well_does_not_go_on(end: End) -> None:
    """A command that takes too long is cancelled once, and the connection stays."""
    found: list[bool] = []

    async def wait() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                found.append(connection.was_given_up())

    task = asyncio.create_task(wait())
    connection = made(end, task)
    await ticks()
    connection.give_up()
    await ticks()
    connection.give_up()
    task.cancel()
    await task
    assert found == [True, False]
    connection.release()
