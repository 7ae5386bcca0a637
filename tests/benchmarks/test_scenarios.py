"""A whole scenario against a server that spoils what it delivers: the figures say so."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.load import crowd, scenarios
from benchmarks.load.sockets import until

Spoil = Callable[[int, int, str], list[str]]
"""What a member gets, by its place and the number of a text, in place of that text."""
MEMBERS = 3


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no runner to answer marks, and nothing that takes long to come."""
    monkeypatch.setattr("builtins.input", lambda: "")
    monkeypatch.setattr(crowd, "SETTLE_SECONDS", 0)
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
        members.append(connection)
        with suppress(ConnectionClosed):
            async for text in connection:
                assert isinstance(text, str)
                for place, member in enumerate(members):
                    for one in spoil(place, int(text.split(".")[1]), text):
                        await member.send(one)

    async with serve(handle, "127.0.0.1", 0, compression=None, close_timeout=0.1) as running:
        yield f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"


async def figures(scenario: str, spoil: Spoil) -> dict[str, float]:
    """What a short run of a scenario says."""
    options = {
        "dialect": "plain",
        "members": MEMBERS,
        "outstanding": 8,
        "rate": 500,
        "to_last": False,
        "warm_up": 0.05,
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


@pytest.mark.parametrize("scenario", ["fanout", "latency"])
async def test_a_right_server_is_not_blamed(scenario: str) -> None:
    """Nothing is lost, and every message was delivered to every member."""
    told = await figures(scenario, lambda place, number, text: [text])
    assert (told["lost"], told["faults"]) == (0, 0)
    assert told["deliveries"] > MEMBERS * 10


@pytest.mark.parametrize("scenario", ["fanout", "latency"])
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
