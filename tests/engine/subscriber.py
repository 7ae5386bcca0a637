"""A client of the protocol in one topic; `faults` lists broken promises."""

from typing import Any

import msgspec

from harness.client.encoding import Object
from harness.waiting import eventually
from realtime.engine.delivery.entry_catchup import EntryPage, attach_entries
from realtime.engine.delivery.entry_topic import EntryTopic
from realtime.engine.delivery.hub import Hub
from realtime.engine.engine import Engine
from realtime.wire.codecs import JSON, Codec
from realtime.wire.commands import TopicSince
from realtime.wire.events import Subscribed
from tests.engine.ends import End
from tests.engine.process import Process


class Subscriber(End):
    """A client in a topic: what it has been sent, and what that makes of values and events."""

    def __init__(self, process: Process | Engine, name: str, codec: Codec = JSON) -> None:
        super().__init__(name, codec)
        self.process = process
        self.topic: EntryTopic | None = None
        self.asked: list[TopicSince | None] = []
        """The position of each request, of which a reply stands among the frames."""

    async def subscribe(
        self, topic: str, *, since: TopicSince | None = None, history: int = 0
    ) -> list[EntryPage]:
        """Subscribe as a consumer does, page by page to the end."""
        pages = [await self.request(topic, since=since, history=history)]
        while pages[-1].has_more:
            assert len(pages) < 500, "the pages do not end"
            page = pages[-1]
            since = TopicSince(seq=page.through, epoch=page.epoch, until=page.until)
            pages.append(await self.request(topic, since=since, history=history))
        return pages

    async def request(
        self, topic: str, *, since: TopicSince | None = None, history: int = 0
    ) -> EntryPage:
        """Request one page; the reply stands among the frames."""
        hub: Hub = self.process.hub
        self.topic = await hub.open_topic(topic)
        page = await attach_entries(
            hub, self.process.db, self.topic, self.connection, since=since, history=history
        )
        self.asked.append(since)
        reply = Subscribed(
            topic=topic,
            through=page.through,
            epoch=page.epoch,
            recovered=page.recovered,
            entries=page.states,
            has_more=page.has_more,
            until=page.until,
        )
        self.outbox.reply(reply)
        return page

    async def come_back(self, topic: str, *, history: int = 0) -> list[EntryPage]:
        """Subscribe again from the last position."""
        known = self.known()
        since = TopicSince(seq=known.position, epoch=known.epoch, until=known.until)
        return await self.subscribe(topic, since=since, history=history)

    def leave(self) -> None:
        if self.topic is not None:
            self.connection.unsubscribe(self.topic)

    def known(self) -> "Shown":
        """What a client shows that has received everything so far."""
        shown, asked = Shown(), iter(self.asked)
        for item in self.items:
            match item["type"]:
                case "subscribed":
                    shown.enter(item, next(asked))
                case "event":
                    shown.receive(item)
                case "resync":
                    shown.is_attached = False
        return shown


class Shown:
    """The values and events that a client shows; `faults` lists what breaks the order."""

    def __init__(self) -> None:
        self.position = 0
        self.epoch = ""
        self.until: int | None = None
        self.is_attached = False
        self.values: dict[str, Any] = {}
        self.events: dict[int, Any] = {}
        self.faults: list[str] = []

    def enter(self, reply: Object, since: TopicSince | None) -> None:
        if since is None or not reply["recovered"]:
            self.values.clear()
            self.events.clear()
            since = None
        for entry in reply["entries"]:
            if since is not None and entry["seq"] <= since.seq:
                self.faults.append(f"{entry['seq']} again, since {since}")
            self._show(entry)
        self.position, self.epoch = reply["through"], reply["epoch"]
        self.until = reply.get("until")
        self.is_attached = not reply["has_more"]

    def receive(self, event: Object) -> None:
        if "seq" not in event:
            return
        seq = event["seq"]
        if not self.is_attached:
            self.faults.append(f"{seq} without a subscription")
            return
        self.epoch = self.epoch or event.get("epoch", "")
        if seq <= self.position:
            self.faults.append(f"{seq} after {self.position}")
        if event.get("from", seq) > self.position + 1:
            self.faults.append(f"gap from {self.position} to {seq}")
        self.position = seq
        self._show(event)

    def _show(self, entry: Object) -> None:
        if "key" not in entry:
            if entry["seq"] in self.events:
                self.faults.append(f"event {entry['seq']} twice")
            self.events[entry["seq"]] = entry["data"]
        elif entry.get("deleted"):
            self.values.pop(entry["key"], None)
        else:
            self.values[entry["key"]] = entry["data"]


async def reached(subscriber: Subscriber, position: int, seconds: float = 10) -> None:
    """Wait until a subscriber has reached `position`."""
    await eventually(
        lambda: subscriber.known().position >= position,
        seconds,
        f"{position} at {subscriber.outbox.id}",
    )


def encoded(values: dict[Any, Any]) -> dict[Any, str]:
    """Values as the JSON that was stored."""
    return {key: msgspec.json.encode(data).decode() for key, data in values.items()}
