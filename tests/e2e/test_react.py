"""The first example of docs/react.md as a built page, in a browser."""

import asyncio
import json
import subprocess

import pytest
from playwright.async_api import Page, Route, WebSocketRoute, expect

from harness.javascript import PACKAGE, find_node
from tests.e2e.scripted import ADDRESS, Socket

CONFIG = json.dumps({"url": "/ws/", "user": "1"})
PAGE = f"""<!doctype html><title>react</title><main></main>
<script id="realtime-config" type="application/json">{CONFIG}</script>
<script type="module" src="/example.js"></script>"""


@pytest.fixture(scope="module")
def example() -> str:
    """The page's script, with React in it."""
    command = [*find_node(), "fixtures/example.js"]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_example_joins_sends_and_shows_the_connection(page: Page, example: str) -> None:
    sockets: asyncio.Queue[Socket] = asyncio.Queue()
    errors: list[str] = []

    async def serve(route: Route) -> None:
        is_page = route.request.url == f"{ADDRESS}/"
        kind = "text/html" if is_page else "text/javascript"
        await route.fulfill(body=PAGE if is_page else example, content_type=kind)

    def opened(route: WebSocketRoute) -> None:
        sockets.put_nowait(Socket(route))

    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.route("**/*", serve)
    await page.route_web_socket("**/ws/**", opened)
    await page.goto(f"{ADDRESS}/")
    button = page.get_by_role("button", name="Say hello")
    await expect(button).to_be_disabled()
    socket = await sockets.get()
    socket.welcome("1")
    socket.joined(await socket.expect("join"))
    await button.click()
    message = await socket.expect("message")
    assert message["content"] == "hello"
    ack = {"room": "general", "seq": 1, "id": 1, "created_at": "2026-01-01T00:00:00.000Z"}
    socket.send({"type": "ack", "ref": message["ref"], "nonce": message["nonce"], **ack})
    await socket.close()
    await expect(button).to_be_disabled()
    socket = await sockets.get()
    socket.welcome("1")
    assert (await socket.expect("join"))["room"] == "general"
    await expect(button).to_be_enabled()
    assert errors == []
