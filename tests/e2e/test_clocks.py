"""The browser client measures by the monotonic clock, and ages by the server's."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page

from tests.e2e.scripted import Script, Socket

HOUR = 3600
DAY = 24 * HOUR
START = datetime(2026, 1, 1, tzinfo=UTC)


def moment(seconds: float = 0) -> str:
    """Return the server's time."""
    return (START + timedelta(seconds=seconds)).isoformat()


async def waiting(page: Page) -> Script:
    """Return a client that was in a room, and whose line is lost."""
    script = await Script.start(page, user="1")
    socket = await script.connect(server_time=moment())
    await script.enter(socket)
    await socket.close()
    await script.state("waiting")
    return script


async def back(script: Script, after: float) -> Socket:
    """Let the line come back, so many seconds later by the server's clock."""
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1", server_time=moment(after))
    socket.joined(await socket.expect("join"), recovered=True)
    return socket


@pytest.mark.parametrize("seconds", [0, -HOUR, HOUR, -400 * DAY, 400 * DAY])
async def test_a_dead_line_is_found_whatever_the_clock_is_set_to(
    page: Page, seconds: float
) -> None:
    """Within 30 s, and a line that lives is asked once more at most."""
    script = await Script.start(page)
    socket = await script.connect(server_time=moment())
    await script.passes(2)
    await script.set_clock(seconds)
    await script.passes(28)
    await script.until("client.state !== 'open'")
    assert 1 <= socket.types().count("ping") <= 2


@pytest.mark.parametrize("seconds", [-HOUR, HOUR, 400 * DAY])
async def test_a_clock_that_is_set_costs_one_ping(page: Page, seconds: float) -> None:
    script = await Script.start(page)
    socket = await script.connect(server_time=moment())
    await script.set_clock(seconds)
    await script.passes(6)
    await socket.expect("ping")
    socket.send({"type": "pong", "server_time": moment(6)})
    await script.until("heard.length >= 2")
    await script.passes(10)
    assert socket.types().count("ping") == 1
    assert await script.run("client.state") == "open"


@pytest.mark.parametrize("seconds", [-HOUR, 25 * HOUR, 400 * DAY])
async def test_a_waiting_message_outlives_a_clock_that_is_set(page: Page, seconds: float) -> None:
    """It is as old as the server's clock says."""
    script = await waiting(page)
    await script.send("hi")
    await script.set_clock(seconds)
    socket = await back(script, after=5)
    assert (await socket.expect("message"))["content"] == "hi"


async def test_a_clock_that_is_set_before_the_first_welcome_expires_nothing(page: Page) -> None:
    """Also where the message was written before the server's time was known."""
    script = await Script.start(page)
    await script.run("client.connect(); void client.join('general')")
    await script.send("hi")
    await script.set_clock(25 * HOUR)
    socket = await script.socket()
    socket.welcome("1", server_time=moment())
    socket.joined(await socket.expect("join"))
    assert (await socket.expect("message"))["content"] == "hi"


async def test_a_message_expires_that_has_waited_while_the_machine_slept(page: Page) -> None:
    """The monotonic clock stood still; the two others agree."""
    script = await waiting(page)
    await script.send("old")
    await script.set_clock(25 * HOUR)
    await back(script, after=25 * HOUR)
    await script.until("settled.length === 1")
    assert await script.run("settled") == [["old", "expired"]]


async def test_what_is_written_after_a_sleep_is_not_old(page: Page) -> None:
    """Though the server's time was last heard before it."""
    script = await waiting(page)
    await script.set_clock(3 * DAY)
    await script.send("new")
    socket = await back(script, after=3 * DAY)
    assert (await socket.expect("message"))["content"] == "new"


async def test_an_unanswered_message_is_repeated_after_the_clock_was_set_back(page: Page) -> None:
    script = await Script.start(page)
    socket = await script.connect(server_time=moment())
    await script.enter(socket)
    await script.send("hi")
    first = await socket.expect("message")
    await script.set_clock(-HOUR)
    for _ in range(4):
        await script.passes(5)
        socket.send({"type": "pong"})
    assert (await socket.expect("message"))["nonce"] == first["nonce"]


async def test_a_page_that_stood_still_asks_again_before_it_gives_up(page: Page) -> None:
    """Its alarm is late, and what the server has sent is read only after it."""
    script = await Script.start(page)
    socket = await script.connect(server_time=moment())
    await script.passes(23)
    await socket.expect("ping")
    await page.clock.fast_forward(600_000)  # timers fire once, late
    await socket.expect("ping")
    socket.send({"type": "pong"})
    await script.run("1")
    await script.passes(4)
    assert await script.run("client.state") == "open"


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
async def test_the_time_until_the_next_attempt_is_right_whatever_the_clock(
    page: Page, seconds: float
) -> None:
    script = await waiting(page)
    await script.set_clock(seconds)
    assert -1 < await script.run("(client.retryAt - Date.now()) / 1000") < 31
