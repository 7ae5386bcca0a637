"""Steps that the tests of the client share."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.waiting import eventually
from realtime.client import Changed, Client, MessageEvent, Reset, Room, Topic
from tests.client.scripted import Script, Socket

__all__ = ["entered", "lost", "opened", "returned", "shown", "subscribed"]


async def opened(
    script: Script,
    user_id: str = "1",
    limits: Mapping[str, int] = MappingProxyType({}),
    **options: Any,
) -> tuple[Client, Socket]:
    """Return a client that has got its `welcome`, and its socket."""
    client = Client(script.url, **options)
    entering = asyncio.create_task(client.__aenter__())
    socket = await script.welcomed(user_id, limits=dict(limits))
    await entering
    return client, socket


async def entered(script: Script, through: int = 0, **options: Any) -> tuple[Client, Room, Socket]:
    """Return a client in the room `general`."""
    client, socket = await opened(script, **options)
    joining = asyncio.create_task(client.room("general").join())
    await socket.joined(await socket.expect("join"), through)
    return client, await joining, socket


async def subscribed(script: Script, **reply: Any) -> tuple[Client, Topic, Socket]:
    """Return a client that is subscribed to `order/7`."""
    client, socket = await opened(script)
    subscribing = asyncio.create_task(client.topic("order/7").subscribe())
    await socket.subscribed(await socket.expect("subscribe"), **reply)
    return client, await subscribing, socket


async def lost(client: Client, socket: Socket, code: int = 1011) -> None:
    """Cut the line, and wait until the client knows."""
    await socket.close(code)
    await socket.gone()
    await eventually(lambda: client.state in ("waiting", "closed"))


async def returned(client: Client, script: Script, socket: Socket, user_id: str = "1") -> Socket:
    """Return the socket after the line was cut."""
    await lost(client, socket)
    client.reconnect_now()
    return await script.welcomed(user_id)


async def shown(room: Room, number: int) -> list[object]:
    """The next events: positions of messages, changes as negative numbers, and resets."""
    found: list[object] = []
    async with asyncio.timeout(20):
        async for event in room:
            match event:
                case MessageEvent():
                    found.append(event.seq)
                case Changed():
                    found.append(-event.seq)
                case Reset():
                    found.append(("reset", event.missed))
            if len(found) == number:
                return found
    return found
