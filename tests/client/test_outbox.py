"""Messages of the client: kept until their ack, one of a room at a time, none sent in vain."""

import asyncio
from typing import Any

import pytest

from harness.waiting import eventually
from realtime.client import Client, RealtimeError, Room
from realtime.client import outbox as outboxes
from tests.client.scripted import Script, ack, message
from tests.client.talking import entered, lost, opened, returned


def sent(room: Room, *contents: str) -> list[asyncio.Task[Any]]:
    """Begin to send messages."""
    return [asyncio.create_task(room.send(content)) for content in contents]


async def test_a_message_goes_again_with_its_nonce_after_a_lost_ack(script: Script) -> None:
    client, room, socket = await entered(script)
    [sending] = sent(room, "hi")
    first = await socket.expect("message")
    socket = await returned(client, script, socket)
    await socket.joined(await socket.expect("join"), 1, recovered=True)
    again = await socket.expect("message")
    assert again["nonce"] == first["nonce"]
    await socket.ack(again, 1)
    assert (await sending).seq == 1
    assert client.waiting == 0
    await client.close()


async def test_messages_of_a_room_go_one_by_one(script: Script) -> None:
    client, room, socket = await entered(script)
    sending = sent(room, "a", "b", "c")
    for seq, content in enumerate("abc", 1):
        command = await socket.expect("message")
        assert command["content"] == content
        assert socket.types().count("message") == seq
        await socket.ack(command, seq)
    assert [one.seq for one in await asyncio.gather(*sending)] == [1, 2, 3]
    await client.close()


async def test_a_refusal_fails_its_message_only(script: Script) -> None:
    client, room, socket = await entered(script)
    first, second = sent(room, "bad", "good")
    await socket.error(await socket.expect("message"), "too_large", path="content")
    with pytest.raises(RealtimeError) as raised:
        await first
    assert (raised.value.code, raised.value.path) == ("too_large", "content")
    assert raised.value.outcome == "refused"
    command = await socket.expect("message")
    assert command["content"] == "good"
    await socket.ack(command, 1)
    await second
    await client.close()


async def test_a_message_that_must_wait_is_not_overtaken(script: Script) -> None:
    """As in slow mode."""
    client, room, socket = await entered(script)
    first, second = sent(room, "a", "b")
    command = await socket.expect("message")
    await socket.error(command, "rate_limited", retryable=True, retry_after=0.05)
    again = await socket.expect("message")
    assert (again["content"], again["nonce"]) == ("a", command["nonce"])
    await socket.ack(again, 1)
    await socket.ack(await socket.expect("message"), 2)
    assert [one.seq for one in await asyncio.gather(first, second)] == [1, 2]
    await client.close()


async def test_a_server_that_knows_nothing_of_the_join_is_joined_again(script: Script) -> None:
    client, room, socket = await entered(script)
    [sending] = sent(room, "hi")
    await socket.error(await socket.expect("message"), "not_joined")
    await socket.joined(await socket.expect("join"), 0, recovered=True)
    await socket.ack(await socket.expect("message"), 1)
    await sending
    await client.close()


async def test_a_message_that_a_joined_room_refuses_again_and_again_fails(script: Script) -> None:
    client, room, socket = await entered(script)
    [sending] = sent(room, "hi")
    for _ in range(outboxes.MOST_JOINS):
        await socket.error(await socket.expect("message"), "not_joined")
        await socket.joined(await socket.expect("join"), 0, recovered=True)
    await socket.error(await socket.expect("message"), "not_joined")
    with pytest.raises(RealtimeError, match="not_joined"):
        await sending
    await client.close()


async def test_a_message_without_a_reply_goes_again(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "ACK_SECONDS", 0.0)
    client, room, socket = await entered(script)
    [sending] = sent(room, "hi")
    first = await socket.expect("message")
    client.tick()
    again = await socket.expect("message")
    assert again["nonce"] == first["nonce"]
    await socket.send(ack(first, 1), ack(again, 1))
    assert (await sending).seq == 1
    await client.close()


async def test_a_full_outbox_refuses(script: Script) -> None:
    client, room, _ = await entered(script, queue=3)
    sending = sent(room, "a", "b", "c")
    await eventually(lambda: client.waiting == 3)
    with pytest.raises(RealtimeError) as raised:
        await room.send("d")
    assert (raised.value.code, raised.value.outcome) == ("queue_full", "not_sent")
    await client.close()
    for one in sending:
        with pytest.raises(RealtimeError, match="closed"):
            await one


async def test_messages_take_a_megabyte_at_most(script: Script) -> None:
    client, room, _ = await entered(script)
    sending = sent(room, *("x" * 300_000 for _ in range(3)))
    await eventually(lambda: client.waiting == 3)
    with pytest.raises(RealtimeError, match="queue_full"):
        await room.send("x" * 300_000)
    await client.close()
    await asyncio.wait(sending)


async def test_a_cancelled_send_is_taken_back_unless_it_is_under_way(script: Script) -> None:
    client, room, socket = await entered(script)
    first, second, third = sent(room, "a", "b", "c")
    command = await socket.expect("message")
    first.cancel()
    second.cancel()
    await asyncio.wait({first, second})
    await socket.ack(command, 1)
    command = await socket.expect("message")
    assert command["content"] == "c"
    await socket.ack(command, 2)
    await third
    assert client.waiting == 0
    await client.close()


async def test_a_message_waits_for_a_room_that_is_being_joined(script: Script) -> None:
    client, socket = await opened(script)
    room = client.room("general")
    joining = asyncio.create_task(room.join())
    command = await socket.expect("join")
    [sending] = sent(room, "early")
    await socket.joined(command)
    await socket.ack(await socket.expect("message"), 1)
    await asyncio.gather(joining, sending)
    await client.close()


