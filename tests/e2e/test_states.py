"""The browser client's states: of the connection, of a room and of a waiting message."""

from typing import Any

from playwright.async_api import Page

from tests.e2e.scripted import Frame, Script, Socket, message


async def test_a_client_that_its_listener_closes_stays_closed(page: Page) -> None:
    """The listener is called while the welcome is being handled."""
    script = await Script.start(page)
    await script.run("client.on('welcome', () => client.close()); client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    await socket.gone()
    assert await script.run("client.state") == "closed"
    assert await script.heard("state") == ["connecting", "closed"]


async def test_a_room_that_its_listener_leaves_stays_left(page: Page) -> None:
    """Also where a gap was to be repaired."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.enter(socket, 10)
    await script.run("void client.on('message', ({ room }) => client.leave(room))")
    socket.send({"type": "message", "room": "general", **message(15), "from": 15})
    command = await socket.expect("history")
    socket.send(
        {
            "type": "history",
            "room": "general",
            "ref": command["ref"],
            "messages": [message(11)],
            "epoch": "e",
            "has_more": True,
            "through": 11,
        }
    )
    await socket.expect("leave")
    assert await script.run("client.rooms.get('general').joined") is False
    assert await script.run("client.rooms.get('general').state") == "left"
    await script.passes(5)
    assert socket.types().count("history") == 1


def refusal(command: Frame, **fields: Any) -> Frame:
    error = {"type": "error", "code": "rate_limited", "message": "", "retryable": True}
    return error | {"ref": command["ref"]} | fields


async def held(page: Page) -> tuple[Script, Socket]:
    """Return a client with two messages, of which the first is refused for 60 s."""
    script = await Script.start(page, user="1")
    socket = await script.connect()
    await script.enter(socket)
    await script.send("first")
    command = await socket.expect("message")
    socket.send(refusal(command, retry_after=60))
    await script.until("heard.some(([type]) => type === 'held')")
    await script.send("second")
    return script, socket


def acknowledge(socket: Socket, command: Frame) -> None:
    socket.send({"type": "ack", "ref": command["ref"], "seq": 1, "id": 1})


async def test_a_held_message_is_sent_again_before_the_next_one(page: Page) -> None:
    script, socket = await held(page)
    for _ in range(6):
        await script.passes(9)
        socket.send({"type": "pong"})
    assert socket.types().count("message") == 1
    await script.passes(7)
    for content in ("first", "second"):
        command = await socket.expect("message")
        assert command["content"] == content
        acknowledge(socket, command)
    await script.until("settled.length === 2")


async def test_a_held_message_is_sent_at_once_on_the_next_connection(page: Page) -> None:
    """The limit was one of the connection, or the server refuses again."""
    script, socket = await held(page)
    await socket.close()
    await script.state("waiting")
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    socket.joined(await socket.expect("join"), recovered=True)
    for content in ("first", "second"):
        command = await socket.expect("message")
        assert command["content"] == content
        acknowledge(socket, command)
    await script.until("settled.length === 2")
