"""The client's end of one request, without a server."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.test import Client

from harness.client.encoding import Object

__all__ = ["Exchange", "session_of"]

PATIENCE = 15.0


class Exchange:
    """One request and its response."""

    def __init__(self, application: Any, query: str = "", path: str = "/realtime/http") -> None:
        self._application = application
        self._query = query
        self._path = path
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.chunks = 0
        self.is_complete = False

    def start(
        self,
        *commands: Object | str | bytes,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        **scope: Any,
    ) -> "Exchange":
        """Send the request with these commands, one a line."""
        body = b"\n".join(map(_line, commands))
        given = {"host": "testserver", "content-type": "application/x-ndjson", **(headers or {})}
        made = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": self._query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin1")) for name, value in given.items()],
            "client": ["192.0.2.1", 50000],
            "server": ["testserver", 80],
        }
        self._events.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self._task = asyncio.create_task(
            self._application({**made, **scope}, self._events.get, self._send)
        )
        return self

    async def ended(self) -> list[Object]:
        """Return all frames, once the response is complete and the application has ended."""
        await self.ended_raw()
        return self.frames

    async def ended_raw(self) -> None:
        """Wait until the application has ended."""
        assert self._task is not None
        async with asyncio.timeout(PATIENCE):
            await self._task

    async def until_text(self, text: str) -> None:
        """Wait until the body has this text."""
        async with asyncio.timeout(PATIENCE):
            while text not in self.body.decode():
                self._changed.clear()
                await self._changed.wait()

    async def commands(self, *commands: Object | str | bytes, **more: Any) -> list[Object]:
        """Send commands, and return the frames of a response that was accepted."""
        frames = await self.start(*commands, **more).ended()
        assert self.status == HTTPStatus.OK, (self.status, self.body)
        return frames

    async def refused(self, *commands: Object | str | bytes, **more: Any) -> tuple[int, str]:
        """Send commands that are refused as a whole; return the status and the code."""
        [frame] = await self.start(*commands, **more).ended()
        assert self.status is not None
        return self.status, frame["code"]

    async def until(self, kind: str, **fields: Any) -> Object:
        """Return the first frame of this type with these fields, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for frame in self.frames:
                    if frame.get("type") == kind and fields.items() <= frame.items():
                        return frame
                self._changed.clear()
                await self._changed.wait()

    def leave(self) -> None:
        """Close the connection from the client's side."""
        self._events.put_nowait({"type": "http.disconnect"})

    @property
    def frames(self) -> list[Object]:
        """All objects that have come by now."""
        text = self.body.decode()
        if self.headers.get("content-type") != "text/event-stream":
            return [json.loads(line) for line in text.split("\n") if line]
        lines = text.split("\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line[:1] == "d"]

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert self.status is None
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert self.status is not None
            assert not self.is_complete
            self.body += message.get("body", b"")
            self.chunks += 1
            self.is_complete = not message.get("more_body", False)
        self._changed.set()


def _line(command: Object | str | bytes) -> bytes:
    if isinstance(command, bytes):
        return command
    return (command if isinstance(command, str) else json.dumps(command)).encode()


@sync_to_async
def session_of(user: Any) -> str:
    """Return the key of a new session of a user."""
    client = Client()
    client.force_login(user)
    return str(client.session.session_key)
