"""A client that stays in rooms and topics over all connections, and records broken promises."""

import time
from collections.abc import Iterable
from typing import Any

from harness.client.chatter import Chatter
from harness.client.encoding import Object
from harness.client.topic_view import TopicView

__all__ = ["Subscriber"]


class Subscriber(Chatter):
    """A `Chatter` that is also subscribed to `topics`, which it resumes as it resumes rooms.

    `removals` are the `removed` events of topics. A topic that cannot be resumed counts in
    `restarts`, and is a fault unless `may_restart` allows it.
    """

    def __init__(
        self,
        name: str,
        urls: Iterable[str],
        topics: Iterable[str],
        encoding: str = "",
        *,
        rooms: Iterable[str] = (),
        history: int = 0,
        may_restart: bool = False,
    ) -> None:
        super().__init__(name, urls, rooms, encoding, may_restart=may_restart)
        self.topics = {topic: TopicView() for topic in topics}
        self.history = history
        self.removals: list[Object] = []

    @property
    def is_inside(self) -> bool:
        """Return whether it is in all its rooms and topics."""
        removed = {one["topic"] for one in self.removals}
        topics = [view.is_joined for name, view in self.topics.items() if name not in removed]
        return super().is_inside and all(topics)

    async def _enter(self) -> None:
        await super()._enter()
        for topic, view in self.topics.items():
            view.is_joined = False
            await self._subscribe(topic)

    async def _subscribe(self, topic: str) -> None:
        ref = f"subscribe {topic}"
        target = self.topics[topic].target or {"history": self.history}
        self._open[ref] = "subscribe", {"topic": topic, "ref": ref, **target}
        await self._transmit(ref)

    async def _take(self, item: Object) -> None:
        if item.get("topic") not in self.topics:
            await super()._take(item)
            return
        match item["type"]:
            case "subscribed":
                await self._subscribed(item)
            case "event":
                await self._advance_topic(item)
            case "resync":
                await self._restart_topic(item)
            case "removed":
                self.topics[item["topic"]].forget()
                self.removals.append(item)
            case _:
                await super()._take(item)

    async def _subscribed(self, item: Object) -> None:
        topic, view = item["topic"], self.topics[item["topic"]]
        self._answered(item["ref"])
        if view.epoch is not None and not item["recovered"]:
            self._note_restart(topic, f"{view.position} of {view.epoch!r} was not resumed")
        self.faults += [f"{topic}: {fault}" for fault in view.faults_of(item)]
        view.enter(item)
        if item["has_more"]:
            await self._subscribe(topic)
        elif self._lost_at is not None and self.is_inside:
            self.resumed.append(time.monotonic() - self._lost_at)
            self._lost_at = None

    async def _advance_topic(self, event: Object) -> None:
        topic, view = event["topic"], self.topics[event["topic"]]
        if not view.is_joined:
            self.faults.append(f"{topic}: an event before the last page: {event}")
            return
        if fault := view.fault_of(event):
            self.faults.append(f"{topic}: {fault}")
        view.advance(event)

    async def _restart_topic(self, item: Object) -> None:
        topic: Any = item["topic"]
        self._note_restart(topic, f"resync: {item}")
        self.topics[topic].forget()
        await self._subscribe(topic)

    def _note_restart(self, topic: str, fault: str) -> None:
        self.restarts += 1
        if not self.may_restart:
            self.faults.append(f"{topic}: {fault}")
