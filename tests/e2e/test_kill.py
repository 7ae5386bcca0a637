"""A server dies without a word: nothing acknowledged is lost, and its ghosts leave."""

import asyncio
from contextlib import AsyncExitStack

from tests.chatter import Chatter, all_caught_up, compare
from tests.client import Client, eventually
from tests.proxy import Proxy
from tests.site import Factory

MESSAGES = 100


async def test_a_killed_server_loses_doubles_and_reorders_nothing(make_site: Factory) -> None:
    """Its clients go to the other process, resume, and repeat what was not acknowledged."""
    site = make_site(servers=("daphne", "daphne"))
    async with AsyncExitStack() as stack:
        chatters = [
            await stack.enter_async_context(
                Chatter(f"client {number}", _route(site.urls, number), ["general", "room-1"])
            )
            for number in range(20)
        ]
        talk = [asyncio.create_task(_talk(chatter)) for chatter in chatters]
        await eventually(
            lambda: sum(len(chatter.acks) for chatter in chatters) > 20 * MESSAGES // 4
        )
        site.servers[0].kill()
        await asyncio.wait_for(asyncio.gather(*talk), 60)
        await all_caught_up(chatters, site.database)
        compare(chatters, site.database)
    assert all(chatter.losses for chatter in chatters[::2])
    assert not any(chatter.losses for chatter in chatters[1::2])


async def test_a_message_whose_ack_was_lost_with_the_server_is_stored_once(
    make_site: Factory,
) -> None:
    """Committed, never acknowledged: the repeat at the other process gets the first one's place."""
    site = make_site(servers=("daphne", "daphne"))
    async with Proxy(site.servers[0].port) as line:
        route = [f"ws://127.0.0.1:{line.port}/ws", site.servers[1].ws]
        async with Chatter("client", route, ["general"]) as chatter:
            await chatter.say("general", "first")
            line.mute()
            asks = asyncio.create_task(chatter.say("general", "second"))
            await eventually(lambda: site.database.last_seq("general") == 2)
            assert not asks.done()
            site.servers[0].kill()
            assert (await asyncio.wait_for(asks, 30))["seq"] == 2
            assert (await chatter.say("general", "third"))["seq"] == 3
            await all_caught_up([chatter], site.database)
            compare([chatter], site.database)
            assert chatter.refills == 0


async def test_the_ghosts_of_a_killed_server_leave_within_45_seconds(make_site: Factory) -> None:
    """Peers see `left` for each, and the rows that the admin shows are gone."""
    site = make_site(servers=("daphne", "daphne"))
    victim, survivor = site.servers
    async with await Client.connect(survivor.ws) as watcher, AsyncExitStack() as stack:
        ghosts = [
            await stack.enter_async_context(await Client.connect(victim.ws)) for _ in range(3)
        ]
        welcomes = [await ghost.expect("welcome") for ghost in ghosts]
        await watcher.join("general")
        for ghost in ghosts:
            await ghost.join("general")
        names = {welcome["user_id"] for welcome in welcomes}
        assert {(await watcher.expect("joined"))["user_id"] for _ in names} == names
        await eventually(lambda: site.database.count("presence") == 4)
        async with asyncio.timeout(45):
            victim.kill()
            assert {(await watcher.expect("left", 45))["user_id"] for _ in names} == names
            await eventually(lambda: site.database.count("presence") == 1, 45)
            await eventually(lambda: site.database.count("connection") == 1, 45)
        assert (await watcher.join("general"))["count"] == 1


def _route(urls: list[str], number: int) -> list[str]:
    """Every other client starts on the victim and knows where to go then."""
    return urls if number % 2 == 0 else urls[1:]


async def _talk(chatter: Chatter) -> None:
    for turn in range(MESSAGES // 2):
        await asyncio.gather(
            *(chatter.say(room, f"{chatter.name} {turn}") for room in chatter.known)
        )
