"""Many keyed values in one topic: clients page them while they change, and must have them all."""

import asyncio
import json
import time
from typing import Any

import msgspec

from harness.database import Database

from .crowd import Figures, Options, mark
from .dialects import DIALECTS
from .publishing import Publishers
from .sockets import Socket, until

__all__ = ["ValueSocket", "values", "wrong"]

TOPIC = "value/room-0"
STORED = """
    SELECT entry.key, entry.data FROM realtime_entry entry
    JOIN realtime_head head ON head.id = entry.log_id
    WHERE head.name = %s AND entry.key IS NOT NULL AND NOT entry.is_deleted
"""
PAGES_BEGIN_SECONDS = 1
"""The values already change for so long when the clients begin."""
CONVERGE_SECONDS = 20


class Text(msgspec.Struct):
    """The data of a value."""

    text: str


class State(msgspec.Struct):
    """A value in a page, or the change of one; of other frames, nothing."""

    key: str | None = None
    data: Text | None = None
    deleted: bool = False


class Told(State):
    """A frame of the server, as far as it matters here."""

    type: str = ""
    entries: list[State] = []
    has_more: bool = False
    through: int = 0
    epoch: str = ""
    until: int | None = None


_decode = msgspec.json.Decoder(Told).decode


class ValueSocket(Socket):
    """A client that keeps the values of a topic."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.values: dict[str, str] = {}
        self.pages = 0
        self.seconds = 0.0
        """How long it took to get all pages."""
        self._began = time.perf_counter()

    def subscribe(self, **since: object) -> None:
        """Request the first page, or the one after a position."""
        command = {"type": "subscribe", "topic": TOPIC, **since}
        self.send(msgspec.json.encode(command))

    @property
    def is_subscribed(self) -> bool:
        """Whether it has all pages."""
        return self.seconds > 0

    def _hear(self, payload: bytes) -> None:
        if answer := self.dialect.answer(payload):
            self.send(answer)
            return
        told = _decode(payload)
        match told.type:
            case "welcome":
                self._began = time.perf_counter()
                self.subscribe()
            case "subscribed":
                self._take_page(told)
            case "event":
                self._take(told)
            case _:
                raise RuntimeError(f"the server said: {payload[:200]!r}")

    def _take_page(self, page: Told) -> None:
        self.pages += 1
        for state in page.entries:
            self._take(state)
        if page.has_more:
            since = {"seq": page.through, "epoch": page.epoch, "until": page.until}
            self.subscribe(since=since)
        else:
            self.seconds = time.perf_counter() - self._began

    def _take(self, state: State) -> None:
        if state.key is None:
            return
        if state.deleted or state.data is None:
            self.values.pop(state.key, None)
        else:
            self.values[state.key] = state.data.text


async def values(options: Options) -> Figures:
    """Clients get all values in pages while others set them; each must end with all of them."""
    dialect, base = DIALECTS["json"], options["bases"][0]
    keys = options["keys"]
    await _publish({**options, "kind": "seed", "writers": 1, "at_once": keys, "seconds": 0.001})
    setting = asyncio.create_task(_publish({**options, "kind": "value"}))
    await asyncio.sleep(PAGES_BEGIN_SECONDS)
    mark("measuring")
    clients = [
        await ValueSocket.connect(dialect, dialect.url(base, "")) for _ in range(options["members"])
    ]
    await until(lambda: all(client.is_subscribed for client in clients), options["seconds"])
    sets = await setting
    mark("measured")
    stored = _stored(options["database"])
    await until(lambda: all(client.values == stored for client in clients), CONVERGE_SECONDS)
    return {
        "page_seconds": max(client.seconds for client in clients),
        "pages": max(client.pages for client in clients),
        "events_per_second": sets,
        "seconds": options["seconds"],
        "faults": float(sum(wrong(client.values, stored) for client in clients)),
        "lost": float(sum(not client.is_subscribed or client.is_lost for client in clients)),
    }


async def _publish(options: Options) -> float:
    """Have all writers publish, until they end; returns how much a second."""
    publishers = await Publishers.start(options)
    published = await publishers.publish()
    return published.number / published.seconds


def _stored(url: str) -> dict[str, str]:
    """What the database has in truth."""
    return {key: json.loads(data)["text"] for key, data in Database(url).rows(STORED, TOPIC)}


def wrong(mine: dict[str, str], stored: dict[str, str]) -> int:
    """How many values lack, differ, or should not be there."""
    return sum(mine.get(key) != stored.get(key) for key in mine.keys() | stored.keys())
