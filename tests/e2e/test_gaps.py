"""A listener to `message` hears all that was missed, however much, in order and once."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

import realtime
from tests.e2e.scripted import Frame, Script, Socket, message

PAGE = 100
DOCUMENT = Path(realtime.__file__).parent.parent / "docs/client.md"
[SNIPPET] = re.findall(r'<script type="module">(.*?)</script>', DOCUMENT.read_text(), re.DOTALL)


class Log:
    """A room's log, of which a socket is answered as by the server."""

    def __init__(self, length: int) -> None:
        self.states = [message(seq) for seq in range(1, length + 1)]
        self.asked: list[Frame] = []

    @property
    def end(self) -> int:
        return len(self.states)

    def more(self, socket: Socket, number: int = 1) -> None:
        """Store new messages, and tell of them."""
        for _ in range(number):
            self.states.append(message(self.end + 1))
            socket.send({"type": "message", "room": "general", **self.states[-1]})

    def answer(self, socket: Socket, command: Frame) -> None:
        self.asked.append(command)
        start = command["after"]
        page = self.states[start : start + PAGE]
        reply: Frame = {"type": "history", "room": "general", "ref": command["ref"]}
        through = page[-1]["seq"] if page else start
        reply |= {"messages": page, "epoch": "e", "has_more": through < self.end}
        socket.send(reply | {"through": through})


async def missed(page: Page, number: int, **options: Any) -> tuple[Script, Socket, Log, Frame]:
    """Return a client that had ten messages, and comes back after `number` more."""
    script = await Script.start(page, **options)
    socket = await script.connect()
    log = Log(10)
    await script.enter(socket, 10, messages=log.states)
    await socket.close()
    await script.state("waiting")
    log = Log(10 + number)
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    return script, socket, log, await socket.expect("join")


@pytest.mark.parametrize("number", [501, 1200, 3000])
async def test_all_that_was_missed_is_told_in_order_and_once(page: Page, number: int) -> None:
    """While new messages arrive between the pages; memory stays bounded."""
    script, socket, log, join = await missed(page, number)
    socket.joined(join, log.end, messages=log.states[-50:], has_more=True)
    await script.until("client.rooms.get('general').joined")
    while True:
        try:
            async with asyncio.timeout(3):
                command = await socket.expect("history")
        except TimeoutError:
            break
        log.more(socket, 3)
        log.answer(socket, command)
        log.more(socket, 2)
    log.more(socket)
    await script.until(f"heard.at(-1)[1] === 'm{log.end}'")
    assert await script.heard("message") == [f"m{seq}" for seq in range(11, log.end + 1)]
    assert await script.heard("reset") == []
    assert await script.run("client.rooms.get('general').messages.size") <= 2500
    live = "heard.filter(([type, , { live }]) => type === 'message' && !live).length"
    assert await script.run(live) == number


async def test_a_gap_survives_another_lost_line(page: Page) -> None:
    """It goes on from the page that came last."""
    script, socket, log, join = await missed(page, 1200)
    socket.joined(join, log.end)
    for _ in range(3):
        log.answer(socket, await socket.expect("history"))
    await script.until("heard.at(-1)[1] === 'm310'")
    await socket.close()
    await script.state("waiting")
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    join = await socket.expect("join")
    assert join["since"]["seq"] == 310
    socket.joined(join, log.end)
    for _ in range(9):
        log.answer(socket, await socket.expect("history"))
    await script.until(f"heard.at(-1)[1] === 'm{log.end}'")
    assert await script.heard("message") == [f"m{seq}" for seq in range(11, log.end + 1)]


async def test_a_refused_page_is_asked_for_again(page: Page) -> None:
    """Without joining again: the allowance for joins is small."""
    script, socket, log, join = await missed(page, 600)
    socket.joined(join, log.end)
    command = await socket.expect("history")
    error = {"type": "error", "code": "rate_limited", "message": "", "retryable": True}
    socket.send(error | {"retry_after": 2, "ref": command["ref"]})
    await script.run("1")
    await script.passes(3)
    again = await socket.expect("history")
    assert again["after"] == command["after"]
    assert socket.types().count("join") == 1


async def test_what_cannot_be_filled_is_told(page: Page) -> None:
    """The history was purged: `reset`, and the newest messages."""
    script, socket, log, join = await missed(page, 600)
    socket.joined(join, log.end)
    command = await socket.expect("history")
    ref = {"ref": command["ref"]}
    socket.send({"type": "resync", "room": "general", "seq": log.end, "epoch": "e", **ref})
    join = await socket.expect("join")
    assert "since" not in join
    socket.joined(join, log.end, messages=log.states[-50:], has_more=True)
    await script.until("heard.at(-1)[0] === 'reset'")
    assert await script.run("client.rooms.get('general').list().length") == 50


async def test_a_page_that_was_purged_rejects_its_request(page: Page) -> None:
    """The room is joined anew."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.enter(socket, 10)
    asked = """client.request({ type: "history", room: "general", after: 1 })
      .then(() => "settled", ({ code }) => code)"""
    asking = asyncio.create_task(script.run(asked))
    ref = (await socket.expect("history"))["ref"]
    socket.send({"type": "resync", "room": "general", "seq": 10, "epoch": "e", "ref": ref})
    assert await asking == "resync"
    assert "since" not in await socket.expect("join")


@pytest.mark.parametrize("epoch", ["e", "other"])
async def test_a_page_may_ask_for_the_newest_only(page: Page, epoch: str) -> None:
    """It is told how many it has missed, where that is known."""
    script, socket, log, join = await missed(page, 600, catchUp="newest")
    socket.joined(join, log.end, messages=log.states[-50:], has_more=True, epoch=epoch)
    await script.until("heard.at(-1)[0] === 'reset'")
    assert await script.run("heard.at(-1)[2].missed") == (600 if epoch == "e" else None)
    assert "history" not in socket.types()


async def test_the_example_of_the_document_shows_the_history_and_what_follows(page: Page) -> None:
    """Each message once, also those that were missed."""
    script = await Script.start(page)
    example = SNIPPET.replace("{% static 'realtime/client.js' %}", "/static/realtime/client.js")
    lines: list[str] = []
    page.on("console", lambda line: lines.append(line.text.split()[0]))
    await page.add_script_tag(content=example, type="module")
    log = Log(10)
    socket = await script.socket()
    socket.welcome("guest:a")
    ref = (await socket.expect("auth"))["ref"]
    told = {"user_id": "guest:a", "username": "Ada", "guest_token": "t"}
    socket.send({"type": "authenticated", "ref": ref} | told)
    socket.joined(await socket.expect("join"), 10, messages=log.states)
    assert (await socket.expect("message"))["content"] == "hello"
    log.more(socket)
    await socket.close()
    await script.passes(2)
    socket = await script.socket()
    socket.welcome("guest:a")
    socket.joined(await socket.expect("join"), 12, recovered=True, messages=[message(12)])
    async with asyncio.timeout(20):
        while len(lines) < 12:
            await asyncio.sleep(0.02)
    assert lines == [str(seq) for seq in range(1, 13)]
