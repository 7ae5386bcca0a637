"""A client that always reconnects, resumes and repeats, and records broken promises."""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from urllib.parse import quote

from websockets.exceptions import InvalidHandshake

from harness.client.conversation import Closed
from harness.client.encoding import Object
from harness.client.room_view import RoomView
from harness.client.websocket import Client

__all__ = ["Chatter"]

_LOST = (OSError, InvalidHandshake)
"""The exceptions that end a connection; `Closed` and TimeoutError are subclasses of OSError."""
_RESEND_SECONDS = 60
"""A client repeats a message within this time after its `ack`, if the log has a new epoch."""


class Chatter:
    """Stays in `rooms` over any number of connections to `urls`, which it uses in turn.

    `faults` describes broken promises; it must stay empty. `losses` has an entry for each lost
    socket and failed connect, `ends` only for sockets that were open: the in-band code, and
    that of the close. `refills` counts the resumes that the server could not fill and `history`
    did, `restarts` the rooms that had to be joined anew, which only `may_restart` allows. There
    it sends again what was acknowledged lately, and `resent` counts these messages.
    `resumed` has the seconds from each lost socket until this client was in all its rooms again,
    `waits`, by kind, those from each command until its answer, be it an error.
    `delayed` has the contents that were sent again after an error, and so later than others.
    """

    view: type[RoomView] = RoomView

    def __init__(
        self,
        name: str,
        urls: Iterable[str],
        rooms: Iterable[str],
        encoding: str = "",
        *,
        may_restart: bool = False,
    ) -> None:
        self.name = name
        self.encoding = encoding
        self.may_restart = may_restart
        self.known = {room: self.view() for room in rooms}
        self.acks: dict[str, Object] = {}
        self.sent: dict[str, Object] = {}
        self.events: list[Object] = []
        self.faults: list[str] = []
        self.losses: list[str] = []
        self.ends: list[tuple[int | None, int | None]] = []
        self.resumed: list[float] = []
        self.waits: dict[str, list[float]] = defaultdict(list)
        self.refills = 0
        self.restarts = 0
        self.resent = 0
        self.delayed: set[str] = set()
        self.user_id = ""
        self._urls = itertools.cycle(list(urls))
        self._token = ""
        self._client: Client | None = None
        self._open: dict[str, tuple[str, Object]] = {}
        self._asked_at: dict[str, float] = {}
        self._lost_at: float | None = None
        self._answers: dict[str, asyncio.Future[Object]] = {}
        self._acked_at: dict[str, float] = {}
        self._again: set[str] = set()
        self._anew: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Chatter":
        self._task = asyncio.create_task(self._live())
        try:
            await self.until(lambda: self.is_inside, 60)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task
        tasks = [self._task, *self._beside]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def is_inside(self) -> bool:
        """Return whether it is in all its rooms."""
        return all(known.is_joined for known in self.known.values())

    @property
    def is_answered(self) -> bool:
        """Return whether each message that was sent has its answer."""
        return all(kind != "message" for kind, _ in self._open.values())

    async def say(self, room: str, content: str) -> Object:
        """Send a message, and repeat it until it is acknowledged; return the first `ack`."""
        nonce = uuid.uuid4().hex
        self.sent[nonce] = {"room": room, "content": content, "nonce": nonce}
        self._answers[nonce] = asyncio.get_running_loop().create_future()
        await self._ask("message", nonce, **self.sent[nonce])
        return await self._answers[nonce]

    async def move(self) -> None:
        """Close the connection, and reconnect to the next server."""
        before = len(self.resumed)
        if self._client:
            await self._client.close()
        await self.until(lambda: len(self.resumed) > before)

    async def until(self, condition: Callable[[], object], timeout: float = 30) -> None:
        """Wait for `condition()`; raise an exception of the client's own task at once."""
        assert self._task
        deadline = time.monotonic() + timeout
        while not condition():
            if self._task.done():
                await self._task
            if time.monotonic() > deadline:
                noted = f"faults {self.faults[:5]}, losses {self.losses[-2:]}"
                raise TimeoutError(f"{self.name}: not within {timeout} s; {noted}")
            await asyncio.sleep(0.02)

    def contents(self, room: str) -> list[str]:
        """Return the texts that this client shows in a room."""
        shown = sorted(self.known[room].messages.values(), key=lambda message: message["seq"])
        return [message["content"] for message in shown]

    async def _live(self) -> None:
        for url in self._urls:
            try:
                await self._session(url)
            except _LOST as error:
                self.losses.append(f"{url[:30]}: {repr(error)[:200]}")
            self._client = None
            for known in self.known.values():
                known.is_joined = False
            await asyncio.sleep(0.2)

    async def _session(self, url: str) -> None:
        if self._token:
            url += f"?token={quote(self._token)}"
        async with await Client.connect(url, self.encoding) as client:
            try:
                await self._converse(client)
            except _LOST:
                self._lost(client)
                raise

    async def _converse(self, client: Client) -> None:
        welcome = await client.expect("welcome")
        self._welcomed(welcome)
        self._client = client
        await self._enter()
        while True:
            await self._take(await client.receive(timeout=3600))

    async def _enter(self) -> None:
        for room in self.known:
            await self._join(room)

    def _welcomed(self, welcome: Object) -> None:
        if self.user_id not in ("", welcome["user_id"]):
            self.faults.append(f"{self.user_id} came back as {welcome['user_id']}")
        self.user_id = welcome["user_id"]
        self._token = welcome.get("guest_token", self._token)

    def _lost(self, client: Client) -> None:
        codes = [item["code"] for item in client.seen[-5:] if item["type"] == "disconnect"]
        self.ends.append((codes[-1] if codes else None, client.socket.close_code))
        if self._lost_at is None:
            self._lost_at = time.monotonic()

    async def _take(self, item: Object) -> None:
        match item["type"]:
            case "joined" if "through" in item:
                await self._joined(item)
            case "message" | "changed":
                await self._advance(item)
            case "history":
                await self._refilled(item)
            case "ack":
                self._acknowledged(item)
            case "error":
                self._failed(item)
            case "ping" if self._client:
                await self._client.send("pong")
            case "resync" if self.may_restart:
                await self._restart(item["room"])
            case "resync":
                self.faults.append(f"resync: {item}")
            case _:
                self.events.append(item)

    async def _joined(self, item: Object) -> None:
        room, known = item["room"], self.known[item["room"]]
        self._answered(item["ref"])
        if known.epoch not in ("", item["epoch"]):
            if not self.may_restart:
                self.faults.append(f"{room}: {known.epoch} goes on as {item['epoch']}")
            self.restarts += 1
            self._anew.add(room)
            known.forget()
        for message in known.misplaced(item, known.position):
            self.faults.append(f"{room}: resumed from {known.position}, and got {message}")
        for message in item["messages"]:
            known.keep(message)
        if known.epoch and not item["recovered"]:
            self.refills += 1
            await self._fill(room, known.position, item["through"])
        known.enter(item)
        if self._lost_at is not None and self.is_inside:
            self.resumed.append(time.monotonic() - self._lost_at)
            self._lost_at = None
        for ref, (_, fields) in list(self._open.items()):
            if fields.get("room") == room:
                await self._transmit(ref)
        if room in self._anew:
            await self._begin_anew(room, item)

    async def _begin_anew(self, room: str, item: Object) -> None:
        self._anew.discard(room)
        if item["has_more"]:
            await self._fill(room, 0, item["through"])
        await self._send_again(room)

    async def _send_again(self, room: str) -> None:
        """Repeat what was acknowledged lately: the database may have failed over without it."""
        oldest = time.monotonic() - _RESEND_SECONDS
        for nonce, sent in list(self.sent.items()):
            if sent["room"] == room and self._acked_at.get(nonce, 0) > oldest:
                self.resent += 1
                self._again.add(nonce)
                await self._ask("message", nonce, **sent)

    async def _restart(self, room: str) -> None:
        if f"join {room}" in self._open:  # it is on its way already
            return
        self.restarts += 1
        self._anew.add(room)
        self.known[room].forget()
        for ref, (kind, fields) in list(self._open.items()):
            if kind == "history" and fields["room"] == room:
                del self._open[ref]
                self._asked_at.pop(ref, None)
        await self._join(room)

    async def _advance(self, event: Object) -> None:
        room, seq = event["room"], event["seq"]
        known = self.known[room]
        before = known.position
        if fault := known.fault_of(event):
            self.faults.append(f"{room}: {fault}")
        known.advance(event)
        if fault and seq > before:
            await self._fill(room, before, seq)

    async def _fill(self, room: str, after: int, through: int) -> None:
        """Read the messages between two positions, page by page."""
        ref = f"fill {room} {through}"
        await self._ask("history", ref, room=room, after=after, limit=100)

    async def _refilled(self, item: Object) -> None:
        self._answered(item["ref"])
        for message in item["messages"]:
            self.known[item["room"]].keep(message)
        through = int(item["ref"].split()[-1])
        if item["has_more"] and item["through"] < through:
            await self._fill(item["room"], item["through"], through)

    def _acknowledged(self, ack: Object) -> None:
        nonce = ack["nonce"]
        self._answered(nonce)
        self._acked_at[nonce] = time.monotonic()
        if nonce in self._again:
            self._again.discard(nonce)
            self.acks[nonce] = ack
        first = self.acks.setdefault(nonce, ack)
        if (first["seq"], first["id"]) != (ack["seq"], ack["id"]):
            self.faults.append(f"two acks for one nonce: {first} and {ack}")
        if not self._answers[nonce].done():
            self._answers[nonce].set_result(ack)

    def _failed(self, error: Object) -> None:
        ref: Any = error.get("ref")
        command = self._open.get(ref)
        self._note_wait(ref)
        if command and error["retryable"]:
            if command[0] == "message":
                self.delayed.add(command[1]["content"])
            self._aside(self._repeat(ref, error.get("retry_after") or 0.2, self._client))
        elif command is None and ref in self.acks and error["retryable"]:
            return  # a repeat of what was acknowledged meanwhile
        elif not (command and self.may_restart and error["code"] == "not_joined"):
            self.faults.append(f"error: {error}")

    # Commands, each with a ref, that are repeated until they are answered.

    async def _join(self, room: str) -> None:
        ref, known = f"join {room}", self.known[room]
        self._open[ref] = "join", {"room": room, "ref": ref, **(known.target or {"history": 100})}
        await self._transmit(ref)

    async def _ask(self, kind: str, ref: str, **fields: Any) -> None:
        self._open[ref] = kind, {"ref": ref, **fields}
        if self.known[fields["room"]].is_joined:
            await self._transmit(ref)

    async def _transmit(self, ref: str) -> None:
        if self._client and ref in self._open:
            kind, fields = self._open[ref]
            self._asked_at[ref] = time.monotonic()
            with contextlib.suppress(Closed):
                kind, fields = self._written(kind, fields)
                await self._client.send(kind, **fields)

    def _written(self, kind: str, fields: Object) -> tuple[str, Object]:
        """Return a command as it is sent."""
        return kind, fields

    async def _repeat(self, ref: str, seconds: float, client: Client | None) -> None:
        await asyncio.sleep(seconds)
        if self._client is client:  # over a new socket everything is repeated anyway
            await self._transmit(ref)

    def _answered(self, ref: str) -> None:
        self._note_wait(ref)
        self._open.pop(ref, None)

    def _note_wait(self, ref: Any) -> None:
        if (asked_at := self._asked_at.pop(ref, None)) is not None:
            self.waits[self._open[ref][0]].append(time.monotonic() - asked_at)

    def _aside(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
