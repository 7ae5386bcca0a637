"""A panel of Django Debug Toolbar: the topics of a page, and what its request has published."""

from collections.abc import Awaitable, Iterable
from datetime import datetime
from inspect import isawaitable
from typing import Any

from asgiref.sync import sync_to_async
from debug_toolbar.panels import Panel
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .logs import get_logger
from .models import Log, Pending, Room
from .publications import Publication, Recording, State, recording
from .store.database.alias import database

__all__ = ["RealtimePanel"]

logger = get_logger("realtime.topics")

WORDS = {
    State.COMMITTED: "published",
    State.OPEN: "queued: its transaction is open",
    State.ROLLED_BACK: "rolled back",
}
NUMBERED_LATER = "queued: it has no position yet"


class RealtimePanel(Panel):
    """Shows the topics that a page subscribes to, and what was published, queued, rolled back."""

    is_async = True
    title = "Realtime"
    template = "realtime/debug_toolbar.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stats: dict[str, Any] = {}

    @property
    def nav_subtitle(self) -> str:
        """A summary for the side bar."""
        stats = self.get_stats()
        topics, rows = stats.get("topics", ()), stats.get("publications", ())
        queued = sum(one["is_queued"] for one in rows)
        lost = sum(one["is_rolled_back"] for one in rows)
        parts = [_count(len(topics), "topic"), f"{len(rows) - queued - lost} published"]
        parts += [f"{queued} queued"] if queued else []
        return ", ".join([*parts, f"{lost} rolled back"] if lost else parts)

    def process_request(self, request: HttpRequest) -> Any:
        """Record what the request publishes."""
        found = Recording()
        with recording(found):
            response = super().process_request(request)
        if isawaitable(response):
            return self._await(response, found)
        self._stats = _read(found)
        return response

    async def _await(self, response: Awaitable[HttpResponse], found: Recording) -> HttpResponse:
        with recording(found):
            answer = await response
        self._stats = await sync_to_async(_read)(found)
        return answer

    def generate_stats(self, request: HttpRequest, response: HttpResponse) -> None:
        """Hand over what the panel shows."""
        self.record_stats(self._stats)


def _read(found: Recording) -> dict[str, Any]:
    """Return what was recorded as JSON has it, with the positions that the database has now."""
    topics, rooms = set(found.topics), set[str]()
    for one in found.publications:
        (rooms if one.place == "room" else topics).add(one.name)
    try:
        positions, waiting = _positions(topics), _waiting(topics, rooms)
    except DatabaseError as error:  # of a transaction that has failed and is still open
        logger.warning("the panel of the debug toolbar shows no positions: %r", error)
        positions, waiting = {}, set()
    return {
        "topics": [
            {"name": name, "since": _time(since), "permits": permits, "seq": positions.get(name, 0)}
            for name, (since, permits) in found.topics.items()
        ],
        "publications": [_row(one, waiting) for one in found.publications],
    }


def _row(one: Publication, waiting: set[tuple[str, str]]) -> dict[str, Any]:
    state, is_waiting = one.state, (one.place, one.name) in waiting
    is_queued = state is State.OPEN or (state is State.COMMITTED and is_waiting)
    return {
        "place": one.place,
        "name": one.name,
        "events": ", ".join(dict.fromkeys(one.events)),
        "number": len(one.events),
        "state": NUMBERED_LATER if is_queued and state is State.COMMITTED else WORDS[state],
        "is_queued": is_queued,
        "is_rolled_back": state is State.ROLLED_BACK,
    }


def _positions(topics: Iterable[str]) -> dict[str, int]:
    if not topics:
        return {}
    logs = Log.objects.using(database()).filter(name__in=topics)
    return {str(name): seq for name, seq in logs.values_list("name", "last_seq")}


def _waiting(topics: Iterable[str], rooms: Iterable[str]) -> set[tuple[str, str]]:
    """Return the topics and rooms in which something has no position yet."""
    pending = Pending.objects.using(database())
    found = set[tuple[str, str]]()
    if topics:
        names = pending.filter(topic__in=topics).values_list("topic", flat=True)
        found |= {("topic", str(name)) for name in names}
    if rooms:
        slugs = dict(
            Room.objects.using(database()).filter(slug__in=rooms).values_list("pk", "slug")
        )
        keys = pending.filter(room_id__in=slugs).values_list("room_id", flat=True)
        found |= {("room", slugs[key]) for key in keys if key is not None}
    return found


def _time(since: float) -> str:
    moment = datetime.fromtimestamp(since, timezone.get_current_timezone())
    return moment.isoformat(sep=" ", timespec="milliseconds")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
