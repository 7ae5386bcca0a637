"""How the rooms and topics of a client ask the server."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime.client import RealtimeError
from realtime.client.frames import Encoding
from realtime.client.session import Session

PING = {"type": "ping"}


class FakeLine:
    """A line whose replies are given by the test."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.is_congested = False
        self.is_transmitted = True
        self.withdrawn: list[int] = []

    def send(self, command: dict[str, Any]) -> None:
        self.sent.append(command)

    def ask(self, command: dict[str, Any], reply: Callable[..., None], error: Any) -> int:
        self.sent.append(command)
        self.reply, self.error = reply, error
        return len(self.sent)

    def withdraw(self, ref: int) -> bool:
        self.withdrawn.append(ref)
        return not self.is_transmitted


def session(line: FakeLine | None) -> Session:
    made = Session(Encoding("ndjson"), 10, "all")
    made.line = line  # type: ignore[assignment]
    return made


async def asked(made: Session, timeout: float = 5) -> asyncio.Task[Any]:
    """Begin to ask; return once the command was given to the line."""
    task = asyncio.create_task(made.request(PING, timeout))
    await asyncio.sleep(0)
    return task


async def test_a_request_returns_its_reply() -> None:
    line = FakeLine()
    task = await asked(session(line))
    line.reply("pong")
    line.reply("twice")  # changes nothing
    assert await task == "pong"


async def test_a_request_raises_what_the_server_answers() -> None:
    line = FakeLine()
    task = await asked(session(line))
    line.error(RealtimeError("unknown_room"))
    with pytest.raises(RealtimeError, match="unknown_room"):
        await task


async def test_a_request_without_a_line_was_not_sent() -> None:
    with pytest.raises(RealtimeError) as raised:
        await session(None).request(PING)
    error = raised.value
    assert (error.code, error.outcome, error.is_retryable) == ("offline", "not_sent", True)


@pytest.mark.parametrize(
    ("is_transmitted", "outcome"), [(True, "unknown"), (False, "not_sent")], ids=["sent", "waiting"]
)
async def test_a_late_request_says_whether_it_was_sent(is_transmitted: bool, outcome: str) -> None:
    line = FakeLine()
    line.is_transmitted = is_transmitted
    with pytest.raises(RealtimeError) as raised:
        await session(line).request(PING, 0.0)
    assert (raised.value.code, raised.value.outcome) == ("timeout", outcome)
    assert raised.value.is_retryable is not is_transmitted


async def test_a_request_that_is_cancelled_is_withdrawn() -> None:
    line = FakeLine()
    task = await asked(session(line))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert line.withdrawn == [1]


def test_what_loses_its_worth_is_dropped_while_the_line_is_congested() -> None:
    line = FakeLine()
    made = session(line)
    made.send_loose(PING)
    line.is_congested = True
    made.send_loose(PING)
    made.line = None
    made.send_loose(PING)
    assert line.sent == [PING]


def test_a_closed_client_tells_why() -> None:
    made = session(None)
    made.check_open()
    made.end = RealtimeError("closed")
    with pytest.raises(RealtimeError, match="closed"):
        made.check_open()
