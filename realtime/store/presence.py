"""Presence: leases of nodes, with the connections and presences that belong to them.

A presence is a connection in a place: a room, or a topic that shows who is subscribed.
Leases are compared with the clock of the database only, so clock skew between hosts does no harm.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import BooleanField, Count, ExpressionWrapper, Min, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from ..conf import config
from ..models import Connection, LastAddress, Node, Presence
from ..wire.events import Member
from .accounts.addresses import network_of
from .accounts.identity import GUEST
from .database.alias import database

__all__ = [
    "IS_ALIVE",
    "Announcement",
    "Batch",
    "LiveNode",
    "OtherNode",
    "Person",
    "Place",
    "apply",
    "counts",
    "delete_node",
    "delete_old_addresses",
    "expired_nodes",
    "is_kept",
    "last_addresses",
    "live_connections",
    "members",
    "new_presence",
    "other_nodes",
    "present",
    "reap",
    "rebuild",
    "release",
    "renew",
]


Place = int | str
"""The primary key of a room, or the name of a topic."""
ALIVE = Q(connection__node__reaper="", connection__node__expires_at__gt=Now())
"""The presences of nodes with a valid lease."""
IS_ALIVE = ExpressionWrapper(Q(reaper="", expires_at__gt=Now()), BooleanField())
"""Whether the lease of a node is valid, as a column."""


class LiveNode(NamedTuple):
    """This server process."""

    id: str
    hostname: str
    pid: int
    lease_seconds: float
    birth: str = ""
    """As `machine.birth` returns it."""


class OtherNode(NamedTuple):
    """A server process as stored in the tables."""

    id: str
    hostname: str
    pid: int
    birth: str
    is_alive: bool


class Person(NamedTuple):
    """A user in a place, with the connection that put the user there."""

    place: Place
    user_key: str
    username: str
    connection: str = ""


@dataclass(slots=True)
class Batch:
    """The changes since the last batch; a row and its removal are never in the same batch."""

    node: str = ""
    """The node that writes it. It is alive, even if its lease has lapsed until it is renewed."""
    connections: dict[str, Connection] = field(default_factory=dict)
    presences: dict[tuple[str, Place], Presence] = field(default_factory=dict)
    """By connection id and place, like `left`."""
    closed: list[str] = field(default_factory=list)
    left: list[tuple[str, Place]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.connections or self.presences or self.closed or self.left)


class Announcement(NamedTuple):
    """Users who joined and left places, to be announced after the commit."""

    joined: list[Person]
    left: list[Person]


def renew(node: LiveNode) -> bool:
    """Renew the lease of a node; return False if it was reaped and must be rebuilt."""
    return bool(_nodes().filter(pk=node.id, reaper="").update(expires_at=_lease(node)))


def rebuild(
    node: LiveNode,
    connections: Sequence[Connection],
    presences: Sequence[Presence],
    drain_seconds: int | None = None,
) -> Announcement:
    """Replace a node and all its rows, whatever was stored before.

    `drain_seconds` is for a node whose row was deleted while it drained.
    """
    with transaction.atomic(using=database()):
        # The update waits for a reaper that is removing the row, and then matches none.
        if not _nodes().filter(pk=node.id).update(expires_at=_lease(node), reaper=""):
            _nodes().create(
                id=node.id,
                hostname=node.hostname,
                pid=node.pid,
                birth=node.birth,
                expires_at=_lease(node),
                drain_seconds=drain_seconds,
            )
        gone = _people(_presences().filter(connection__node=node.id))
        _presences().filter(connection__node=node.id).delete()
        _connections().filter(node=node.id).delete()
        _connections().bulk_create(connections)
        _presences().bulk_create(presences)
    return Announcement(_first_of(presences), _without_any(gone))


def apply(batch: Batch) -> Announcement:
    """Write a batch in one transaction; return the users who joined and left by it.

    Raises `IntegrityError` if the node was reaped; then nothing is written.
    """
    with transaction.atomic(using=database()):
        gone = _remove(batch)
        _connections().bulk_create(
            batch.connections.values(),
            update_conflicts=True,  # a guest who has taken another name
            unique_fields=["id"],
            update_fields=["user", "user_key", "username", "look"],
        )
        presences = list(batch.presences.values())
        _presences().bulk_create(presences)
    return Announcement(_first_of(presences, batch.node), _without_any(gone, batch.node))


def expired_nodes(me: str) -> list[str]:
    """Return the other nodes whose lease has expired."""
    return list(_nodes().filter(expires_at__lt=Now()).exclude(pk=me).values_list("pk", flat=True))


def other_nodes(me: str) -> list[OtherNode]:
    """Return all other nodes, and whether the lease of each is valid."""
    is_alive = Q(expires_at__gte=Now(), reaper="")
    rows = _nodes().exclude(pk=me).annotate(is_alive=ExpressionWrapper(is_alive, BooleanField()))
    return [OtherNode(*row) for row in rows.values_list(*OtherNode._fields)]


def reap(node_id: str, me: LiveNode, *, even_if_alive: bool = False) -> Announcement | None:
    """Claim a node whose process has ended; return None if another process was faster.

    With `even_if_alive` the lease may still be valid: the process must have ended for certain.
    Exactly one caller succeeds. It announces the users who left, then calls `delete_node`. If it
    dies in between, the claim expires and another process takes over.
    """
    claim = _nodes().filter(pk=node_id)
    is_over = Q(expires_at__lt=Now())
    claim = claim.filter(is_over | Q(reaper="") if even_if_alive else is_over)
    if not claim.update(expires_at=_lease(me), reaper=me.id):
        return None
    rows = _presences().filter(connection__node=node_id)
    return Announcement([], _without_any(_people(rows), exclude=Q(connection__node=node_id)))


def delete_node(node_id: str, me: LiveNode) -> None:
    """Delete a node that `reap` has claimed, with all its rows."""
    with transaction.atomic(using=database()):
        # An update, to lock the row: the node may return at any moment.
        if _nodes().filter(pk=node_id, reaper=me.id).update(reaper=me.id):
            _store_addresses(_connections().filter(node=node_id))
            _presences().filter(connection__node=node_id).delete()
            _connections().filter(node=node_id).delete()
            _nodes().filter(pk=node_id).delete()


def release(node: LiveNode) -> Announcement:
    """Delete a node that stops, with its rows; return the users who left with it."""
    with transaction.atomic(using=database()):
        rows = _presences().filter(connection__node=node.id)
        people = _people(rows)
        rows.delete()
        _store_addresses(_connections().filter(node=node.id))
        _connections().filter(node=node.id).delete()
        _nodes().filter(pk=node.id).delete()
    return Announcement([], _without_any(people))


def new_presence(connection: Connection, place: Place) -> Presence:
    """Return the row of a connection that is in a place."""
    return Presence(
        connection_id=connection.id,
        user_key=connection.user_key,
        username=connection.username,
        **_columns(place),
    )


def members(place: Place, limit: int) -> tuple[list[Member], int]:
    """Return the users in a place with their numbers of connections, and the number of users.

    Above `limit` users, only the number is returned.
    """
    found = _members(_users(place)[: limit + 1])
    if len(found) > limit:
        return [], counts([place]).get(place, 0)
    return found, len(found)


def present(place: Place) -> list[Member]:
    """Return all users in a place, by name, with their numbers of connections."""
    return _members(_users(place))


def counts(places: Iterable[Place]) -> dict[Place, int]:
    """Return the number of users in each place, with one query for rooms and one for topics."""
    found: dict[Place, int] = {}
    for column, some in _by_column(places).items():
        rows = (
            _live_presences()
            .filter(**{f"{column}__in": some})
            .values(column)
            .annotate(number=Count("user_key", distinct=True))
        )
        found |= {row[column]: row["number"] for row in rows}
    return found


def live_connections() -> QuerySet[Connection]:
    """Return the connections whose node is alive."""
    return _connections().filter(node__reaper="", node__expires_at__gt=Now())


def _remove(batch: Batch) -> set[Person]:
    gone: set[Person] = set()
    if batch.closed:
        _store_addresses(_connections().filter(pk__in=batch.closed))
        rows = _presences().filter(connection__in=batch.closed)
        gone |= _people(rows)
        rows.delete()
        _connections().filter(pk__in=batch.closed).delete()
    by_place: dict[Place, list[str]] = {}
    for connection, place in batch.left:
        by_place.setdefault(place, []).append(connection)
    for place, connections in by_place.items():
        rows = _presences().filter(**_columns(place), connection__in=connections)
        gone |= _people(rows)
        rows.delete()
    return gone


def last_addresses(user_key: str) -> list[str]:
    """Return the address of a guest who has left recently; at most one."""
    rows = LastAddress.objects.using(database()).filter(is_kept(), pk=user_key)
    return list(rows.values_list("address", flat=True))


def is_kept() -> Q:
    """Return the condition for last addresses that may still be used."""
    return Q(left_at__gt=_kept_since())


def delete_old_addresses() -> None:
    """Delete the addresses of guests who left before `LAST_ADDRESS_SECONDS`."""
    LastAddress.objects.using(database()).filter(left_at__lte=_kept_since()).delete()


def _kept_since() -> datetime:
    return timezone.now() - timedelta(seconds=config().last_address_seconds)


def _store_addresses(closed: QuerySet[Connection]) -> None:
    if not config().last_address_seconds:
        return
    guests = closed.filter(user_key__startswith=GUEST).exclude(address="")
    found = {
        user_key: LastAddress(user_key=user_key, address=address, left_at=timezone.now())
        for user_key, address in guests.values_list("user_key", "address")
        if network_of(address)
    }
    LastAddress.objects.using(database()).bulk_create(
        [found[user_key] for user_key in sorted(found)],
        update_conflicts=True,
        unique_fields=["user_key"],
        update_fields=["address", "left_at"],
    )


def _first_of(presences: Sequence[Presence], node: str = "") -> list[Person]:
    """Return those without an earlier row: only these users have joined."""
    first: dict[tuple[Place, str], int] = {}
    for rows, column in _of_users(((row.place, row.user_key) for row in presences), node):
        found = rows.values_list(column, "user_key").annotate(first=Min("pk"))
        first |= {(place, user_key): pk for place, user_key, pk in found}
    return [
        Person(row.place, row.user_key, row.username, row.connection_id)
        for row in presences
        if first.get((row.place, row.user_key)) == row.pk
    ]


def _without_any(people: set[Person], node: str = "", *, exclude: Q | None = None) -> list[Person]:
    """Return those without any row left."""
    here: set[tuple[Place, str]] = set()
    for rows, column in _of_users((person[:2] for person in people), node):
        left = rows if exclude is None else rows.exclude(exclude)
        here.update(left.values_list(column, "user_key").distinct())
    return [person for person in people if person[:2] not in here]


def _of_users(
    users: Iterable[tuple[Place, str]], node: str
) -> Iterator[tuple[QuerySet[Presence], str]]:
    """Return the rows of these users in these places, and the column of the place.

    Those of `node` count also while its lease has lapsed.
    """
    pairs = list(users)
    keys = {user_key for _, user_key in pairs}
    for column, places in _by_column(place for place, _ in pairs).items():
        rows = _presences().filter(ALIVE | Q(connection__node=node)) if node else _live_presences()
        yield rows.filter(**{f"{column}__in": places, "user_key__in": keys}), column


def _people(rows: QuerySet[Presence]) -> set[Person]:
    return {
        Person(topic if room_id is None else room_id, user_key, username)
        for room_id, topic, user_key, username in rows.values_list(
            "room_id", "topic", "user_key", "username"
        )
    }


def _users(place: Place) -> QuerySet[Presence, Any]:
    return (
        _live_presences()
        .filter(**_columns(place))
        .values("user_key")
        .annotate(name=Min("username"), number=Count("pk"))
        .order_by("name", "user_key")
    )


def _members(rows: QuerySet[Presence, Any]) -> list[Member]:
    return [
        Member(user_id=row["user_key"], username=row["name"], connections=row["number"])
        for row in rows
    ]


def _columns(place: Place) -> dict[str, Any]:
    """Return the column that names a place, with its value."""
    return {_column(place): place}


def _column(place: Place) -> str:
    return "room_id" if isinstance(place, int) else "topic"


def _by_column(places: Iterable[Place]) -> dict[str, set[Place]]:
    found: dict[str, set[Place]] = {}
    for place in places:
        found.setdefault(_column(place), set()).add(place)
    return found


def _lease(node: LiveNode) -> Any:
    return Now() + timedelta(seconds=node.lease_seconds)


def _nodes() -> QuerySet[Node]:
    return Node.objects.using(database())


def _connections() -> QuerySet[Connection]:
    return Connection.objects.using(database())


def _presences() -> QuerySet[Presence]:
    return Presence.objects.using(database())


def _live_presences() -> QuerySet[Presence]:
    return _presences().filter(ALIVE)
