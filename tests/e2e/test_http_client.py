"""The browser client in a network that blocks sockets: `http.js` of the package, in a real browser.

The long form takes nine minutes: REALTIME_TEST_CUTS=100 pytest tests/e2e/test_http_client.py
"""

import asyncio
import os

import pytest
from playwright.async_api import Browser

from harness.client.websocket import Client
from harness.site import UNLIMITED, Factory, Server
from tests.proxy import Appliance

CUTS = int(os.environ.get("REALTIME_TEST_CUTS", "2"))
"""How often the line is cut in mid-burst."""
BURST = 20
OPEN = """
async () => {
  const { RealtimeClient } = await import("/static/realtime/client.js");
  const { http } = await import("/static/realtime/http.js");
  window.told = [];
  window.transports = [];
  window.client = new RealtimeClient({ url: "/ws/", fallback: http() });
  client.on("state", ({ state, transport }) => state === "open" && transports.push(transport));
  window.room = client.room("general");
  room.on("message", ({ message }) => told.push(message.content));
  await room.join();
}
"""
SEND = """
async (name) => {
  const sent = Array.from({ length: 10 }, (_, number) => room.send(`${name} ${number}`));
  const acks = await Promise.all(sent);
  return acks.length;
}
"""


@pytest.fixture(scope="module")
def server(make_shared_site: Factory) -> Server:
    settings = {**UNLIMITED, "GUESTS": True}
    site = make_shared_site(
        database="sqlite", layer="memory", servers=("daphne",), settings=settings
    )
    return site.servers[0]


@pytest.mark.parametrize("seconds", [0, 0.2], ids=["blocked", "cut after the handshake"])
async def test_messages_come_once_and_in_order_where_sockets_are_blocked(
    server: Server, browser: Browser, seconds: float
) -> None:
    """Also while the line is cut in mid-burst; the page's own messages are stored once."""
    name = f"{seconds}"
    async with (
        Appliance(server.port, seconds) as line,
        await Client.connect(server.ws, origin=server.url) as sender,
    ):
        await sender.join("general")
        page = await (await browser.new_context()).new_page()
        await page.goto(f"http://127.0.0.1:{line.port}/")
        await page.evaluate(OPEN)
        await page.wait_for_function("() => transports.at(-1) === 'http'")
        for cut in range(CUTS):
            own = asyncio.ensure_future(page.evaluate(SEND, f"{name} own {cut}"))
            for number in range(BURST):
                await sender.say("general", f"{name} {cut} {number}")
                if number == BURST // 2:
                    line.cut()
                    line.restore()
            assert await own == 10
        await page.wait_for_function(f"() => told.includes('{name} {CUTS - 1} {BURST - 1}')")
        told = await page.evaluate(f"told.filter((text) => text.startsWith('{name} '))")
        theirs = [text for text in told if "own" not in text]
        own_told = [text for text in told if "own" in text]
        assert theirs == [f"{name} {cut} {n}" for cut in range(CUTS) for n in range(BURST)]
        assert own_told == [f"{name} own {cut} {n}" for cut in range(CUTS) for n in range(10)]
