"""The browser client in a browser. All rules that need none are tested in `clients/js/test/`."""

from playwright.async_api import Page

from tests.e2e.scripted import Script, message


async def test_a_token_goes_into_a_header_of_the_handshake(page: Page) -> None:
    """Proxies log addresses; a token that was not given is not sent."""
    script = await Script.start(page, token="a(b)/c")
    await script.run("client.connect()")
    socket = await script.socket()
    assert await script.run("offered") == [["realtime.v1.ndjson", "realtime.token.a%28b%29%2Fc"]]
    assert "token" not in socket.url
    script = await Script.start(page, token=None)
    await script.run("client.connect()")
    await script.socket()
    assert await script.run("offered") == [["realtime.v1.ndjson"]]


async def test_a_room_in_a_browser(page: Page) -> None:
    """Join, send, a lost connection, and the resume from the position."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.enter(socket, 1, messages=[message(1)])
    await script.send("hi")
    command = await socket.expect("message")
    await socket.close()
    await script.state("waiting")
    await script.run("client.connect()")
    socket = await script.socket()
    socket.welcome("1")
    join = await socket.expect("join")
    assert join["since"] == {"seq": 1, "epoch": "e"}
    socket.joined(join, 2, recovered=True, messages=[message(2)])
    again = await socket.expect("message")
    assert again["nonce"] == command["nonce"]
    socket.send({"type": "ack", "ref": again["ref"], "seq": 3, "id": 3, "nonce": again["nonce"]})
    await script.until("settled.length === 1")
    assert await script.heard("message") == ["m1", "m2"]
    assert await script.run("client.room('general').messages.length") == 2
    await script.run("client.close()")
    await socket.gone()


async def test_a_handler_that_throws_is_reported_and_stops_no_other(page: Page) -> None:
    script = await Script.start(page)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(error.message))
    socket = await script.connect()
    await script.enter(socket)
    await script.run("void client.on('message', () => { throw new Error('mine'); })")
    await script.run("void client.on('message', ({ message }) => settled.push(message.seq))")
    socket.send(*({"type": "message", "room": "general", **message(seq)} for seq in (1, 2)))
    await script.until("settled.length === 2")
    assert errors == ["mine", "mine"]
    assert await script.run("client.state") == "open"


async def test_a_page_that_is_put_away_goes_on(page: Page) -> None:
    """The browser tells so by `pagehide`; an open socket would keep it from restoring the page."""
    script = await Script.start(page)
    socket = await script.connect()
    await script.enter(socket, 1, messages=[message(1)])
    await script.run("void dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await socket.gone()
    await script.state("suspended")
    await script.run("void dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    socket = await script.socket()
    socket.welcome("1")
    assert (await socket.expect("join"))["since"] == {"seq": 1, "epoch": "e"}
