"""Checks of rights: one at a time for each name, and again while the database fails."""

import asyncio

import pytest
from django.db import OperationalError

from harness.waiting import eventually
from realtime.engine.connections import rechecks as module
from realtime.engine.connections.rechecks import Rechecks
from realtime.wire.errors import CommandError, ErrorCode

REFUSAL = CommandError(ErrorCode.PERMISSION_DENIED, "No.")


class Client:
    """A connection with rights that are due, and the errors that reading them raises in turn."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.due = {"a"}
        self.read: list[str] = []
        self.may_read = asyncio.Event()
        self.given_up: list[tuple[str, bool]] = []
        self.rechecks = Rechecks("one.1", self.due.__contains__, self.refresh, self.give_up)

    async def refresh(self, name: str) -> None:
        self.read.append(name)
        await self.may_read.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.due.discard(name)

    def give_up(self, name: str, seconds: float) -> None:
        self.given_up.append((name, seconds >= 0))

    @property
    def is_idle(self) -> bool:
        return not self.rechecks._tasks


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0)


async def test_one_check_of_a_name_runs_at_a_time() -> None:
    client = Client()
    client.due.add("b")
    for name in ("a", "a", "b", "a"):
        client.rechecks.start(name)
    client.may_read.set()
    await eventually(lambda: client.is_idle)
    assert client.read == ["a", "b"]


async def test_rights_that_stay_due_are_read_again() -> None:
    """They have changed while they were read."""
    client = Client()
    client.may_read.set()
    changes = [1, 0]
    client.rechecks._is_due = lambda name: bool(changes and (changes.pop() or True))
    client.rechecks.start("a")
    await eventually(lambda: client.is_idle)
    assert client.read == ["a", "a"]


async def test_a_failure_of_the_database_is_tried_again() -> None:
    client = Client(OperationalError("away"), OperationalError("away"))
    client.may_read.set()
    client.rechecks.start("a")
    await eventually(lambda: client.is_idle)
    assert (client.read, client.given_up) == (["a"] * 3, [("a", True)] * 2)


async def test_a_subscription_that_was_given_up_is_read_no_more() -> None:
    client = Client(OperationalError("away"), OperationalError("away"))
    client.may_read.set()
    client.rechecks._give_up = lambda name, seconds: client.due.discard(name)
    client.rechecks.start("a")
    await eventually(lambda: client.is_idle)
    assert client.read == ["a"]


@pytest.mark.parametrize("error", [REFUSAL, ZeroDivisionError()])
async def test_a_refusal_or_a_broken_policy_ends_a_check(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(error)
    client.may_read.set()
    client.rechecks.start("a")
    await eventually(lambda: client.is_idle)
    assert client.read == ["a"]
    assert ("ZeroDivisionError" in caplog.text) is (error is not REFUSAL)


async def test_a_connection_that_ends_stops_its_checks() -> None:
    client = Client()
    client.rechecks.start("a")
    await eventually(lambda: client.read)
    client.rechecks.stop()
    await eventually(lambda: client.is_idle)
    assert client.due == {"a"}