async def test_leaving_fails_what_waits(script: Script) -> None:
    client, room, socket = await entered(script)
    sending = sent(room, "a", "b")
    await socket.expect("message")
    room.leave()
    for one in sending:
        with pytest.raises(RealtimeError, match="left"):
            await one
    with pytest.raises(RealtimeError, match="Join the room general"):
        await room.send("c")
    await client.close()


async def test_old_messages_are_not_sent_any_more(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, room, socket = await entered(script)
    await lost(client, socket)
    [sending] = sent(room, "old")
    await eventually(lambda: client.waiting == 1)
    monkeypatch.setattr(outboxes, "DAY", -1.0)
    client.reconnect_now()
    socket = await script.welcomed()
    await socket.joined(await socket.expect("join"), 0, recovered=True)
    with pytest.raises(RealtimeError, match="expired"):
        await sending
    await client.close()


async def test_many_old_messages_expire_at_once(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are; one that was sent before may be stored."""
    client, room, socket = await entered(script)
    sending = sent(room, *map(str, range(450)))
    await socket.expect("message")
    await lost(client, socket)
    monkeypatch.setattr(outboxes, "DAY", -1.0)
    client.reconnect_now()
    socket = await script.welcomed()
    await socket.joined(await socket.expect("join"), 0, recovered=True)
    errors = await asyncio.gather(*sending, return_exceptions=True)
    assert {one.code for one in errors if isinstance(one, RealtimeError)} == {"expired"}
    outcomes = [one.outcome for one in errors if isinstance(one, RealtimeError)]
    assert outcomes == ["unknown", *["not_sent"] * 449]
    assert client.state == "open"
    await client.close()


async def test_a_second_ack_after_leaving_is_no_error(script: Script) -> None:
    """It answers a message that was sent again to a new log."""
    client, room, socket = await entered(script)
    [sending] = sent(room, "a")
    await socket.ack(await socket.expect("message"), 1)
    await sending
    await socket.send({"type": "resync", "room": "general", "seq": 9, "epoch": "f"})
    await socket.joined(await socket.expect("join"), 0, epoch="f")
    again = await socket.expect("message")
    room.leave()
    await socket.ack(again, 1)
    await socket.send({"type": "ping"})
    await socket.expect("pong")
    await client.close()


@pytest.mark.parametrize("content", ["\ud800", object()], ids=["surrogate", "object"])
async def test_what_cannot_be_encoded_raises_at_its_caller(script: Script, content: Any) -> None:
    """And nothing else is held up."""
    client, room, socket = await entered(script)
    with pytest.raises((TypeError, ValueError)):
        await room.send(content)
    with pytest.raises((TypeError, ValueError)):
        room.signal({"text": content})
    with pytest.raises((TypeError, ValueError)):
        await client.request({"type": "presence", "room": content})
    assert client.waiting == 0
    [sending] = sent(room, "good")
    await socket.ack(await socket.expect("message"), 1)
    assert (await sending).seq == 1
    await client.close()


async def test_what_no_frame_can_hold_fails_at_once(script: Script) -> None:
    """The server would refuse it without a `ref`; also one that waited for the room is told."""
    client, socket = await opened(script, limits={"frame_bytes": 500})
    room = client.room("general")
    joining = asyncio.create_task(room.join())
    command = await socket.expect("join")
    sending = sent(room, "x" * 500, "small")
    await eventually(lambda: client.waiting == 2)
    await socket.joined(command)
    with pytest.raises(RealtimeError) as raised:
        await sending[0]
    assert (raised.value.code, raised.value.outcome) == ("too_large", "not_sent")
    await socket.ack(await socket.expect("message"), 1)
    await asyncio.gather(joining, sending[1])
    with pytest.raises(RealtimeError, match="too_large"):
        room.signal({"text": "x" * 500})
    with pytest.raises(RealtimeError, match="too_large"):
        await client.request({"type": "create", "title": "x" * 500})
    await client.close()


async def test_typing_and_signals_are_dropped_while_there_is_no_line(script: Script) -> None:
    client, room, socket = await entered(script)
    room.typing()
    room.signal({"x": 1})
    await socket.expect("typing")
    assert (await socket.expect("signal"))["data"] == {"x": 1}
    await lost(client, socket)
    room.typing()
    client.reconnect_now()
    socket = await script.welcomed()
    await socket.joined(await socket.expect("join"), 0, recovered=True)
    await socket.send(message(1))
    await anext(aiter(room))
    assert "typing" not in socket.types()
    await client.close()


async def test_a_nonce_of_ones_own_is_used(script: Script) -> None:
    client, room, socket = await entered(script)
    sending = asyncio.create_task(room.send("hi", data={"lang": "en"}, nonce="mine"))
    command = await socket.expect("message")
    assert (command["nonce"], command["data"]) == ("mine", {"lang": "en"})
    await socket.ack(command, 1)
    await sending
    await client.close()


async def test_no_frame_is_larger_than_the_server_takes(script: Script) -> None:
    client, socket = await opened(script, limits={"frame_bytes": 1000})
    joining = asyncio.gather(*(client.room(f"r{number}").join() for number in range(40)))
    for _ in range(40):
        await socket.joined(await socket.expect("join"))
    await joining
    assert max(socket.sizes) <= 1000
    await client.close()


async def test_the_client_can_send_much_at_once(script: Script) -> None:
    """In frames of a size that any server takes."""
    client, socket = await opened(script)
    rooms = [client.room(f"r{number}") for number in range(250)]
    joining = asyncio.gather(*(room.join() for room in rooms))
    for _ in rooms:
        await socket.joined(await socket.expect("join"))
    await joining
    assert isinstance(client, Client)
    await client.close()
