"""The open topics of a process: opened on first use, and closed when nothing needs them.

A topic with a log is opened once for concurrent callers. It is subscribed first and then read, so
that no event is missed. If the layer is away meanwhile, its log is polled until the layer is back.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from django.db import Error as DatabaseError

from ..bus.layer import Layer
from .follower import LogFollower
from .topic import AnyLogTopic, LogTopic, State, Topic

__all__ = ["Registry"]

T = TypeVar("T", bound=AnyLogTopic)

PROBE_SECONDS = 1.0
"""The time in which a new subscription has to take effect; otherwise the log is polled."""
LINGER_SECONDS = 60.0
"""A topic with a log is kept this long without members, for clients that come back."""
USER_LINGER_SECONDS = 5.0
"""The same for topics of one user: enough for a page that is reloaded."""
OPENINGS_AT_ONCE, POLLS_AT_ONCE = 250, 50
"""The most subscriptions that are proved at once: the queue of notes holds 1,000 probes.

Topics that are opened do not wait for those that are polled, whose probes may all be lost.
"""
POLL_SECONDS = 1.0
"""The pause between two queries for a log whose topic has no subscription."""


class Registry:
    """Opens, finds and closes the topics of a process. `spawn` runs a coroutine in a task."""

    def __init__(
        self,
        layer: Layer,
        follower: LogFollower,
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
    ) -> None:
        self._layer = layer
        self._follower = follower
        self._spawn = spawn
        self.topics: dict[str, Topic] = {}
        self._logs: dict[str, AnyLogTopic] = {}
        self._opening: dict[str, asyncio.Task[Any]] = {}
        self._openings = asyncio.Semaphore(OPENINGS_AT_ONCE)
        self._polls = asyncio.Semaphore(POLLS_AT_ONCE)

    def get(self, name: str) -> Topic | None:
        """Return an open topic, or None."""
        return self.topics.get(name)

    def log(self, key: str) -> AnyLogTopic | None:
        """Return the topic of a log if it is open or being opened, or None."""
        return self._logs.get(key)

    @property
    def logs(self) -> list[AnyLogTopic]:
        """The topics with a log, also those that are being opened."""
        return list(self._logs.values())

    @property
    def live(self) -> list[AnyLogTopic]:
        """The topics with a log that are not being opened any more."""
        return [topic for topic in self._logs.values() if topic.state is not State.OPENING]

    def add(self, topic: Topic) -> Topic:
        """Add a topic without a log."""
        self.topics[topic.name] = topic
        self._spawn(self._layer.subscribe(topic.name))
        return topic

    async def open(self, key: str, make: Callable[[], T], states: int | None = None) -> T:
        """Return the live topic of a log; concurrent calls make and open it once.

        Its ring starts with `states` changes, or as many as the topic usually has.
        """
        topic: Any = self._logs.get(key)
        if topic is not None and topic.state is not State.OPENING:
            topic.requested_at = asyncio.get_running_loop().time()
            return topic  # type: ignore[no-any-return]
        if key not in self._opening:
            made = make()
            number = made.open_states if states is None else states
            self._opening[key] = self._spawn(self._open(made, number))
        opened: T = await asyncio.shield(self._opening[key])
        return opened

    def linger(self, topic: Topic) -> None:
        """Keep an empty topic a little longer, for clients that reconnect at once."""
        seconds = _linger_seconds(topic)
        asyncio.get_running_loop().call_later(seconds, self._close_if_idle, topic)

    async def _open(self, topic: AnyLogTopic, states: int) -> AnyLogTopic:
        self.topics[topic.name] = self._logs[topic.name] = topic
        try:
            is_heard = await self._subscribe(topic, self._openings)
            await self._follower.load(topic, states)
        except BaseException:
            self._remove(topic)
            self._spawn(self._layer.unsubscribe(topic.name))
            raise
        finally:
            del self._opening[topic.name]
        if not is_heard:
            topic.is_polled = True
            self._spawn(self._poll(topic))
        topic.requested_at = asyncio.get_running_loop().time()
        self.linger(topic)
        return topic

    async def _subscribe(self, topic: Topic, turns: asyncio.Semaphore) -> bool:
        # A layer's `group_add` may return before the subscription takes effect. A probe that comes
        # back through the group proves that it has.
        async with turns:
            return await self._layer.subscribe(topic.name) and await self._layer.probe(
                topic.name, PROBE_SECONDS
            )

    def _close_if_idle(self, topic: Topic) -> None:
        if topic.members or self.topics.get(topic.name) is not topic:
            return
        if isinstance(topic, LogTopic) and self._is_in_use(topic):
            self.linger(topic)
            return
        self._remove(topic)
        self._spawn(self._layer.unsubscribe(topic.name))

    def _is_in_use(self, topic: AnyLogTopic) -> bool:
        # A client may be about to attach, and first waits for the database.
        idle = asyncio.get_running_loop().time() - topic.requested_at
        is_read = topic.readers > 0 or idle < _linger_seconds(topic)
        return is_read or topic.state is not State.LIVE

    def _remove(self, topic: Topic) -> None:
        self.topics.pop(topic.name, None)
        if isinstance(topic, LogTopic):
            self._logs.pop(topic.name, None)
            self._follower.drop(topic)

    async def _poll(self, topic: AnyLogTopic) -> None:
        while topic.is_polled:
            await asyncio.sleep(POLL_SECONDS)
            if self._logs.get(topic.name) is not topic:
                return
            with suppress(DatabaseError):  # the pulse tries again
                await self._follower.catch_up_if_behind(topic)
            if await self._subscribe(topic, self._polls):
                topic.is_polled = False
                await self._follower.catch_up_if_behind(topic)


def _linger_seconds(topic: Topic) -> float:
    is_shared = isinstance(topic, LogTopic) and topic.is_shared
    return LINGER_SECONDS if is_shared else USER_LINGER_SECONDS
