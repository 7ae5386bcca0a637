"""A small client of rooms that only knows plain HTTP: an example for scripts and devices.

Positions and nonces are all that it has to remember. One request with events and one with commands
run at the same time.
"""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from urllib.parse import quote

from .http_request import post
from .line import Frame

__all__ = ["HttpClient", "Refused"]

PAUSE_SECONDS = 1.0
"""The wait before another attempt, if the server names none."""
OTHER_USER: Frame = {"code": "identity_changed", "reconnect": False}


class Refused(Exception):  # noqa: N818 - reads as what has happened
    """The server has refused something, or the line is lost."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame.get("code"))
        self.code = frame.get("code")
        self.is_final = frame.get("reconnect") is False
        self.pause: float = frame.get("retry_after") or PAUSE_SECONDS


class HttpClient:
    """One user, the rooms of that user, and the messages that have no ack yet.

    `tell` gets what happens, as a driver writes it. `next_token` is called for each line.
    """

    def __init__(
        self, url: str, tell: Callable[..., None], next_token: Callable[[], Any], *, polls: bool
    ) -> None:
        self._url = url
        self._tell = tell
        self._next_token = next_token
        self._events = "wait=25" if polls else "stream"
        self._token: str | None = None
        self._user: str | None = None
        """The only user that this client may be: that of its first line."""
        self._is_greeted = False
        """Whether this line is that user's, so that its requests name the user."""
        self._rooms: dict[str, Frame | None] = {}
        """The rooms that are wanted, each with its position once it was joined."""
        self._present: set[str] = set()
        """The rooms that this line has joined."""
        self._joining: dict[str, asyncio.Future[None]] = {}
        self._outbox: deque[tuple[Frame, asyncio.Future[Frame]]] = deque()
        self._may_send, self._hurry = asyncio.Event(), asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Connect, and connect again after each loss, until the server forbids it."""
        while True:
            self._tell(event="state", state="connecting")
            self._is_greeted, self._token = False, self._next_token()
            self._present.clear()
            try:
                await self._serve()
            except Refused as error:
                state = "closed" if error.is_final else "waiting"
                self._tell(event="state", state=state, code=error.code)
                if error.is_final:
                    self._fail(error)
                    return
                await self._rest(error.pause)

    def reconnect(self) -> None:
        """End the wait for the next attempt."""
        self._hurry.set()

    async def join(self, room: str) -> None:
        """Be in a room from now on."""
        self._rooms.setdefault(room, None)
        self._joining[room] = asyncio.get_running_loop().create_future()
        self._begin_again()
        await self._joining[room]

    async def send(self, room: str, content: str) -> Frame:
        """Send a message, over as many lines as that takes; return its ack."""
        nonce = secrets.token_hex(8)
        message = {"type": "message", "room": room, "content": content, "nonce": nonce}
        settled: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._outbox.append((message, settled))
        self._may_send.set()
        return await settled

    async def _rest(self, seconds: float) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    def _fail(self, error: Refused) -> None:
        _reject(self._joining.values(), error)
        _reject([settled for _, settled in self._outbox], error)

    # One line: events, and commands beside them

    async def _serve(self) -> None:
        tasks = [asyncio.create_task(one) for one in (self._read_all(), self._send_all())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_all(self) -> None:
        while True:
            self._reading = asyncio.create_task(self._read())
            try:
                await asyncio.wait([self._reading])
            finally:
                self._reading.cancel()
            if not self._reading.cancelled():
                self._reading.result()

    def _begin_again(self) -> None:
        """Begin the next stream or poll, because what it enters has changed."""
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> None:
        """Read one stream or poll, which enters all rooms where they are."""
        joins = [
            {"type": "join", "room": room, "ref": room, **({"since": since} if since else {})}
            for room, since in self._rooms.items()
        ]
        async for frame in self._request(f"?{self._events}", joins):
            await self._take(frame)

    async def _send_all(self) -> None:
        """Send the messages one after the other, so that none overtakes another one."""
        while True:
            await self._may_send.wait()
            message, settled = next(iter(self._outbox), (None, None))
            if message is None or settled is None or message["room"] not in self._present:
                self._may_send.clear()
                continue
            reply = await self._ask(message)
            if reply["type"] == "error" and reply.get("retryable"):
                await asyncio.sleep(reply.get("retry_after") or PAUSE_SECONDS)
                continue
            self._remove([settled])
            if settled.done():  # its room was refused meanwhile
                continue
            if reply["type"] == "ack":
                settled.set_result(reply)
            else:
                settled.set_exception(Refused(reply))

    def _remove(self, settled: list[asyncio.Future[Frame]]) -> None:
        """Take messages out of the outbox."""
        self._outbox = deque(one for one in self._outbox if one[1] not in settled)

    async def _ask(self, command: Frame) -> Frame:
        reply: Frame | None = None
        async for frame in self._request("", [{**command, "ref": 1}]):
            reply = frame if frame.get("ref") == 1 else reply
        if reply is None:  # the response was cut off
            raise Refused({})
        return reply

    async def _request(self, query: str, commands: list[Frame]) -> AsyncIterator[Frame]:
        """Yield the frames of a response; raise `Refused` if the line is lost."""
        headers = {"Content-Type": "application/x-ndjson"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._is_greeted and self._user is not None:
            headers["X-Realtime-User"] = quote(self._user)
        body = "\n".join(map(json.dumps, commands))
        try:
            async for frame in post(self._url + query, headers, body):
                if frame["type"] == "disconnect":
                    raise Refused(frame)
                yield frame
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise Refused({}) from error

    # Events

    async def _take(self, frame: Frame) -> None:
        match frame["type"]:
            case "welcome":
                self._greet(frame)
            case "joined" if frame["room"] in self._rooms:
                self._enter(frame)
            case "message" if self._rooms.get(frame["room"]) is not None:
                self._show(frame["room"], frame)
            case "error":
                await self._refused(frame)

    def _greet(self, frame: Frame) -> None:
        if self._user not in (None, frame["user_id"]):
            raise Refused(OTHER_USER)
        self._user = frame["user_id"]
        if not self._is_greeted:
            self._is_greeted = True
            self._tell(event="state", state="open")

    def _enter(self, reply: Frame) -> None:
        room, since = reply["room"], self._rooms[reply["room"]]
        if since is not None and not reply["recovered"]:
            self._tell(event="reset")
            self._rooms[room] = None
            self._begin_again()
            return
        self._rooms[room] = since or {"seq": 0, "epoch": reply["epoch"]}
        for message in reply["messages"]:
            self._show(room, message)
        self._rooms[room] = {"seq": reply["through"], "epoch": reply["epoch"]}
        self._present.add(room)
        self._may_send.set()
        if (joining := self._joining.pop(room, None)) is not None:
            joining.set_result(None)

    def _show(self, room: str, message: Frame) -> None:
        """Tell a message once: what comes twice has a position that was reached before."""
        position = self._rooms[room]
        if position is not None and message["seq"] > position["seq"]:
            position["seq"] = message["seq"]
            self._tell(event="message", seq=message["seq"], content=message["content"])

    async def _refused(self, error: Frame) -> None:
        """Begin the next stream if all of this one was too much; leave a room that is refused."""
        if error.get("retryable"):
            await asyncio.sleep(error.get("retry_after") or PAUSE_SECONDS)
            self._begin_again()
        elif (room := error.get("ref", "")) in self._rooms:
            del self._rooms[room]
            self._present.discard(room)
            self._tell(event="refused", name=error["code"])
            self._end(room, Refused(error))

    def _end(self, room: str, error: Refused) -> None:
        """Fail what waits for a room, so that the messages of other rooms go on."""
        mine = [settled for message, settled in self._outbox if message["room"] == room]
        self._remove(mine)
        _reject(mine, error)
        if (joining := self._joining.pop(room, None)) is not None:
            _reject([joining], error)
        self._may_send.set()


def _reject(waiting: Iterable[asyncio.Future[Any]], error: Refused) -> None:
    for one in waiting:
        if not one.done():
            one.set_exception(error)
