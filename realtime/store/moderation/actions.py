"""The rows behind what moderators do; rights change with them (`rights.py`)."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
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
from ..accounts.users import canonical, is_good, pk_of, unknown_user, users_by_pk
from ..database.alias import database
from ..messages import changes
from ..messages.log import Stored
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
    "find_user",
    "kick",
    "lift",
    "rank_of",
    "remove_member",
    "report",
    "resolve",
    "revoke",
    "sanction",
    "target",
    "unknown_message",
]


ENDED_AT_ONCE = 1000
REPEAT_SECONDS, REPEAT_SHARE = 60, 0.1
"""A sanction that is given again within this time, or this share of its length, stays as it is."""


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
    """Ban or mute a user, also by the addresses they come from; one that is there is replaced.

    Without a room it counts on the whole site, without `seconds` for good. Without `shortens` one
    that lasts longer stays. What is given again, and what it would hardly prolong, writes nothing.
    Raises `CommandError`: `unknown_user` for a user who does not exist, and with `rank`
    `permission_denied` where one of a higher rank would be replaced.
    """
    fields: dict[str, Any] = {
        "username": _name_of(user_key),
        "reason": reason[:REASON_CHARACTERS],
        "by": None if by is None else by.user,
        "rank": rank_of(by, room) if rank is None else rank,
        "created_at": timezone.now(),
        "ends_at": None if seconds is None else timezone.now() + timedelta(seconds=seconds),
    }
    made = []
    with transaction.atomic(using=database()):
        for address in sorted(set(addresses) - {""}) or [""]:  # in one order for all
            # With its lock, so that what lasts longer is not overlooked.
            one, is_new = (
                _sanctions()
                .select_for_update()
                .get_or_create(fields, kind=kind, room=room, user_key=user_key, address=address)
            )
            if not is_new:
                if not shortens and _outlasts(one, fields["ends_at"]):
                    continue
                if _is_repeat(one, fields, seconds):
                    made.append(one)
                    continue
                if shortens:
                    _check_rank_of([one], rank)
                _change(one, _replacing(one, fields))
            audit.record(by, one, audit.ADDITION if is_new else audit.CHANGE, _text(one))
            made.append(one)
    return made


def lift(
    kind: str,
    room: Room | None,
    user_key: str = "",
    address: str = "",
    by: Identity | None = None,
    *,
    rank: int | None = None,
) -> int:
    """End the bans or mutes of a user, or of an address; return how many there were.

    With `rank` none of a higher rank is lifted: raises `CommandError` with `permission_denied`.
    """
    whom = {"user_key": user_key} if user_key else {"address": address}
    with transaction.atomic(using=database()):
        rows = list(_sanctions().select_for_update().filter(kind=kind, room=room, **whom))
        _check_rank_of(rows, rank)
        return revoke(rows, by)


def rank_of(by: Identity | None, room: Room | None) -> int:
    """As what somebody moderates a room; the site's own code, and staff, rank highest."""
    if by is None or by.is_guest or room is None or _is_staff(by):
        return Sanction.Rank.SITE
    rules = policy()
    place = Membership.objects.using(database()).filter(room=room, user=by.user_pk).first()
    if rules.may_manage(by, room, place):
        return Sanction.Rank.OWNER
    is_moderator = rules.may_moderate(by, room, place)
    return Sanction.Rank.MODERATOR if is_moderator else Sanction.Rank.SITE


def revoke(sanctions: Iterable[Sanction], by: Identity | None = None) -> int:
    """End exactly these; return how many there were."""
    with transaction.atomic(using=database()):
        rows = list(sanctions)
        for one in rows:
            audit.record(by, one, audit.DELETION, f"lifted: {_text(one)}")
            one.delete()
    return len(rows)


def remove_member(room: Room, user_key: str) -> None:
    """Take away a user's place in a room."""
    if (user_pk := _pk(user_key)) is not None:
        for one in Membership.objects.using(database()).filter(room=room, user=user_pk):
            one.delete()


def kick(
    room: Room | None,
    user_key: str,
    *,
    reason: str = "",
    by: Identity | None = None,
    rank: int | None = None,
) -> None:
    """Take away a user's place in a room, and ban the user for `KICK_SECONDS`.

    A ban that lasts longer stays as it is. Raises as `sanction` does.
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

    In the caller's thread, not by the writer of this process: a rollback of the caller takes it
    back, the caller may be blocking the event loop, and most processes that delete serve no
    sockets. The writer waits for the room meanwhile, for some milliseconds.
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
    # No savepoint: each statement from here on runs while the room is locked.
    with transaction.atomic(using=database(), savepoint=False):
        try:
            message, end = changes.locked(message_id)
        except Message.DoesNotExist:
            raise unknown_message() from None
        stored = changes.delete_locked(message, end)
        if stored.is_new:
            audit.record(by, message, audit.DELETION, "deleted the text")
            resolve([message_id], by)
    return stored


def check_rank(room: Room, may_manage: bool, user_key: str) -> None:
    """Refuse what is meant for somebody as high as oneself: moderators do not put each other out.

    That is judged by the policy, so the site's staff have their rank without a place in the room.
    Raises `CommandError` with `permission_denied`.
    """
    user = _user(user_key)
    if user is None:
        return
    who, rules = Identity.of(user), policy()
    place = Membership.objects.using(database()).filter(room=room, user=user).first()
    is_equal = not may_manage and rules.may_moderate(who, room, place)
    if is_equal or rules.may_manage(who, room, place):
        message = _("This is not possible for a user with this role.")
        raise CommandError(ErrorCode.PERMISSION_DENIED, message, room=room.slug)


def target(user_id: str, room: Room | None = None, *, is_here: bool = False) -> str:
    """Return the one spelling of the `user_id` of a user or guest who can be sanctioned.

    A guest must have been seen in the room, where one is given: connected anywhere (`is_here`
    where the caller knows that already), by a message or by a sanction. A user who exists no
    longer must have been seen as well, and has only sanctions to lift. Raises `CommandError` with
    `unknown_user`.
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
    """Whether a room knows a guest, or a user who exists no longer."""
    traces = (
        _sanctions().filter(room=room, user_key=key),
        Connection.objects.using(database()).filter(user_key=key),
        Message.objects.using(database()).filter(room=room, sender=key),
    )
    return any(found.exists() for found in traces)


