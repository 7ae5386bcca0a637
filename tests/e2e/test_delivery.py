"""Everybody gets everything, once, in order: the ordinary day, on each database and each layer."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from harness.client.chatter import Chatter
from harness.client.consistency import all_caught_up, compare
from harness.site import ROOMS, Factory

CLIENTS = 20
TWO = ("daphne", "daphne")


@pytest.mark.parametrize(
    ("database", "layer", "servers"),
    [
        ("postgres", "pubsub", TWO),
        ("postgres", "core", TWO),
        ("postgres", "pubsub", ("daphne", "uvicorn")),
        ("sqlite", "memory", ("daphne",)),
    ],
)
async def test_every_client_has_every_message_of_its_rooms_once_and_in_order(
    make_site: Factory, database: str, layer: str, servers: tuple[str, ...]
) -> None:
    """2,000 messages go into one room and 500 into ten others, sent through every server."""
    site = make_site(database=database, layer=layer, servers=servers)
    async with AsyncExitStack() as stack:
        chatters = [
            await stack.enter_async_context(
                Chatter(f"client {number}", [url], _rooms(number), encoding)
            )
            for number, (url, encoding) in enumerate(_places(site.urls))
        ]
        await asyncio.gather(*(_talk(chatter) for chatter in chatters))
        await all_caught_up(chatters, site.database)
        compare(chatters, site.database)
    assert site.database.last_seq("general") == 2_000
    assert [site.database.last_seq(room) for room in ROOMS[1:]] == [50] * 10
    assert [loss for chatter in chatters for loss in chatter.losses] == []
    for chatter in chatters:
        _assert_own_order(chatter)


def _places(urls: list[str]) -> list[tuple[str, str]]:
    encodings = ["", "ndjson", "msgpack"]
    return [(urls[number % len(urls)], encodings[number % 3]) for number in range(CLIENTS)]


def _rooms(number: int) -> list[str]:
    """`general` and five of the others, each of which has ten members, five on either server."""
    return ["general", *(f"room-{room}" for room in range(10) if (room + number // 2) % 2)]


async def _talk(chatter: Chatter) -> None:
    """100 messages to all and five to each other room, all in flight at once."""
    sends = [chatter.say("general", f"{chatter.name} {turn}") for turn in range(100)]
    for room in list(chatter.known)[1:]:
        sends += [chatter.say(room, f"{chatter.name} {turn}") for turn in range(5)]
    await asyncio.gather(*sends)


def _assert_own_order(chatter: Chatter) -> None:
    for room in chatter.known:
        mine = [
            content for content in chatter.contents(room) if content.startswith(f"{chatter.name} ")
        ]
        assert mine == [f"{chatter.name} {turn}" for turn in range(len(mine))]
