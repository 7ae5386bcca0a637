"""A database that fails over may lose what it has acknowledged: the client sends it again."""

import pytest
from playwright.async_api import Page

from tests.e2e.scripted import Frame, Script, Socket

SILENCE = 10


async def acknowledged(page: Page, *contents: str) -> tuple[Script, Socket, list[Frame]]:
    """Return a client in a room whose messages got their acks, and the commands that sent them."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.enter(socket)
    sent = []
    for content in contents:
        await script.send(content)
        sent.append(await acknowledge(socket, len(sent) + 1))
        await script.until(f"settled.length === {len(sent)}")
    return script, socket, sent


async def acknowledge(socket: Socket, seq: int) -> Frame:
    command = await socket.expect("message")
    fields = {"room": "general", "nonce": command["nonce"], "ref": command["ref"]}
    socket.send({"type": "ack", "seq": seq, "id": seq, "created_at": "", **fields})
    return command


async def restart(socket: Socket, epoch: str) -> None:
    """Let the room go on with another log, of which nobody has heard yet."""
    socket.send({"type": "resync", "room": "general", "seq": 0, "epoch": epoch})
    socket.joined(await socket.expect("join"), epoch=epoch)


def same(one: Frame, other: Frame) -> bool:
    names = ("room", "content", "nonce")
    return [one[name] for name in names] == [other[name] for name in names]


async def pass_slowly(script: Script, socket: Socket, seconds: int) -> None:
    """Let time pass on a line that is not silent."""
    for _ in range(seconds // SILENCE):
        await script.passes(SILENCE)
        errors = len(await script.heard("error"))
        socket.send({"type": "error", "code": "internal"})
        await script.until(f"heard.filter(([type]) => type === 'error').length > {errors}")


async def is_silent(script: Script, socket: Socket) -> bool:
    """Return whether the client sends nothing but a ping."""
    count = socket.types().count("message")
    await script.run("void client.request({ type: 'presence', room: 'general' })")
    await socket.expect("presence")
    return socket.types().count("message") == count


async def test_a_resync_repeats_what_was_acknowledged_in_order(page: Page) -> None:
    """With the same nonces, and before what is sent afterwards; the page hears of it once."""
    script, socket, sent = await acknowledged(page, "one", "two")
    await restart(socket, "f")
    await script.until("client.rooms.get('general').epoch === 'f'")
    await script.send("three")
    for seq, before in enumerate(sent, 1):
        assert same(await acknowledge(socket, seq), before)
    assert (await acknowledge(socket, 3))["content"] == "three"
    await script.until("settled.length === 3")
    assert await script.run("settled") == [["one", "ok"], ["two", "ok"], ["three", "ok"]]


async def test_a_join_with_another_epoch_repeats_too(page: Page) -> None:
    script, socket, [sent] = await acknowledged(page, "one")
    await socket.close()
    await script.state("waiting")
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    socket.joined(await socket.expect("join"), epoch="f")
    assert same(await socket.expect("message"), sent)


@pytest.mark.parametrize("more", [{"recovered": True}, {"through": 3}])
async def test_a_join_with_the_same_epoch_repeats_nothing(page: Page, more: Frame) -> None:
    script, socket, _ = await acknowledged(page, "one")
    await socket.close()
    await script.state("waiting")
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    socket.joined(await socket.expect("join"), **more)
    await script.until("client.rooms.get('general').joined")
    assert await is_silent(script, socket)


async def test_a_message_of_an_earlier_minute_is_not_repeated(page: Page) -> None:
    script, socket, _ = await acknowledged(page, "one")
    await pass_slowly(script, socket, 30)
    await script.send("two")
    second = await acknowledge(socket, 2)
    await script.until("settled.length === 2")
    await pass_slowly(script, socket, 40)
    await restart(socket, "f")
    assert same(await socket.expect("message"), second)


async def test_a_room_that_was_left_repeats_nothing(page: Page) -> None:
    """A room of the same name may be another one by now."""
    script, socket, _ = await acknowledged(page, "one")
    await script.run("client.leave('general')")
    await script.run("void client.join('general')")
    socket.joined(await socket.expect("join"), epoch="f")
    await script.until("client.rooms.get('general').joined")
    assert await is_silent(script, socket)


async def test_a_refused_repetition_rejects_nothing(page: Page) -> None:
    """The promise of the message is kept as far as the page knows; others are sent."""
    script, socket, _ = await acknowledged(page, "one")
    await restart(socket, "f")
    command = await socket.expect("message")
    fields = {"code": "forbidden", "message": "no", "retryable": False}
    socket.send({"type": "error", "ref": command["ref"], **fields})
    await script.send("two")
    assert (await acknowledge(socket, 1))["content"] == "two"
    await script.until("settled.length === 2")
    assert await script.run("settled") == [["one", "ok"], ["two", "ok"]]
