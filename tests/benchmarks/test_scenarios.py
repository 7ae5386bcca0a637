"""A whole scenario against a server that spoils what it delivers: the figures say so."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.load import crowd, scenarios, topics
from benchmarks.load.publishing import Published
from benchmarks.load.sockets import until
from benchmarks.load.stream import text_of

Spoil = Callable[[int, int, str], list[str]]
"""What a member gets, by its place and the number of a text, in place of that text."""
MEMBERS = 3
PUBLISHING = "/"
"""Where one connects that is no member."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no runner to answer marks, and nothing that takes long to come."""
    monkeypatch.setattr("builtins.input", lambda: "")
    monkeypatch.setattr(crowd, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(topics, "Publishers", Publishers)
    wait_at_most(0.5, monkeypatch)


def wait_at_most(most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a scenario wait for so many seconds at most."""
    for module in (crowd, scenarios):
        monkeypatch.setattr(
            module, "until", lambda condition, seconds: until(condition, min(seconds, most))
        )


@asynccontextmanager
async def server(spoil: Spoil) -> AsyncIterator[str]:
    """A server that everybody shares a room on; gives its address."""
    members: list[ServerConnection] = []

    async def handle(connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path != PUBLISHING:
            members.append(connection)
        with suppress(ConnectionClosed):
            async for text in connection:
                assert isinstance(text, str)
                for place, member in enumerate(members):
                    for one in spoil(place, int(text.split(".")[1]), text):
                        await member.send(one)

    async with serve(handle, "127.0.0.1", 0, compression=None, close_timeout=0.1) as running:
        yield f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"


class Publishers:
    """One that publishes to the server by a socket, instead of processes of the site."""

    NUMBER = 20

    def __init__(self, options: dict[str, Any]) -> None:
        self._base = options["bases"][0]
        self.landings = 0

    @classmethod
    async def start(cls, options: dict[str, Any]) -> "Publishers":
        return cls(options)

    async def publish(self) -> Published:
        sent = [time.perf_counter()] * self.NUMBER
        async with connect(self._base + PUBLISHING) as socket:
            for number in range(1, self.NUMBER + 1):
                await socket.send(text_of(1, number))
        return Published([{"seconds": 0.1, "sent": {"1": sent}}])

    def landed(self, number: int) -> None:
        self.landings += number


async def figures(scenario: str, spoil: Spoil) -> dict[str, float]:
    """What a short run of a scenario says."""
    options = {
        "dialect": "plain",
        "members": MEMBERS,
        "outstanding": 8,
        "rate": 500,
        "to_last": False,
        "warm_up": 0.05,
        "topics": 1,
        "observers": MEMBERS,
        "writers": 1,
        "kind": "topic",
        "pace": 0.5,
        "seconds": 0.2,
    }
    async with server(spoil) as base:
        return await scenarios.SCENARIOS[scenario]({**options, "bases": [base]})


def one_loses(place: int, number: int, text: str) -> list[str]:
    return [] if place == 2 and number == 10 else [text]


def one_loses_the_rest(place: int, number: int, text: str) -> list[str]:
    return [] if place == 2 and number > 10 else [text]


def one_gets_doubles(place: int, number: int, text: str) -> list[str]:
    return [text, text] if place == 2 and number == 10 else [text]


def one_gets_changes(place: int, number: int, text: str) -> list[str]:
    return [text.replace("xx", "xy", 1) if place == 2 and number == 10 else text]


def all_lose(place: int, number: int, text: str) -> list[str]:
    return [] if number == 10 else [text]


def all_lose_the_rest(place: int, number: int, text: str) -> list[str]:
    return [] if number > 10 else [text]


class OneGetsAnotherOrder:
    """A server that holds a text back until the next."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def __call__(self, place: int, number: int, text: str) -> list[str]:
        if place != 2:
            return [text]
        if number == 10:
            self.held.append(text)
            return []
        held, self.held = self.held, []
        return [text, *held]


@pytest.mark.parametrize("scenario", ["fanout", "latency", "publish", "tell"])
async def test_a_right_server_is_not_blamed(scenario: str) -> None:
    """Nothing is lost, and every message was delivered to every member."""
    told = await figures(scenario, lambda place, number, text: [text])
    assert (told["lost"], told["faults"]) == (0, 0)
    assert told.get("deliveries", told.get("events", 0) * MEMBERS) > MEMBERS * 10


@pytest.mark.parametrize("scenario", ["fanout", "latency", "publish", "tell"])
@pytest.mark.parametrize(
    "spoil",
    [
        one_loses,
        one_loses_the_rest,
        one_gets_doubles,
        one_gets_changes,
        OneGetsAnotherOrder(),
        all_lose,
        all_lose_the_rest,
    ],
)
async def test_a_server_that_spoils_something_is_found_out(
    scenario: str, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is lost, doubled, changed or out of order makes a run fail."""
    wait_at_most(0.1, monkeypatch)
    told = await figures(scenario, spoil)
    assert told["lost"] or told["faults"]
