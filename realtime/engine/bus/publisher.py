"""Publish notes from a process that serves no sockets: a worker, a command, a WSGI server."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from multiprocessing.util import Finalize
from typing import Any

from django.db import connections

from ...bursts import Burst
from ...spans import Origin, Span
from ...store.database import site
from .answer_topic import AnswerTopic
from .answers import Answers
from .joint import Joint
from .layer import BREAKER_SECONDS, SEND_SECONDS, envelope, group, make_backend
from .note_queue import QUEUE_BYTES, NoteQueue, QueuedNote, size_of
from .notes import Inspect, Note, Question
from .origins import begin_fan_out, carry

__all__ = ["Addressed", "LayerUnavailable", "Publisher", "publisher"]

Addressed = tuple[str, Note] | tuple[str, Note, Origin | None]
"""A topic, a note for it, and the span that this comes from, if there is one."""

SITE_SECONDS = 5.0
"""The site identity is read again after this time."""
UNANSWERED_NOTES = 500
"""The most notes of a burst that the layer has not accepted yet; more would be dropped."""
PART_NOTES, PART_BYTES = 250, QUEUE_BYTES // 4
"""The most notes that are queued at once, and their most bytes."""
NO_ANSWER = "The channel layer does not answer."
NOT_SHARED = (
    "This process serves no sockets, and shares no channel layer with the processes that do."
    " Set CHANNEL_LAYERS to a Redis layer."
)

_inherited: list[Any] = []
"""What a parent process was using; in a forked child it must be neither used nor closed."""


class LayerUnavailable(Exception):  # noqa: N818 - a state of the site, like Django's Http404
    """This process cannot reach the others: there is no shared layer, or it does not answer."""


class Publisher:
    """Publishes from one event loop in its own thread, so that the process keeps one connection."""

    def __init__(self) -> None:
        self.is_server = False
        """Whether this process serves sockets. Before its engine starts, it has none yet."""
        self.answers = Answers()
        """What this process waits for, whether it serves sockets or not."""
        self._answer_topic: AnswerTopic | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._backend: Any = None
        self._queue = NoteQueue()
        self._publishing: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._unanswered: deque[tuple[Future[str], int]] = deque()
        """Results that are not known yet, with the number of their notes."""
        self._unanswered_notes = 0
        self._burst = Burst()
        """Callers that follow each other closely do not wait for the layer."""
        self._failure = NO_ANSWER
        self._closed_until = 0.0
        self._site = ""
        self._site_until = 0.0

    def submit(self, notes: Sequence[Addressed], *, is_background: bool = False) -> "Future[str]":
        """Publish notes together, at least one; the future gets the reason of the first failure.

        It gets an empty string once the layer has accepted all. Waits for the layer at most two
        seconds, except in a burst of many calls, whose notes are published together, and except for
        a caller in the background. So a process that ends without its exit handlers loses no single
        note.
        """
        joint = Joint(len(notes))
        loop, reason = self._ready()
        if loop is None:
            joint.settle(reason, len(notes))
            return joint.result
        for part in _parts(notes):
            if time.monotonic() < self._closed_until:
                loop.call_soon_threadsafe(joint.settle, self._failure)
                break
            accepted = Joint(len(part), joint)
            loop.call_soon_threadsafe(self._enqueue, part, accepted)
            self._wait(accepted.result, len(part), is_background)
        return joint.result

    def ask(self, topic: str, make: Callable[[str], Question | Inspect]) -> None:
        """Send a question, which `make` returns for the topic of the answer."""
        loop, reason = self._ready()
        if loop is None or not self.is_shared:
            self.answers.fail(make("").ref, reason or NOT_SHARED)
        else:
            loop.call_soon_threadsafe(self._ask, topic, make)

    def flush(self, seconds: float = SEND_SECONDS) -> None:
        """Wait until the layer has accepted everything, at most for so many seconds."""
        until = time.monotonic() + seconds
        for result, _ in list(self._unanswered):
            with suppress(TimeoutError):
                result.result(max(0.0, until - time.monotonic()))

    @property
    def is_shared(self) -> bool:
        """Whether processes share a channel layer; known after the first `submit`."""
        return self._backend is not None

    def reset(self) -> None:
        """Start again in a forked child, where the thread of the parent does not run."""
        _inherited.append(
            (self._loop, self._backend, self._publishing, self._asking, self._answer_topic)
        )
        self.__init__()  # type: ignore[misc]

    def _ready(self) -> tuple[asyncio.AbstractEventLoop | None, str]:
        """Return the loop to publish from; without one, the reason why that is not possible."""
        if time.monotonic() < self._closed_until:
            return None, NO_ANSWER
        try:
            with self._lock:
                self._start()
        except Exception as error:
            return None, f"The channel layer cannot be made: {error!r}."
        if self._loop is None and not self.is_server:
            return None, NOT_SHARED
        return self._loop, ""  # without a loop, this is the only process, without connections yet

    def _start(self) -> None:
        if self._loop is not None:
            return
        self._backend = make_backend()
        if self._backend is None:
            return
        self._loop = asyncio.new_event_loop()
        threading.Thread(
            target=self._loop.run_forever, name="realtime-publisher", daemon=True
        ).start()
        # Runs at the end of this process, also in a child of `multiprocessing`.
        Finalize(None, self.flush, exitpriority=0)

    def _wait(self, result: "Future[str]", number: int, is_background: bool) -> None:
        """Wait for so many notes, or for the oldest ones of a long burst."""
        with self._lock:
            is_burst = self._burst.count(time.monotonic()) or is_background
            self._unanswered.append((result, number))
            self._unanswered_notes += number
            while self._unanswered and self._unanswered[0][0].done():
                self._unanswered_notes -= self._unanswered.popleft()[1]
            if is_burst and self._unanswered_notes < UNANSWERED_NOTES:
                return
            awaited = self._unanswered[0][0] if is_burst and self._unanswered else result
        try:
            awaited.result(SEND_SECONDS)
        except TimeoutError:
            self._closed_until = time.monotonic() + BREAKER_SECONDS
        self._burst.resume(time.monotonic())

    # In the loop.

    def _ask(self, topic: str, make: Callable[[str], Question | Inspect]) -> None:
        if self._answer_topic is None:
            self._answer_topic = AnswerTopic(self.answers, self._known_site)
        asking = asyncio.get_running_loop().create_task(
            self._answer_topic.ask(topic, make(self._answer_topic.topic))
        )
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    def _enqueue(self, notes: Sequence[Addressed], joint: Joint) -> None:
        settle = partial(self._settle, joint)
        for topic, note, *origin in notes:
            self._queue.append(topic, note, settle, *origin)
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.get_running_loop().create_task(self._publish_all())

    def _settle(self, joint: Joint, is_sent: bool) -> None:
        joint.settle("" if is_sent else self._failure)

    async def _publish_all(self) -> None:
        is_sent = True
        while self._queue:
            topic, batch = self._queue.next_batch()
            is_sent = is_sent and await self._publish(topic, batch)
            for entry in batch:
                entry.sent(is_sent)

    async def _publish(self, topic: str, batch: list[QueuedNote]) -> bool:
        with begin_fan_out(batch) as span:
            return await self._send(topic, batch, span)

    async def _send(self, topic: str, batch: list[QueuedNote], span: Span) -> bool:
        notes = [entry.note for entry in batch]
        for attempt in (1, 2):  # the first send on a stale connection raises
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    name = await self._known_site()
                    message = envelope(name, topic, "", notes)
                    carry(message, batch, span)
                    await self._backend.group_send(group(name, topic), message)
            except Exception as error:
                self._failure = f"The channel layer failed: {error!r}."
                if attempt == 2 or isinstance(error, TimeoutError):
                    span.end(error)
                    break
            else:
                return True
        self._closed_until = time.monotonic() + BREAKER_SECONDS
        return False

    async def _known_site(self) -> str:
        if time.monotonic() < self._site_until:
            return self._site
        if self._site:  # meanwhile other publishers use the known identity
            self._site_until = time.monotonic() + SITE_SECONDS
        try:
            self._site = await asyncio.to_thread(_find_site)
        except Exception:
            if not self._site:
                raise
        self._site_until = time.monotonic() + SITE_SECONDS
        return self._site


def _parts(notes: Sequence[Addressed]) -> Iterator[list[Addressed]]:
    """Split notes so that the queue does not drop one for another."""
    part: list[Addressed] = []
    size = 0
    for one in notes:
        size += size_of(one[1])
        if part and (len(part) == PART_NOTES or size > PART_BYTES):
            yield part
            part, size = [], size_of(one[1])
        part.append(one)
    yield part


def _find_site() -> str:
    # In a separate thread: the caller may be async code, or inside a failed transaction.
    try:
        return site.identity()
    finally:
        connections.close_all()


publisher = Publisher()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=publisher.reset)
