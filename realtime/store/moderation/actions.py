"""Moderation: give, change and lift sanctions, kick members, delete messages.

The rights of the users change with the rows (`rooms/rights.py`)."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...models import Connection, Membership, Message, Room, Sanction
from ...policy import policy
from ...signals import messages_stored
from ...wire.commands import REASON_CHARACTERS
from ...wire.errors import CommandError, ErrorCode
from .. import presence
from ..accounts.addresses import network_of
from ..accounts.identity import GUEST, Identity
from ..accounts.users import any_user, canonical, is_good, pk_of, unknown_user, users_by_pk
from ..database.alias import database
from ..messages import changes
from ..messages.drafts import Stored
from . import audit, names
from .reports import dismiss, report, resolve, unknown_message
from .sanctions import is_in_force

__all__ = [
    "addresses_of",
    "apply_deletion",
    "check_rank",
    "delete",
    "delete_ended",
    "dismiss",
    "ended_sanctions",
    "find_user",
    "is_repeat",
    "kick",
    "lift",
    "outlasts",
    "rank_of",
    "remove_member",
    "replace",
    "report",
    "resolve",
    "revoke",
    "sanction",
    "target",
    "terms",
    "text_of",
    "unknown_message",
    "user_pk_of",
]


ENDED_AT_ONCE = 1000
REPEAT_SECONDS, REPEAT_SHARE = 60, 0.1
"""A repeat whose end moves by less than both, seconds and share of length, is not written."""


def sanction(
    kind: str,
    room: Room | None,
    user_key: str = "",
    addresses: Iterable[str] = (),
    *,
    seconds: float | None = None,
    reason: str = "",
    by: Identity | None = None,
    shortens: bool = True,
    rank: int | None = None,
) -> list[Sanction]:
    """Ban or mute a user, also by addresses; an existing sanction is replaced.

    Without a room it applies site-wide, without `seconds` for good. Without `shortens`, a longer
    sanction stays. A repeat that changes hardly anything is not written. Raises `CommandError`:
    `unknown_user` for a user who does not exist, and with `rank` `permission_denied` if a sanction
    of a higher rank would be replaced.
    """
    fields: dict[str, Any] = {
        "username": _name_of(user_key),
        **terms(room, seconds=seconds, reason=reason, by=by, rank=rank),
    }
    made = []
    with transaction.atomic(using=database()):
        for address in sorted(set(addresses) - {""}) or [""]:  # in the same order in all processes
            # Locked, so that a concurrent longer sanction is not overlooked.
            one, is_new = (
                _sanctions()
                .select_for_update()
                .get_or_create(fields, kind=kind, room=room, user_key=user_key, address=address)
            )
            if not is_new:
                if not shortens and outlasts(one, fields["ends_at"]):
                    continue
                if is_repeat(one, fields, seconds):
                    made.append(one)
                    continue
                if shortens:
                    _check_rank_of([one], rank)
                one.save(update_fields=replace(one, fields))
            audit.record(by, one, audit.ADDITION if is_new else audit.CHANGE, text_of(one))
            made.append(one)
    return made


def terms(
    room: Room | None,
    *,
    seconds: float | None,
    reason: str,
    by: Identity | None,
    rank: int | None = None,
) -> dict[str, Any]:
    """Return the fields of a new sanction that do not depend on the user."""
    return {
        "reason": reason[:REASON_CHARACTERS],
        "by": None if by is None else by.user,
        "rank": rank_of(by, room) if rank is None else rank,
        "created_at": timezone.now(),
        "ends_at": None if seconds is None else timezone.now() + timedelta(seconds=seconds),
    }


def lift(
    kind: str,
    room: Room | None,
    user_key: str = "",
    address: str = "",
    by: Identity | None = None,
    *,
    rank: int | None = None,
) -> int:
    """Lift the bans or mutes of a user, or of an address; return how many there were.

    With `rank`, one of a higher rank is not lifted: raises `CommandError`, `permission_denied`.
    """
    target_fields = {"user_key": user_key} if user_key else {"address": address}
    with transaction.atomic(using=database()):
        rows = list(_sanctions().select_for_update().filter(kind=kind, room=room, **target_fields))
        _check_rank_of(rows, rank)
        return revoke(rows, by)


def rank_of(by: Identity | None, room: Room | None) -> int:
    """Return the rank of a moderator in a room; the site's own code and staff rank highest."""
    if by is None or by.is_guest or room is None or _is_staff(by):
        return Sanction.Rank.SITE
    rules = policy()
    membership = Membership.objects.using(database()).filter(room=room, user=by.user_pk).first()
    if rules.may_manage(by, room, membership):
        return Sanction.Rank.OWNER
    is_moderator = rules.may_moderate(by, room, membership)
    return Sanction.Rank.MODERATOR if is_moderator else Sanction.Rank.SITE


