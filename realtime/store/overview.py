"""Numbers of the whole site, from the tables alone: they need no server process to answer."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Sum

from ..models import Connection, Log, Membership, Node, Pending, Presence, Room
from .database.alias import database
from .presence import IS_ALIVE, live_connections

__all__ = ["NodeRow", "Overview", "member_counts", "overview"]

BUSIEST = 10


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A server process as its lease describes it."""

    id: str
    host: str
    pid: int
    started_at: datetime
    is_alive: bool
    connections: int
    drain_seconds: int | None = None
    """Over how many seconds it moves its clients to other processes; None while it serves."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The site at one moment."""

    nodes: list[NodeRow]
    connections: int
    users: int
    rooms: int
    events: int
    """The positions of all logs together: it rises with each message, change and event."""
    pending: int
    oldest_pending: datetime | None
    busiest: dict[str, int] = field(default_factory=dict)
    """The rooms with the most connections."""


def overview() -> Overview:
    """Return the numbers of the site, with the same number of queries whatever its size is."""
    alias = database()
    connections: Any = Connection.objects.using(alias).filter(pk__in=live_connections())
    numbers = connections.aggregate(all=Count("pk"), users=Count("user_key", distinct=True))
    waiting = Pending.objects.using(alias).aggregate(number=Count("pk"), oldest=Min("created_at"))
    events = Log.objects.using(alias).aggregate(all=Sum("last_seq"))["all"]
    return Overview(
        nodes=_nodes(alias),
        connections=numbers["all"],
        users=numbers["users"],
        rooms=Room.objects.using(alias).count(),
        events=events or 0,
        pending=waiting["number"],
        oldest_pending=waiting["oldest"],
        busiest=_busiest(alias),
    )


def member_counts(rooms: list[str]) -> dict[str, int]:
    """Return the number of members by room; a room without members is not in it."""
    members: Any = Membership.objects.using(database()).filter(room__slug__in=rooms)
    rows = members.filter(is_request=False).values("room__slug").annotate(number=Count("pk"))
    return {row["room__slug"]: row["number"] for row in rows.order_by()}


def _nodes(alias: str) -> list[NodeRow]:
    nodes = Node.objects.using(alias).annotate(is_alive=IS_ALIVE, number=Count("connections"))
    return [
        NodeRow(
            one.pk,
            one.hostname,
            one.pid,
            one.started_at,
            one.is_alive,
            one.number,
            one.drain_seconds,
        )
        for one in nodes.order_by("started_at", "pk")
    ]


def _busiest(alias: str) -> dict[str, int]:
    here: Any = Presence.objects.using(alias).filter(topic=None)
    rows = here.filter(connection__in=live_connections()).values("room__slug")
    counted = rows.annotate(number=Count("pk")).order_by("-number", "room__slug")
    return {row["room__slug"]: row["number"] for row in counted[:BUSIEST]}
