"""The topic by which a process that serves no sockets gets the answers of clients."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

from .answers import Answers
from .layer import Layer
from .notes import Answered, Inspect, Outcome, Question, decode

__all__ = ["AnswerTopic"]

PROBE_SECONDS, PROVED_SECONDS = 1.0, 5.0
"""The time for the proof that answers arrive, and how long it counts."""
NOT_HEARD = "The channel layer does not bring answers to this process."
NOT_ACCEPTED = "The channel layer has not accepted the question."


class AnswerTopic:
    """Sends questions, and receives their answers; used in one event loop."""

    def __init__(self, answers: Answers, find_site: Callable[[], Awaitable[str]]) -> None:
        self.topic = f"reply.{uuid4().hex}"
        self._answers = answers
        self._layer = Layer(self.topic, self._receive, find_site)
        self._lock = asyncio.Lock()
        self._is_started = False
        self._proved_until = 0.0

    async def ask(self, topic: str, note: Question | Inspect) -> None:
        """Send a question, after a proof that its answer will be received."""
        try:
            async with self._lock:
                is_heard = await self._is_heard()
        except Exception as error:
            self._answers.fail(note.ref, f"The channel layer failed: {error!r}.")
            return
        if is_heard:
            self._layer.publish(topic, note, partial(self._settle, note.ref))
        else:
            self._answers.fail(note.ref, NOT_HEARD)

    async def _is_heard(self) -> bool:
        """Return whether notes arrive here; subscribe again if they do not."""
        if not self._is_started:
            self._layer.start()
            self._is_started = True
        await self._layer.identify()
        if time.monotonic() < self._proved_until:
            return True
        is_heard = await self._layer.subscribe(self.topic) and await self._probe()
        if not is_heard and not self._layer.is_away:
            await self._layer.reopen()
            is_heard = await self._probe()
        if is_heard:
            self._proved_until = time.monotonic() + PROVED_SECONDS
        return is_heard

    async def _probe(self) -> bool:
        return await self._layer.probe(self.topic, PROBE_SECONDS)

    def _settle(self, ref: str, is_sent: bool) -> None:
        if not is_sent:
            self._proved_until = 0.0
            self._answers.fail(ref, NOT_ACCEPTED, Outcome.UNKNOWN)

    def _receive(self, topic: str, items: list[Any]) -> None:
        for item in items:
            match decode(item):
                case Answered() as note:
                    self._answers.settle(note)