def revoke(sanctions: Iterable[Sanction], by: Identity | None = None) -> int:
    """Lift exactly these sanctions; return how many there were."""
    with transaction.atomic(using=database()):
        rows = list(sanctions)
        for one in rows:
            audit.record(by, one, audit.DELETION, f"lifted: {text_of(one)}")
            one.delete()
    return len(rows)


def remove_member(room: Room, user_key: str) -> None:
    """Delete the membership of a user in a room."""
    if (pk := user_pk_of(user_key)) is not None:
        for one in Membership.objects.using(database()).filter(room=room, user=pk):
            one.delete()


def kick(
    room: Room | None,
    user_key: str,
    *,
    reason: str = "",
    by: Identity | None = None,
    rank: int | None = None,
) -> None:
    """Delete the membership of a user in a room, and ban the user for `KICK_SECONDS`.

    A longer ban stays as it is. Raises as `sanction` does.
    """
    seconds = config().kick_seconds
    with transaction.atomic(using=database()):
        if room is not None:
            remove_member(room, user_key)
        sanction(
            Sanction.Kind.BAN.value,
            room,
            user_key,
            seconds=seconds,
            reason=reason,
            by=by,
            shortens=False,
            rank=rank,
        )


def delete(message_id: int, by: Identity | None = None) -> Stored:
    """Delete a message's text; raises `CommandError` with `unknown_message`.

    It runs in the caller's thread and not in the writer: a rollback of the caller must undo it, the
    caller may block the event loop, and most processes that call this serve no sockets. Meanwhile
    the writer waits for the lock of the room, for some milliseconds.
    """
    with transaction.atomic(using=database()):
        stored = apply_deletion(message_id, by)
        if stored.is_new:
            messages_stored.send(None, stored=[stored])
    return stored


def apply_deletion(message_id: int, by: Identity | None = None) -> Stored:
    """Delete a message's text without a signal: the writer broadcasts what it has committed.

    Deleting again changes nothing. Raises `CommandError` with `unknown_message`.
    """
    # No savepoint: both callers are in a transaction that they can undo, and its two statements
    # would prolong the lock of the room.
    with transaction.atomic(using=database(), savepoint=False):
        try:
            message, end = changes.lock_message(message_id)
        except Message.DoesNotExist:
            raise unknown_message() from None
        stored = changes.delete_locked(message, end)
        if stored.is_new:
            audit.record(by, message, audit.DELETION, "deleted the text")
            resolve([message_id], by)
    return stored


def check_rank(room: Room, may_manage: bool, user_key: str) -> None:
    """Refuse an action against a user of the same or a higher rank.

    The policy decides the rank, so staff of the site have one without a membership of the room.
    Raises `CommandError` with `permission_denied`.
    """
    user = _any_user(user_key)
    if user is None:
        return
    identity, rules = Identity.of(user), policy()
    membership = Membership.objects.using(database()).filter(room=room, user=user).first()
    is_equal = not may_manage and rules.may_moderate(identity, room, membership)
    if is_equal or rules.may_manage(identity, room, membership):
        message = _("This is not possible for a user with this role.")
        raise CommandError(ErrorCode.PERMISSION_DENIED, message, room=room.slug)


def target(user_id: str, room: Room | None = None, *, is_here: bool = False) -> str:
    """Return the canonical `user_id` of a user or guest who can be sanctioned.

    With a room, a guest must be known there: by a connection anywhere (`is_here` if the caller
    knows of one), by a message or by a sanction. So must a deleted user, whose sanctions can only
    be lifted. Raises `CommandError` with `unknown_user`.
    """
    key = canonical(user_id)
    if key is None:
        raise unknown_user()
    is_guest = key.startswith(GUEST)
    is_known = is_here or room is None if is_guest else _user(key) is not None
    if not is_known and not (room is not None and _has_trace(key, room)):
        raise unknown_user()
    return key


def _has_trace(key: str, room: Room) -> bool:
    """Return whether a room has rows of a guest, or of a deleted user."""
    traces = (
        _sanctions().filter(room=room, user_key=key),
        Connection.objects.using(database()).filter(user_key=key),
        Message.objects.using(database()).filter(room=room, sender=key),
    )
    return any(found.exists() for found in traces)


def delete_ended(days: float, most: int = ENDED_AT_ONCE) -> int:
    """Delete sanctions that ended more than `days` ago, at most `most`; return how many."""
    ended = ended_sanctions(days).order_by("ends_at")
    # In bulk, without signals: an ended sanction changes no rights.
    rows = _sanctions().filter(pk__in=list(ended.values_list("pk", flat=True)[:most]))
    return int(rows._raw_delete(database()) or 0)


