"""What a loop over a room gets while messages are changed under it."""

import asyncio
from typing import Any

from realtime.client import Changed, MessageEvent, Room
from tests.client.scripted import Frame, Script, state
from tests.client.talking import entered, returned


def page(command: Frame, states: list[Frame], through: int, *, has_more: bool) -> Frame:
    """The reply to a `history` with `after`."""
    about = {"type": "history", "room": "general", "ref": command["ref"], "epoch": "e"}
    return {**about, "has_more": has_more, "messages": states, "through": through}


async def shown(room: Room, number: int) -> list[tuple[str, int, Any]]:
    found: list[tuple[str, int, Any]] = []
    async with asyncio.timeout(20):
        async for event in room:
            match event:
                case MessageEvent():
                    found.append(("message", event.seq, event.content))
                case Changed():
                    found.append(("changed", event.message.seq, event.message.content))
            if len(found) == number:
                break
    return found


async def test_a_message_that_is_changed_between_two_pages_comes_first_as_a_message(
    script: Script,
) -> None:
    """Message 2 moves to position 6 before the first page is read; 1 moves to 5 after that."""
    client, room, socket = await entered(script)
    later = await returned(client, script, socket)
    await later.joined(await later.expect("join"), through=6)
    loop = asyncio.create_task(shown(room, 5))
    first, command = [state(1), state(3)], await later.expect("history")
    assert command["after"] == 0
    await later.send(page(command, first, 3, has_more=True))
    edited = [state(1, changed_seq=5, content="new 1"), state(2, changed_seq=6, content="new 2")]
    command = await later.expect("history")
    assert command["after"] == 3
    await later.send(page(command, [state(4), *edited], 6, has_more=False))
    assert await loop == [
        ("message", 1, "m1"),
        ("message", 3, "m3"),
        ("message", 4, "m4"),
        ("changed", 1, "new 1"),
        ("message", 2, "new 2"),
    ]
    await client.close()


async def test_a_change_of_a_message_from_before_is_a_change(script: Script) -> None:
    client, room, socket = await entered(script, through=4)
    later = await returned(client, script, socket)
    await later.joined(await later.expect("join"), through=5)
    loop = asyncio.create_task(shown(room, 1))
    command = await later.expect("history")
    changed = state(2, changed_seq=5, content="new 2")
    await later.send(page(command, [changed], 5, has_more=False))
    assert await loop == [("changed", 2, "new 2")]
    await client.close()
