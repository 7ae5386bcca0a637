"""A real browser with `client.js`, and a server whose every frame is written by the test."""

import asyncio
import json
import mimetypes
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Route, WebSocketRoute

import realtime
from tests.inbox import SECONDS, Frame, Inbox

STATIC = Path(realtime.__file__).parent / "static"
ADDRESS = "http://localhost"
NOTE = """(client) => {
  for (const type of ["state", "message", "changed", "room", "refused", "reset", "error"])
    client.on(type, (detail) => window.heard.push([type, detail.state ?? detail.error?.code ??
      detail.message?.content ?? detail.room, detail]));
}"""
MAKE = f"""async (options) => {{
  const {{ RealtimeClient }} = await import("/static/realtime/client.js");
  Object.assign(window, {{ heard: [], settled: [], offered: [] }});
  window.WebSocket = class extends WebSocket {{
    constructor(address, protocols) {{
      super(address, protocols);
      window.offered.push(protocols);
    }}
  }};
  window.client = new RealtimeClient(options);
  ({NOTE})(window.client);
}}"""


class Socket(Inbox):
    """One WebSocket that the page has opened, seen from its server."""

    def __init__(self, route: WebSocketRoute) -> None:
        super().__init__()
        self.url = route.url
        self.is_closed = False
        self._route = route
        route.on_message(self.take)
        route.on_close(lambda code, reason: self._closed())

    def send(self, *frames: Frame) -> None:
        """Send what stands in one WebSocket message."""
        self._route.send("\n".join(json.dumps(frame) for frame in frames))

    def welcome(self, user_id: str = "1", **more: Any) -> None:
        fields = {"connection": "c", "user_id": user_id, "username": user_id, "heartbeat": 20}
        self.send({"type": "welcome", "protocol": 1, "limits": {}, **fields, **more})

    def joined(self, command: Frame, through: int = 0, **more: Any) -> None:
        """Answer a `join`."""
        state: Frame = {"messages": [], "has_more": False, "members": [], "count": 1, "rights": []}
        state |= {"epoch": "e", "recovered": False, "through": through}
        self.send(
            {"type": "joined", "room": command["room"], "ref": command["ref"], **state, **more}
        )

    async def close(self, code: int = 1001) -> None:
        await self._route.close(code=code)

    async def gone(self) -> None:
        """Wait until the page has closed it."""
        async with asyncio.timeout(SECONDS):
            while not self.is_closed:
                self._came.clear()
                await self._came.wait()

    def _closed(self) -> None:
        self.is_closed = True
        self._came.set()


class Script:
    """A page that has made a client in `window.client`, and the sockets that it opens."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._sockets: asyncio.Queue[Socket] = asyncio.Queue()

    @classmethod
    async def start(cls, page: Page, **options: Any) -> "Script":
        """Open a page with a client of these options, which has not connected yet."""
        script = cls(page)
        await page.route("**/*", _serve)
        await page.route_web_socket("**/ws/**", script._open)
        await page.goto(f"{ADDRESS}/")
        await page.evaluate(MAKE, options)
        return script

    async def run(self, code: str, *arguments: Any) -> Any:
        return await self.page.evaluate(code, *arguments)

    async def socket(self) -> Socket:
        """Return the next socket that the page opens."""
        async with asyncio.timeout(SECONDS):
            return await self._sockets.get()

    async def until(self, condition: str) -> None:
        """Wait for a condition in the page."""
        await self.page.wait_for_function(condition, timeout=SECONDS * 1000)

    async def state(self, state: str) -> None:
        await self.until(f"window.client.state === '{state}'")

    async def heard(self, kind: str) -> list[Any]:
        """Return the gists of the events of one type so far, in order."""
        found = await self.run("(kind) => heard.filter(([type]) => type === kind)", kind)
        return [gist for _, gist, _ in found]

    async def connect(self, user_id: str = "1", **more: Any) -> Socket:
        """Let the client connect, and welcome it."""
        await self.run("client.connect()")
        socket = await self.socket()
        socket.welcome(user_id, **more)
        await self.state("open")
        return socket

    async def enter(self, socket: Socket, through: int = 0, **more: Any) -> None:
        """Join the room `general`."""
        await self.run("void client.room('general').join()")
        socket.joined(await socket.expect("join"), through, **more)
        await self.until("client.room('general').state === 'live'")

    async def send(self, content: str) -> None:
        """Send without waiting for the ack; what comes of it is in `window.settled`."""
        await self.run(
            """(content) => void client.room("general").send(content).then(
              () => settled.push([content, "ok"]), ({ code }) => settled.push([content, code]))""",
            content,
        )

    def _open(self, route: WebSocketRoute) -> None:
        self._sockets.put_nowait(Socket(route))


async def _serve(route: Route) -> None:
    path = route.request.url.removeprefix(ADDRESS).partition("?")[0]
    if path == "/":
        await route.fulfill(body="<!doctype html><title>client</title>", content_type="text/html")
        return
    file = STATIC / path.removeprefix("/static/")
    kind = mimetypes.guess_type(file.name)[0] or "text/plain"
    await route.fulfill(body=file.read_bytes(), content_type=kind)


def message(seq: int, *, id: int | None = None, user_id: str = "2") -> Frame:  # noqa: A002
    """The state of a message."""
    text = {"content": f"m{seq}", "created_at": "2026-01-01T00:00:00.000Z"}
    return {"seq": seq, "id": id or seq, "user_id": user_id, "username": user_id, **text}
