"""F8: much is said while the process of those who listen does nothing at all."""

import asyncio

from harness.client.consistency import NOTHING_BROKEN, reckon
from harness.client.encoding import ENCODINGS
from tests.faults.fault import Figures, Ground, fault
from tests.faults.traffic import TWO, ends, inside, settle, total


@fault(
    "F8",
    "5,000 messages while the listeners' process is stalled (SIGSTOP) for 4 s; both layers, and one"
    " that loses a third",
    must={**NOTHING_BROKEN, "sockets closed": 0, "not in the speaker's order": 0},
    in_topics=True,
)
async def stalled(ground: Ground) -> Figures:
    """Everything arrives, in order, in every encoding."""
    layers = ground.size(["lossy"], ["pubsub", "core", "lossy"])
    return total([await _stall(ground, layer) for layer in layers])


async def _stall(ground: Ground, layer: str) -> Figures:
    number, seconds = ground.size((1000, 2), (5000, 4))
    site = ground.make_site(servers=TWO, layer=layer)
    here, there = site.urls
    speaker = site.client("speaker", [here], ["general"], "msgpack")
    listeners = [
        site.client(f"listener {encoding}", [there], ["general"], encoding)
        for encoding in ENCODINGS
    ]
    async with inside([speaker, *listeners]) as chatters:
        site.servers[1].pause()
        said = [speaker.say("general", str(turn)) for turn in range(number)]
        await asyncio.gather(asyncio.sleep(seconds), *said)
        site.servers[1].resume()
        await settle(chatters, site.database)
    told = [chatter.contents("general") for chatter in chatters]
    if len(speaker.delayed) > number / 10:
        raise RuntimeError(f"{len(speaker.delayed)} messages were refused at first")
    expected = [str(turn) for turn in range(number) if str(turn) not in speaker.delayed]
    return {
        **reckon(chatters, site.database),
        "sockets closed": ends(chatters),
        "not in the speaker's order": sum(
            [content for content in one if content not in speaker.delayed] != expected
            for one in told
        ),
        "sent again after an error": len(speaker.delayed),
        "messages": number,
    }
