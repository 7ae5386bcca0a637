"""Export the data of a user, or the messages of a room, as dicts of JSON values.

    for row in export_user(user):
        file.write(json.dumps(row) + "\\n")

Rows are read in pages, so that an export of any size takes little memory. A message has the fields
that `realtime_import` reads. Deleted messages have no text, and are left out.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from .models import (
    Block,
    Connection,
    Departure,
    Entry,
    LastAddress,
    Membership,
    Message,
    Report,
    Room,
    Sanction,
    Trace,
)
from .store.accounts.users import any_user, key_of, pk_of
from .store.database.alias import database

__all__ = ["export_room", "export_user"]

PAGE = 500
Row = dict[str, Any]


def export_user(user: Any) -> Iterator[Row]:
    """Yield all that the package stores about a user or guest; each row has a `kind`.

    `user` is a user, its primary key, or a `user_id`; the account may be deleted already. Messages
    and reports that other users wrote are left out. Raises `CommandError` with `unknown_user`
    for an invalid `user_id`.
    """
    key = key_of(user)
    pk = pk_of(key)
    account = None if pk is None else any_user(pk)
    name = "" if account is None else account.get_username()
    yield {"kind": "user", "user_id": key, "username": name}
    yield from _messages(Message.objects.filter(sender=key))
    yield from _memberships(pk)
    yield from _moderation(key, pk)
    for entry in _pages(Entry.objects.filter(sender=key).select_related("log")):
        yield {
            "kind": "entry",
            "topic": entry.log.name,
            "event": entry.type,
            "key": entry.key,
            "data": entry.data,
            "created_at": entry.created_at.isoformat(),
        }


def export_room(room: Room) -> Iterator[Row]:
    """Yield the messages of a room by their positions."""
    yield from _messages(Message.objects.filter(room=room), "seq")


def _messages(rows: QuerySet[Message], column: str = "pk") -> Iterator[Row]:
    for one in _pages(rows.filter(deleted_at=None).select_related("room"), column):
        row = {
            "kind": "message",
            "id": str(one.pk),
            "room": one.room.slug,
            "sender": one.sender,
            "username": one.username,
            "content": one.content,
            "created_at": one.created_at.isoformat(),
        }
        if one.data is not None:
            row["data"] = one.data
        if one.edited_at is not None:
            row["edited_at"] = one.edited_at.isoformat()
        yield row


def _memberships(pk: Any) -> Iterator[Row]:
    if pk is None:
        return
    for one in _pages(Membership.objects.filter(user=pk).select_related("room")):
        yield {
            "kind": "membership",
            "room": one.room.slug,
            "role": one.role,
            "read_seq": one.read_seq,
            "joined_at": one.joined_at.isoformat(),
        }
    for left in _pages(Departure.objects.filter(user=pk).select_related("room")):
        yield {"kind": "departure", "room": left.room.slug, "left_at": left.left_at.isoformat()}
    for block in _pages(Block.objects.filter(user=pk)):
        yield {"kind": "block", "user_id": block.blocked}


def _moderation(key: str, pk: Any) -> Iterator[Row]:
    for one in _pages(Sanction.objects.filter(user_key=key).select_related("room")):
        yield {
            "kind": "sanction",
            "sanction": one.kind,
            "room": None if one.room is None else one.room.slug,
            "address": one.address,
            "reason": one.reason,
            "created_at": one.created_at.isoformat(),
            "ends_at": None if one.ends_at is None else one.ends_at.isoformat(),
        }
    for report in _pages(Report.objects.filter(reporter=key)):
        yield {
            "kind": "report",
            "message": str(report.message_id),
            "reason": report.reason,
            "created_at": report.created_at.isoformat(),
        }
    for trace in _pages(Trace.objects.filter(subject=key)):
        started_at, ends_at = trace.started_at.isoformat(), trace.ends_at.isoformat()
        yield {"kind": "trace", "started_at": started_at, "ends_at": ends_at}
    for address in LastAddress.objects.using(database()).filter(user_key=key):
        yield {"kind": "address", "address": address.address}
    for client in _pages(Connection.objects.filter(user_key=key)):
        connected_at = client.connected_at.isoformat()
        yield {"kind": "connection", "address": client.address, "connected_at": connected_at}


def _pages(rows: QuerySet[Any], column: str = "pk") -> Iterator[Any]:
    rows, last, has_more = rows.using(database()).order_by(column), None, True
    while has_more:
        later = rows if last is None else rows.filter(**{f"{column}__gt": last})
        page = list(later[:PAGE])
        yield from page
        has_more = len(page) == PAGE
        last = getattr(page[-1], column) if page else last
