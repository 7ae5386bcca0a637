"""A room is entered on each line until it is left, refused, or its only caller is cancelled."""

import asyncio

import pytest

from harness.waiting import eventually
from realtime.client import RealtimeError
from tests.client.scripted import Script, message, state
from tests.client.talking import entered, opened, returned, shown


async def test_a_loop_ends_when_the_room_is_left(script: Script) -> None:
    """After the events that it has not handled; joined again, it goes on."""
    client, room, socket = await entered(script, 3)
    await socket.send(message(4))
    await eventually(lambda: room.position == 4)
    room.leave()
    await socket.expect("leave")
    assert await shown(room, 9) == [4]
    joining = asyncio.create_task(room.join())
    command = await socket.expect("join")
    assert command["since"] == {"seq": 4, "epoch": "e"}
    await socket.joined(command, 5, recovered=True, messages=[state(5)])
    await joining
    assert await shown(room, 1) == [5]
    await client.close()


async def test_a_loop_raises_when_the_server_removes_the_client(script: Script) -> None:
    client, room, socket = await entered(script, 3)
    removed = {"type": "removed", "room": "general", "code": "permission_denied", "message": "Out."}
    await socket.send(message(4), removed)
    assert await shown(room, 1) == [4]
    with pytest.raises(RealtimeError, match="Out"):
        await shown(room, 1)
    assert (room.state, room.error and room.error.code) == ("refused", "permission_denied")
    with pytest.raises(RealtimeError, match="Join the room"):
        await room.send("no")
    await client.close()


async def test_a_refused_join_raises_and_one_that_may_succeed_is_repeated(script: Script) -> None:
    client, socket = await opened(script)
    joining = asyncio.create_task(client.room("general").join())
    command = await socket.expect("join")
    await socket.error(command, "rate_limited", retryable=True, retry_after=0.01)
    await socket.error(await socket.expect("join"), "unknown_room")
    with pytest.raises(RealtimeError) as raised:
        await joining
    assert raised.value.code == "unknown_room"
    await client.close()


async def test_a_cancelled_join_leaves(script: Script) -> None:
    """Also if the server has let the client in by then."""
    client, socket = await opened(script)
    joining = asyncio.create_task(client.room("general").join())
    command = await socket.expect("join")
    joining.cancel()
    await asyncio.wait({joining})
    await socket.joined(command)
    assert (await socket.expect("leave"))["room"] == "general"
    assert client.room("general").state == "idle"
    await client.close()


async def test_a_cancelled_join_of_one_caller_leaves_the_others_there(script: Script) -> None:
    """Also those who have been in the room for long."""
    client, socket = await opened(script)
    room = client.room("general")
    first, second = (asyncio.create_task(room.join()) for _ in range(2))
    command = await socket.expect("join")
    first.cancel()
    await asyncio.wait({first})
    await socket.joined(command)
    assert await second is room
    socket = await returned(client, script, socket)
    third = asyncio.create_task(room.join())
    command = await socket.expect("join")
    third.cancel()
    await asyncio.wait({third})
    await socket.joined(command, 1, recovered=True, messages=[state(1)])
    assert await shown(room, 1) == [1]
    await client.close()


async def test_a_room_that_the_server_cannot_keep_is_joined_again(script: Script) -> None:
    """After the time that it gives; the loop goes on, and a message waits."""
    client, room, socket = await entered(script, 3)
    removed = {"type": "removed", "room": "general", "code": "unavailable", "message": "Wait."}
    await socket.send({**removed, "retry_after": 0.01})
    command = await socket.expect("join")
    sending = asyncio.create_task(room.send("hi"))
    assert command["since"] == {"seq": 3, "epoch": "e"}
    await socket.joined(command, 4, recovered=True, messages=[state(4)])
    assert await shown(room, 1) == [4]
    await socket.ack(await socket.expect("message"), 5)
    await sending
    await client.close()


async def test_a_room_that_is_left_while_it_is_joined_again_is_left(script: Script) -> None:
    """The server has kept the client there, although it refuses the join."""
    client, room, socket = await entered(script, 3)
    await socket.send(message(7))
    command = await socket.expect("join")
    room.leave()
    await socket.error(command, "rate_limited", retryable=True, retry_after=1)
    await socket.expect("leave")
    await client.close()
