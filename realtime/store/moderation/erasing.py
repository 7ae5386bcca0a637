"""Erase the texts and names of earlier messages, one room and one chunk at a time.

Up to `MOST_EVENTS` messages in a room take a position each, so that clients get an event for each.
More of them take none: the room's log gets a new epoch with the last one, and all clients rejoin.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from ...models import (
    Block,
    Departure,
    LastAddress,
    Log,
    Membership,
    Message,
    Report,
    Room,
    Sanction,
    Trace,
)
from ...models.rooms import new_epoch
from ...signals import messages_stored
from ..accounts.identity import GUEST
from ..database.alias import database
from ..messages import changes, nonces
from ..messages.drafts import Stored
from ..messages.history import state_of
from ..messages.logs import lock_logs
from .sanctions import in_force

__all__ = [
    "due_guests",
    "due_texts",
    "erase_guests",
    "erase_texts",
    "erase_traces",
    "held_texts",
    "rename",
    "scrub_nonces",
]

CHUNK = 500
MOST_EVENTS = 1000
FIELDS = [*changes.EMPTIED, "username", "changed_seq"]

Erased = Iterator[int]
"""The number of changed messages in each chunk; a chunk is written when the iterator advances."""


def erase_texts(sender: str, name: str) -> Erased:
    """Turn all messages of a sender into tombstones, with another name."""
    mine = Q(sender=sender)
    return _rewrite(mine & (Q(deleted_at=None) | ~Q(username=name)), name, True, mine)


def rename(sender: str, name: str) -> Erased:
    """Change the name on all messages of a sender."""
    mine = Q(sender=sender)
    return _rewrite(mine & ~Q(username=name), name, False, mine)


def erase_guests(before: datetime, name: str) -> Erased:
    """Turn the messages that guests wrote before a time into tombstones."""
    condition = _of_guests(before, name)
    return _rewrite(condition, name, True, condition)


def due_guests(before: datetime, name: str) -> int:
    """Return how many messages `erase_guests` would change."""
    return _number(_of_guests(before, name), is_held=False)


def due_texts(sender: str) -> int:
    """Return how many messages of a sender have a text that can be erased."""
    return _number(Q(sender=sender, deleted_at=None), is_held=False)


def held_texts(sender: str) -> int:
    """Return how many messages of a sender cannot be erased, because of a legal hold."""
    return _number(Q(sender=sender, deleted_at=None), is_held=True)


def _number(condition: Q, *, is_held: bool) -> int:
    rows = Message.objects.using(database()).filter(condition, room__is_held=is_held)
    return rows.count()


def _of_guests(before: datetime, name: str) -> Q:
    old = Q(sender__startswith=GUEST, created_at__lt=before)
    return old & (Q(deleted_at=None) | ~Q(username=name))


def erase_traces(sender: str, user_pk: Any, name: str) -> None:
    """Delete a user's memberships, read marks, blocks and departures, and erase the name elsewhere.

    Sanctions in force stay, without the name: erasing must not lift a ban.
    """
    with transaction.atomic(using=database()):
        Report.objects.using(database()).filter(reporter=sender).update(
            username=name, reason="", address=""
        )
        sanctions = Sanction.objects.using(database()).filter(user_key=sender)
        sanctions.exclude(in_force()).delete()
        sanctions.update(username="")
        LastAddress.objects.using(database()).filter(user_key=sender).delete()
        Trace.objects.using(database()).filter(subject=sender).delete()
        if user_pk is None:
            return
        Block.objects.using(database()).filter(user=user_pk).delete()
        Departure.objects.using(database()).filter(user=user_pk).delete()
        for membership in Membership.objects.using(database()).filter(user=user_pk):
            membership.delete()


def scrub_nonces() -> Iterator[int]:
    """Replace the nonces of messages that an earlier release has deleted; yield how many."""
    rows = Message.objects.using(database()).exclude(deleted_at=None)
    last = 0
    while chunk := list(
        rows.filter(pk__gt=last).exclude(nonce__startswith="~").order_by("pk")[:CHUNK]
    ):
        last = chunk[-1].pk
        for message in chunk:
            message.nonce = nonces.spent(message.room_id, message.sender, message.nonce)
        Message.objects.using(database()).bulk_update(chunk, ["nonce"])
        yield len(chunk)


def _rewrite(condition: Q, name: str, is_erased: bool, all_of_them: Q) -> Erased:
    """Rewrite messages; the number of `all_of_them` decides whether each one gets an event.

    So a second run after an interruption, which finds fewer, decides as the first run did.
    """
    mine = Message.objects.using(database()).filter(condition, room=OuterRef("pk"))
    rooms = Room.objects.using(database()).filter(Exists(mine)).order_by("pk")
    if is_erased:
        rooms = rooms.filter(is_held=False)
    for room_id, slug in list(rooms.values_list("pk", "slug")):
        rows = Message.objects.using(database()).filter(room=room_id)
        has_events, last = rows.filter(all_of_them).count() <= MOST_EVENTS, 0
        # From the last key on, so that no chunk reads finished rows again while the room is locked.
        while found := _rewrite_chunk(
            (room_id, slug), rows.filter(condition, pk__gt=last), name, is_erased, has_events
        ):
            last = found[-1].pk
            yield len(found)


def _rewrite_chunk(
    room: tuple[int, str], rows: QuerySet[Message], name: str, is_erased: bool, has_events: bool
) -> list[Message]:
    room_id, slug = room
    with transaction.atomic(using=database()):
        end = lock_logs(database(), {room_id})[room_id]
        chunk = list(rows.order_by("pk")[: CHUNK + 1])
        is_last = len(chunk) <= CHUNK
        chunk = chunk[:CHUNK]
        for number, message in enumerate(chunk, 1):
            message.username = name
            if is_erased:
                changes.empty(message)
            if has_events:
                message.changed_seq = end.last_seq + number
        Message.objects.using(database()).bulk_update(chunk, FIELDS, batch_size=100)
        _move(room_id, end.last_seq + len(chunk) if has_events else end.last_seq, is_erased)
        if chunk and is_last and not has_events:
            Log.objects.using(database()).filter(room=room_id).update(epoch=new_epoch())
        if has_events:
            stored = [Stored(room_id, slug, state_of(one), end.epoch, True) for one in chunk]
            messages_stored.send(None, stored=stored)
    return chunk


def _move(room_id: int, last_seq: int, is_erased: bool) -> None:
    more = {"deleted_at": timezone.now()} if is_erased else {}
    Log.objects.using(database()).filter(room=room_id).update(last_seq=last_seq, **more)
