"""Tell the site's hooks what has happened: one after the other, in the background."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.db import DatabaseError

from ..hooks import StoredMessage, hooks
from ..logs import get_logger
from ..store import occupancy
from ..store.messages.drafts import Stored
from ..store.occupancy import Turnover
from ..store.presence import Announcement, Place
from ..wire.errors import CommandError
from .database.executor import Database
from .servers.exits import contained

__all__ = ["MESSAGES_AT_ONCE", "AfterHooks", "new_message", "tell_now"]

logger = get_logger("realtime.hooks")

MESSAGES_AT_ONCE = 500
WAITING_MESSAGES = 50_000
"""The most messages that wait for a slow hook; more are not told, which is logged."""
MOST_SECONDS = 30.0
"""A hook that takes longer is not waited for."""
CROWDED_SECONDS = 0.1
"""The pause before the next attempt, if too many hooks wait for a thread."""


def new_message(stored: Stored) -> StoredMessage | None:
    """Return what the hooks are told of a stored state; None if it is not a new message."""
    is_new = stored.is_new and stored.state.changed_seq is None and not stored.state.deleted
    return StoredMessage(stored.slug, stored.room_id, stored.state) if is_new else None


def tell_now(messages: list[StoredMessage]) -> None:
    """Tell the hooks of new messages in a process without sockets, in the thread of the caller."""
    hook = hooks().messages_stored
    if not messages:
        return
    try:
        if iscoroutinefunction(hook):
            async_to_sync(_contained)(hook, messages)
        else:
            hook(messages)
    except (
        Exception,
        SystemExit,
    ):  # they are stored: a caller that repeats them must not store them twice
        logger.exception("messages_stored of the site failed")


async def _contained(hook: Callable[..., Any], messages: list[StoredMessage]) -> None:
    await contained(hook(messages))


class AfterHooks:
    """The calls of this process that wait for the hooks of the site."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._messages: deque[StoredMessage] = deque()
        self._turnovers: deque[tuple[str, Turnover]] = deque()
        """Each with "room" or "topic"."""
        self._comparing: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the hooks have been told everything."""
        return self._idle.is_set()

    def add(self, stored: Stored) -> None:
        """Tell the hooks of a committed message, if it is new."""
        if (message := new_message(stored)) is None or not hooks().hears_messages:
            return
        if len(self._messages) >= WAITING_MESSAGES:
            logger.error("messages_stored is too slow: message %s is not told", message.message.id)
            return
        self._messages.append(message)
        self._start()

    def announce(self, announcement: Announcement) -> None:
        """Compare the places that users have joined and left; tell the hooks what has changed."""
        places = {one.place for one in (*announcement.joined, *announcement.left)}
        if places and (hooks().hears_rooms or hooks().hears_topics):
            task = asyncio.get_running_loop().create_task(self.compare(places))
            self._comparing.add(task)
            task.add_done_callback(self._comparing.discard)

    async def compare(self, places: Collection[Place] | None = None) -> None:
        """Compare rooms and topics with their presence, by default all; tell what has changed."""
        rooms = topics = None
        if places is not None:
            rooms = [place for place in places if isinstance(place, int)]
            topics = [place for place in places if isinstance(place, str)]
        if hooks().hears_rooms and rooms != []:
            await self._compare("room", occupancy.settle, rooms)
        if hooks().hears_topics and topics != []:
            await self._compare("topic", occupancy.settle_topics, topics)

    async def _compare(self, kind: str, settle: Callable[[Any], Turnover], places: Any) -> None:
        try:
            turnover = await self._db.pulse(settle, places)
        except DatabaseError as error:
            logger.warning("each %s cannot be compared with its presence: %r", kind, error)
            return
        if turnover.occupied or turnover.vacated:
            self._turnovers.append((kind, turnover))
            self._start()

    async def finish(self, seconds: float) -> None:
        """Tell the hooks what they were not told, at most for so many seconds, then stop.

        The rooms and topics that only this process had users in are vacated now.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.compare()
                await self._idle.wait()
        for task in (*self._comparing, *([self._task] if self._task else [])):
            task.cancel()

    def _start(self) -> None:
        self._idle.clear()
        self._wake.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._turnovers:
                await self._tell_turnover(*self._turnovers.popleft())
            while self._messages:
                number = min(len(self._messages), MESSAGES_AT_ONCE)
                batch = [self._messages.popleft() for _ in range(number)]
                await self._tell("messages_stored", hooks().messages_stored, batch)
            self._idle.set()

    async def _tell_turnover(self, kind: str, turnover: Turnover) -> None:
        rules = hooks()
        is_room = kind == "room"
        occupied = rules.room_occupied if is_room else rules.topic_occupied
        vacated = rules.room_vacated if is_room else rules.topic_vacated
        for name in turnover.occupied:
            await self._tell(f"{kind}_occupied", occupied, name)
        for name in turnover.vacated:
            await self._tell(f"{kind}_vacated", vacated, name)

    async def _tell(self, name: str, hook: Callable[..., Any], *args: Any) -> None:
        try:
            async with asyncio.timeout(MOST_SECONDS):
                if iscoroutinefunction(hook):
                    await contained(hook(*args))
                else:
                    await self._call(hook, *args)
        except Exception:
            logger.exception("%s of the site failed", name)

    async def _call(self, hook: Callable[..., Any], *args: Any) -> None:
        while True:
            try:
                future = self._db.hook(hook, *args, owner=AfterHooks)
            except CommandError:  # too many hooks wait for a thread
                await asyncio.sleep(CROWDED_SECONDS)
            else:
                await asyncio.wrap_future(future)
                return