def ended_sanctions(days: float) -> Any:
    """Return the sanctions that ended more than `days` ago, except in rooms on legal hold."""
    rows = _sanctions().filter(ends_at__lt=timezone.now() - timedelta(days=days))
    return rows.filter(Q(room=None) | Q(room__is_held=False))


def find_user(user_id: str | None = None, username: str | None = None) -> Any:
    """Return the user with a `user_id` or name; raises `CommandError` with `unknown_user`."""
    found = None
    if user_id is not None and (pk := user_pk_of(user_id)) is not None:
        found = users_by_pk([pk]).get(pk)
    elif username is not None:
        found = names.find_user(username)
    if found is None or not is_good(found):  # in Python: `is_active` need not be a column
        raise unknown_user()
    return found


def addresses_of(user_key: str) -> set[str]:
    """Return the networks of the connections of a user or guest, by which they can be banned.

    The last address of a guest who has left is stored for `LAST_ADDRESS_SECONDS`.
    """
    rows = Connection.objects.using(database()).filter(user_key=user_key)
    found = {*rows.values_list("address", flat=True), *presence.last_addresses(user_key)}
    return {network_of(address) for address in found} - {""}


def is_repeat(one: Sanction, fields: dict[str, Any], seconds: float | None) -> bool:
    """Return whether a sanction already has these values, with about the same end."""
    if one.reason != fields["reason"] or one.by != fields["by"]:
        return False
    if one.ends_at is None or fields["ends_at"] is None or seconds is None:
        return one.ends_at is None and fields["ends_at"] is None
    moved = abs((fields["ends_at"] - one.ends_at).total_seconds())
    return bool(moved < min(REPEAT_SECONDS, seconds * REPEAT_SHARE))


def _is_staff(identity: Identity) -> bool:
    is_staff = getattr(identity.user, "is_staff", False)
    may_sanction = is_staff and identity.user.has_perm("realtime.add_sanction")
    return may_sanction or policy().may_moderate_site(identity)


def _check_rank_of(rows: Iterable[Sanction], rank: int | None) -> None:
    """Refuse to change a sanction in force that was given by a higher rank."""
    for one in rows if rank is not None else ():
        if is_in_force(one) and _rank_of_giver(one) > rank:  # type: ignore[operator]
            message = _("A moderator of a higher rank decided this. Ask one of that rank.")
            slug = None if one.room is None else one.room.slug
            raise CommandError(ErrorCode.PERMISSION_DENIED, message, room=slug)


def _rank_of_giver(one: Sanction) -> int:
    if one.rank is not None:
        return one.rank
    return rank_of(None if one.by is None else Identity.of(one.by), one.room)


def replace(one: Sanction, fields: dict[str, Any]) -> list[str]:
    """Give an existing sanction the values of a new one, unsaved; return the fields to save."""
    new = _replacing(one, fields)
    for name, value in new.items():
        setattr(one, name, value)
    return list(new)


def _replacing(one: Sanction, fields: dict[str, Any]) -> dict[str, Any]:
    if not is_in_force(one):
        return fields
    # `created_at` decides to which guests of an address it applies (`sanctions.matches`).
    kept = {"rank": max(_rank_of_giver(one), fields["rank"]), "created_at": one.created_at}
    return fields | (kept if one.address else {"rank": kept["rank"]})


def outlasts(one: Sanction, end: datetime | None) -> bool:
    """Return whether a sanction ends later than at a time, or never."""
    return one.ends_at is None or (end is not None and one.ends_at > end)


def _sanctions() -> Any:
    return Sanction.objects.using(database())


def user_pk_of(user_key: str) -> Any:
    """Return the primary key of a `user_id`; None for a guest, and for an invalid one."""
    return None if user_key.startswith(GUEST) else pk_of(user_key)


def _user(user_key: str) -> Any:
    """Return the user of a `user_id`, or None."""
    pk = user_pk_of(user_key)
    return None if pk is None else users_by_pk([pk]).get(pk)


def _any_user(user_key: str) -> Any:
    """Return the user of a `user_id`, also one that the default manager hides, or None."""
    pk = user_pk_of(user_key)
    return None if pk is None else any_user(pk)


def _name_of(user_key: str) -> str:
    """Return the name of a user or guest; raises `CommandError` for an unknown user."""
    if not user_key:
        return ""
    if user_key.startswith(GUEST):
        here = Connection.objects.using(database()).filter(user_key=user_key)
        return here.values_list("username", flat=True).first() or ""
    user = _any_user(user_key)
    if user is None:
        raise unknown_user()
    return Identity.of(user).username


def text_of(one: Sanction) -> str:
    """Return a sanction as the audit log describes it."""
    where = f"in {one.room}" if one.room is not None else "on the whole site"
    until = f"until {one.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if one.ends_at else "for good"
    return f"{one.kind} {where} {until}" + (f": {one.reason}" if one.reason else "")
