"""Kick, ban and mute many users with a few queries, by their ids and not by addresses."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, router, transaction

from ...conf import config
from ...models import Connection, Membership, Room, Sanction
from ...signals import site_sanctions_changed
from ..accounts.identity import GUEST, Identity
from ..database.alias import database
from ..messages.history import change_rights
from . import audit
from .actions import is_repeat, outlasts, replace, terms, text_of, user_pk_of

__all__ = ["kick_users", "sanction_users"]

FIELDS = ("username", "reason", "by", "rank", "created_at", "ends_at")
TRIES = 3


def kick_users(room: Room | None, user_keys: Iterable[str], *, reason: str, by: Identity) -> int:
    """Remove users from a room, and ban them for `KICK_SECONDS`; return how many exist."""
    keys, seconds = list(user_keys), config().kick_seconds
    with transaction.atomic(using=database()):
        if room is not None:
            rows = Membership.objects.using(database()).filter(room=room, user__in=_pks(keys))
            rows._raw_delete(database())  # without signals: the ban changes the rights of all
        return sanction_users(
            Sanction.Kind.BAN.value,
            room,
            keys,
            seconds=seconds,
            reason=reason,
            by=by,
            shortens=False,
        )


def sanction_users(
    kind: str,
    room: Room | None,
    user_keys: Iterable[str],
    *,
    seconds: float | None = None,
    reason: str = "",
    by: Identity,
    shortens: bool = True,
) -> int:
    """Ban or mute users as `actions.sanction` does; return how many exist, others are left out."""
    names = _names(set(user_keys))
    fields = terms(room, seconds=seconds, reason=reason, by=by)
    for attempt in range(TRIES):
        try:
            with transaction.atomic(using=database()):
                _write(kind, room, names, fields, seconds, by, shortens)
            break
        except IntegrityError:  # another moderator has added one of them
            if attempt == TRIES - 1:
                raise
    return len(names)


def _write(
    kind: str,
    room: Room | None,
    names: dict[str, str],
    fields: dict[str, Any],
    seconds: float | None,
    by: Identity,
    shortens: bool,
) -> None:
    sanctions: Any = Sanction.objects.using(database())
    rows = sanctions.filter(kind=kind, room=room, address="", user_key__in=list(names))
    known = {one.user_key: one for one in rows.select_for_update(of=("self",)).select_related("by")}
    new = [
        Sanction(kind=kind, room=room, user_key=key, username=name, **fields)
        for key, name in sorted(names.items())
        if key not in known
    ]
    changed = [one for one in known.values() if _is_change(one, fields, seconds, shortens)]
    for one in changed:
        replace(one, {"username": names[one.user_key], **fields})
    sanctions.bulk_create(new)
    sanctions.bulk_update(changed, FIELDS)
    for rows, flag in ((new, audit.ADDITION), (changed, audit.CHANGE)):
        if rows:
            audit.record_all(by, rows, flag, text_of(rows[0]))
    _tell(room, [one.user_key for one in (*new, *changed)])


def _is_change(
    one: Sanction, fields: dict[str, Any], seconds: float | None, shortens: bool
) -> bool:
    if not shortens and outlasts(one, fields["ends_at"]):
        return False
    return not is_repeat(one, fields, seconds)


def _tell(room: Room | None, keys: list[str]) -> None:
    """Change the rights of one user, or of all: a note for each of many would cost more."""
    if room is None:
        for key in keys:
            site_sanctions_changed.send(None, user_id=key)
    elif keys:
        change_rights([room.pk], keys[0] if len(keys) == 1 else "")


def _names(keys: set[str]) -> dict[str, str]:
    """Return the names of guests, and of users who exist, by their ids."""
    guests = {key for key in keys if key.startswith(GUEST)}
    here = Connection.objects.using(database()).filter(user_key__in=list(guests))
    names = dict.fromkeys(guests, "") | dict(here.values_list("user_key", "username"))
    model = get_user_model()
    users = model._base_manager.using(router.db_for_write(model)).in_bulk(_pks(keys))
    return names | {str(user.pk): Identity.of(user).username for user in users.values()}


def _pks(keys: Iterable[str]) -> list[Any]:
    return [pk for pk in map(user_pk_of, keys) if pk is not None]
