"""A client that never gives up: it reconnects, resumes and repeats, and notes broken promises."""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.client import Client, Object
from tests.database import Database

_LOST = (OSError, ConnectionClosed, InvalidHandshake, TimeoutError)


@dataclass
class Known:
    """What one client knows of one room."""

    position: int = 0
    epoch: str = ""
    messages: dict[str, Object] = field(default_factory=dict)
    is_joined: bool = False


class Chatter:
    """Keeps a place in `rooms` over any number of connections to `urls`, taken in turn.

    `faults` lists broken promises in words; it must stay empty. `losses` tells of each lost
    socket, `refills` counts the resumes that the server could not fill and `history` did.
    """

    def __init__(
        self, name: str, urls: Iterable[str], rooms: Iterable[str], encoding: str = ""
    ) -> None:
        self.name = name
        self.encoding = encoding
        self.known = {room: Known() for room in rooms}
        self.acks: dict[str, Object] = {}
        self.sent: dict[str, Object] = {}
        self.events: list[Object] = []
        self.faults: list[str] = []
        self.losses: list[str] = []
        self.refills = 0
        self.user_id = ""
        self._urls = itertools.cycle(list(urls))
        self._token = ""
        self._client: Client | None = None
        self._answers: dict[str, asyncio.Future[Object]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Chatter":
        self._task = asyncio.create_task(self._live())
        try:
            await self.until(lambda: all(known.is_joined for known in self.known.values()), 30)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def say(self, room: str, content: str) -> Object:
        """Send a message, repeating it until it is acknowledged; returns the first `ack`."""
        nonce = uuid.uuid4().hex
        command = {"room": room, "content": content, "nonce": nonce, "ref": nonce}
        self.sent[nonce] = command
        self._answers[nonce] = asyncio.get_running_loop().create_future()
        if self.known[room].is_joined:
            await self._transmit("message", **command)
        return await self._answers[nonce]

    async def until(self, condition: Any, timeout: float = 30) -> None:
        """Wait for `condition()`; a crash of the client's own task is raised, not waited out."""
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
        """What this client shows of a room."""
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
            self._welcomed(await client.expect("welcome"))
            self._client = client
            for room, known in self.known.items():
                await client.send("join", room=room, **_since(known))
            while True:
                await self._take(await client.receive(timeout=3600))

    def _welcomed(self, welcome: Object) -> None:
        if self.user_id not in ("", welcome["user_id"]):
            self.faults.append(f"{self.user_id} came back as {welcome['user_id']}")
        self.user_id = welcome["user_id"]
        self._token = welcome.get("guest_token", self._token)

    async def _take(self, item: Object) -> None:
        match item["type"]:
            case "joined" if "through" in item:
                await self._joined(item)
            case "message":
                await self._advance(item, item)
            case "changed":
                await self._advance(item, item["message"])
            case "history":
                await self._refilled(item)
            case "ack":
                self._acknowledged(item)
            case "error":
                await self._failed(item)
            case "resync":
                self.faults.append(f"resync: {item}")
            case _:
                self.events.append(item)

    async def _joined(self, item: Object) -> None:
        room, known = item["room"], self.known[item["room"]]
        for message in item["messages"]:
            if message["seq"] <= known.position and "changed_seq" not in message:
                self.faults.append(
                    f"{room}: {message['seq']} came again on resuming from {known.position}"
                )
            self._keep(known, message)
        if known.epoch and not item["recovered"]:
            self.refills += 1
            await self._ask(room, known.position, item["through"])
        known.position, known.epoch, known.is_joined = item["through"], item["epoch"], True
        for nonce, command in self.sent.items():
            if command["room"] == room and nonce not in self.acks:
                await self._transmit("message", **command)

    async def _advance(self, event: Object, message: Object) -> None:
        known = self.known[event["room"]]
        if event["seq"] <= known.position:
            self.faults.append(f"{event['room']}: {event['seq']} after {known.position}")
        elif (event.get("from") or event["seq"]) > known.position + 1:
            self.faults.append(f"{event['room']}: gap from {known.position} to {event['seq']}")
            await self._ask(event["room"], known.position, event["seq"])
        known.position = max(known.position, event["seq"])
        self._keep(known, message)

    def _keep(self, known: Known, message: Object) -> None:
        have = known.messages.get(str(message["id"]))
        if have is None or _changed(message) > _changed(have):
            known.messages[str(message["id"])] = message

    async def _ask(self, room: str, after: int, through: int) -> None:
        """Read what lies between two positions, page by page."""
        await self._transmit(
            "history", room=room, after=after, limit=100, ref=f"fill {room} {through}"
        )

    async def _refilled(self, item: Object) -> None:
        for message in item["messages"]:
            self._keep(self.known[item["room"]], message)
        through = int(item["ref"].split()[-1])
        if item["has_more"] and item["through"] < through:
            await self._ask(item["room"], item["through"], through)

    def _acknowledged(self, ack: Object) -> None:
        nonce = ack["nonce"]
        first = self.acks.setdefault(nonce, ack)
        if (first["seq"], first["id"]) != (ack["seq"], ack["id"]):
            self.faults.append(f"two acks for one nonce: {first} and {ack}")
        if not self._answers[nonce].done():
            self._answers[nonce].set_result(ack)

    async def _failed(self, error: Object) -> None:
        ref = error.get("ref")
        if error["retryable"] and ref in self.sent:
            await asyncio.sleep(error.get("retry_after") or 0.2)
            await self._transmit("message", **self.sent[ref])
        else:
            self.faults.append(f"error: {error}")

    async def _transmit(self, kind: str, **fields: Any) -> None:
        if self._client:
            with contextlib.suppress(ConnectionClosed):
                await self._client.send(kind, **fields)


def _since(known: Known) -> Object:
    if not known.epoch:
        return {"history": 100}
    return {"since": {"seq": known.position, "epoch": known.epoch}}


def _changed(message: Object) -> int:
    return int(message.get("changed_seq") or message["seq"])


async def all_caught_up(
    chatters: Iterable[Chatter], database: Database, timeout: float = 60
) -> None:
    """Wait until each client has come as far in each of its rooms as the database has."""
    ends: dict[str, int] = {}
    for chatter in chatters:
        for room, known in chatter.known.items():
            end = ends.setdefault(room, database.last_seq(room))
            await chatter.until(lambda known=known, end=end: known.position >= end, timeout)
            await chatter.until(lambda known=known, end=end: len(known.messages) >= end, timeout)


def compare(chatters: Iterable[Chatter], database: Database) -> None:
    """Rows == acks == what every client shows; each once, in order, with no hole in `seq`."""
    chatters = list(chatters)
    assert [fault for chatter in chatters for fault in chatter.faults] == []
    stored = {
        room: database.messages(room)
        for room in {room for chatter in chatters for room in chatter.known}
    }
    for rows in stored.values():
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    _compare_acks(chatters, stored)
    for chatter in chatters:
        for room, known in chatter.known.items():
            shown = sorted(
                (message["seq"], str(message["id"]), message["content"])
                for message in known.messages.values()
            )
            assert shown == [(row.seq, row.id, row.content) for row in stored[room]], (
                f"{chatter.name} in {room}"
            )


def _compare_acks(chatters: list[Chatter], stored: dict[str, list[Any]]) -> None:
    acknowledged: Counter[tuple[Any, ...]] = Counter()
    for chatter in chatters:
        assert chatter.acks.keys() == chatter.sent.keys(), f"{chatter.name} has unanswered messages"
        for nonce, ack in chatter.acks.items():
            sent = chatter.sent[nonce]
            acknowledged[
                sent["room"], ack["seq"], str(ack["id"]), chatter.user_id, sent["content"]
            ] += 1
    rows = Counter((room, *row) for room, found in stored.items() for row in found)
    assert rows == acknowledged