def delete_ended(days: float, most: int = ENDED_AT_ONCE) -> int:
    """Remove sanctions that have ended so long ago; return how many, `most` at once."""
    before = timezone.now() - timedelta(days=days)
    ended = _sanctions().filter(ends_at__lt=before).order_by("ends_at")
    # Bulk: an ended sanction changes nobody's rights, and sends no signal.
    rows = _sanctions().filter(pk__in=list(ended.values_list("pk", flat=True)[:most]))
    return int(rows._raw_delete(database()) or 0)


def find_user(user_id: str | None = None, username: str | None = None) -> Any:
    """The user of this `user_id` or name; raises `CommandError` with `unknown_user`."""
    found = None
    if user_id is not None and (pk := _pk(user_id)) is not None:
        found = users_by_pk([pk]).get(pk)
    elif username is not None:
        found = names.find_user(username)
    if found is None or not is_good(found):  # which need not be a column
        raise unknown_user()
    return found


def addresses_of(user_key: str) -> set[str]:
    """Where somebody is connected from, as far as that can be banned.

    Of a guest who has left the last address is known for `LAST_ADDRESS_SECONDS`.
    """
    rows = Connection.objects.using(database()).filter(user_key=user_key)
    found = {*rows.values_list("address", flat=True), *presence.last_addresses(user_key)}
    return {network_of(address) for address in found} - {""}


def _is_repeat(one: Sanction, fields: dict[str, Any], seconds: float | None) -> bool:
    """Whether a sanction is as it would be made, with an end that is about the same."""
    if one.reason != fields["reason"] or one.by != fields["by"]:
        return False
    if one.ends_at is None or fields["ends_at"] is None or seconds is None:
        return one.ends_at is None and fields["ends_at"] is None
    moved = abs((fields["ends_at"] - one.ends_at).total_seconds())
    return bool(moved < min(REPEAT_SECONDS, seconds * REPEAT_SHARE))


def _is_staff(who: Identity) -> bool:
    is_staff = getattr(who.user, "is_staff", False)
    may_sanction = is_staff and who.user.has_perm("realtime.add_sanction")
    return may_sanction or policy().may_moderate_site(who)


def _check_rank_of(rows: Iterable[Sanction], rank: int | None) -> None:
    """Refuse to change what somebody of a higher rank has given, while it is in force."""
    for one in rows if rank is not None else ():
        if is_in_force(one) and _rank_of_giver(one) > rank:  # type: ignore[operator]
            message = _("A moderator of a higher rank decided this. Ask one of that rank.")
            slug = None if one.room is None else one.room.slug
            raise CommandError(ErrorCode.PERMISSION_DENIED, message, room=slug)


def _rank_of_giver(one: Sanction) -> int:
    if one.rank is not None:
        return one.rank
    return rank_of(None if one.by is None else Identity.of(one.by), one.room)


def _replacing(one: Sanction, fields: dict[str, Any]) -> dict[str, Any]:
    """What a new sanction changes of one that is there."""
    if not is_in_force(one):
        return fields
    # Whom it hits by address is decided by when it began (`sanctions.hits`).
    kept = {"rank": max(_rank_of_giver(one), fields["rank"]), "created_at": one.created_at}
    return fields | (kept if one.address else {"rank": kept["rank"]})


def _outlasts(one: Sanction, end: datetime | None) -> bool:
    return one.ends_at is None or (end is not None and one.ends_at > end)


def _change(one: Sanction, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(one, name, value)
    one.save(update_fields=list(fields))


def _sanctions() -> Any:
    return Sanction.objects.using(database())


def _pk(user_key: str) -> Any:
    """The primary key behind a `user_id`; None for a guest's, and for what cannot be one."""
    return None if user_key.startswith(GUEST) else pk_of(user_key)


def _user(user_key: str) -> Any:
    """The user behind a `user_id`; None where there is none."""
    pk = _pk(user_key)
    return None if pk is None else users_by_pk([pk]).get(pk)


def _name_of(user_key: str) -> str:
    """The name of a user or guest; raises `CommandError` for a user who does not exist."""
    if not user_key:
        return ""
    if user_key.startswith(GUEST):
        here = Connection.objects.using(database()).filter(user_key=user_key)
        return here.values_list("username", flat=True).first() or ""
    user = _user(user_key)
    if user is None:
        raise unknown_user()
    return Identity.of(user).username


def _text(one: Sanction) -> str:
    where = f"in {one.room}" if one.room is not None else "on the whole site"
    until = f"until {one.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if one.ends_at else "for good"
    return f"{one.kind} {where} {until}" + (f": {one.reason}" if one.reason else "")
