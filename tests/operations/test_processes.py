"""What processes say of themselves to whoever asks, from any process."""

from asyncio import to_thread
from typing import Literal

import msgspec
import pytest

from realtime.engine import reporting
from realtime.engine.engine import Engine
from realtime.engine.numbers import Numbers, read
from realtime.operations import processes
from realtime.testing import connect
from tests.consumers.conftest import database, engine, room, sqlite_url

__all__ = ["database", "engine", "room", "sqlite_url"]


class Earlier(msgspec.Struct):
    """The question as an earlier release knows it."""

    what: Literal["clients", "places"]


async def test_a_process_says_its_numbers_and_versions(engine: Engine) -> None:
    async with connect() as client:
        await client.settled()
        node = engine.node.id
        numbers = await to_thread(processes.numbers_of, [node])
        assert numbers[node].gauges.connections == 1
        assert numbers[node].node == node
        versions = await to_thread(processes.versions_of, [node])
        assert {"realtime", "Python", "Django", "channels"} <= versions[node].keys()


async def test_a_process_that_does_not_answer_is_left_out(engine: Engine) -> None:
    assert await to_thread(processes.numbers_of, ["gone"], 0.05) == {}


async def test_a_release_that_does_not_know_the_question_has_no_versions(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses, and is not taken for one that does not answer."""
    monkeypatch.setattr(reporting, "Inspection", Earlier)
    node = engine.node.id
    assert await to_thread(processes.versions_of, [node]) == {node: {}}
    assert await to_thread(processes.numbers_of, [node]) == {}


def test_rates_need_two_samples_of_one_process() -> None:
    one, other = sample(1.0), sample(2.0)
    assert processes.rates(one, one) is None
    assert processes.rates(other, one) is None
    found = processes.rates(one, other)
    assert found is not None
    assert (found.commands_per_second, found.commit_p50) == (0, None)
    other.node = "another"
    assert processes.rates(one, other) is None


def sample(at: float) -> Numbers:
    found = read(None)
    found.at, found.node = at, "a"
    return found
