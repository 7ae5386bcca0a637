"""Kick, ban and mute many users with a few queries, by their ids and addresses.

Django sends no signals for bulk queries, so those of each row are sent here.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import IntegrityError, router, transaction
from django.db.models import Model, QuerySet
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from ...conf import config
from ...models import Connection, LastAddress, Membership, Room, Sanction
from ..accounts.addresses import network_of
from ..accounts.identity import GUEST, Identity
from ..database.alias import database
from ..messages.history import rights_together
from ..presence import is_kept
from . import audit
from .actions import is_repeat, outlasts, replace, terms, text_of, user_pk_of

__all__ = ["addresses_of", "delete_rows", "kick_users", "sanction_users"]

FIELDS = ("username", "reason", "by", "rank", "created_at", "ends_at")
TRIES = 3

Addresses = Mapping[str, Set[str]]
"""The networks of users, by their ids."""


class Target(NamedTuple):
    """The user and the address of a sanction; the address is empty if it is by the id alone."""

    user_key: str
    address: str


def addresses_of(user_keys: Iterable[str]) -> dict[str, set[str]]:
    """Return the networks of each user, as `actions.addresses_of` does; without one, none."""
    keys, alias = set(user_keys), database()
    here = Connection.objects.using(alias).filter(user_key__in=keys)
    left = LastAddress.objects.using(alias).filter(is_kept(), pk__in=keys)
    found: dict[str, set[str]] = {key: set() for key in keys}
    pairs = (*here.values_list("user_key", "address"), *left.values_list("user_key", "address"))
    for key, address in pairs:
        found[key] |= {network_of(address)} - {""}
    return found


def kick_users(room: Room | None, user_keys: Iterable[str], *, reason: str, by: Identity) -> int:
    """Remove users from a room, and ban them for `KICK_SECONDS`; return how many exist."""
    keys, seconds = list(user_keys), config().kick_seconds
    with transaction.atomic(using=database()), rights_together():
        if room is not None:
            memberships = Membership.objects.using(database())
            delete_rows(memberships.filter(room=room, user__in=_pks(keys)))
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
    addresses: Addresses | None = None,
    seconds: float | None = None,
    reason: str = "",
    by: Identity,
    shortens: bool = True,
) -> int:
    """Ban or mute users as `actions.sanction` does; return how many exist, others are left out.

    `addresses` are those by which the users are sanctioned too.
    """
    names = _names(set(user_keys))
    targets = sorted(_targets(names, addresses or {}))
    fields = terms(room, seconds=seconds, reason=reason, by=by)
    for attempt in range(TRIES):
        try:
            with transaction.atomic(using=database()), rights_together():
                _write(kind, room, targets, names, fields, seconds, by, shortens)
            break
        except IntegrityError:  # another moderator has added one of them
            if attempt == TRIES - 1:
                raise
    return len(names)


def _targets(names: Iterable[str], addresses: Addresses) -> Iterable[Target]:
    for key in names:
        for address in addresses.get(key) or {""}:
            yield Target(key, address)


def _write(
    kind: str,
    room: Room | None,
    targets: Sequence[Target],
    names: dict[str, str],
    fields: dict[str, Any],
    seconds: float | None,
    by: Identity,
    shortens: bool,
) -> None:
    known = _known(kind, room, targets)
    new = [
        Sanction(kind=kind, room=room, username=names[one.user_key], **one._asdict(), **fields)
        for one in targets
        if one not in known
    ]
    changed = [one for one in known.values() if _is_change(one, fields, seconds, shortens)]
    for one in changed:
        replace(one, {"username": names[one.user_key], **fields})
    _save(new, changed)
    for rows, flag in ((new, audit.ADDITION), (changed, audit.CHANGE)):
        if rows:
            audit.record_all(by, rows, flag, text_of(rows[0]))


def _known(kind: str, room: Room | None, targets: Sequence[Target]) -> dict[Target, Sanction]:
    """Lock and return the sanctions that exist."""
    keys = {one.user_key for one in targets}
    addresses = {one.address for one in targets}
    rows = Sanction.objects.using(database()).filter(
        kind=kind, room=room, user_key__in=keys, address__in=addresses
    )
    locked = rows.select_for_update(of=("self",)).select_related("by").order_by("pk")
    found = {Target(one.user_key, one.address): one for one in locked}
    return {one: found[one] for one in targets if one in found}


def _is_change(
    one: Sanction, fields: dict[str, Any], seconds: float | None, shortens: bool
) -> bool:
    if not shortens and outlasts(one, fields["ends_at"]):
        return False
    return not is_repeat(one, fields, seconds)


def _save(new: Sequence[Sanction], changed: Sequence[Sanction]) -> None:
    sanctions, alias = Sanction.objects.using(database()), database()
    saved = [(one, None) for one in new] + [(one, frozenset(FIELDS)) for one in changed]
    for one, fields in saved:
        given = {"instance": one, "raw": False, "using": alias, "update_fields": fields}
        pre_save.send(Sanction, **given)
    sanctions.bulk_create(new)
    sanctions.bulk_update(changed, FIELDS)
    for one, fields in saved:
        given = {"instance": one, "raw": False, "using": alias, "update_fields": fields}
        post_save.send(Sanction, created=fields is None, **given)


def delete_rows(rows: QuerySet[Any]) -> int:
    """Delete rows with the signals of each, and return how many there were.

    `QuerySet.delete` would need a query for each 100.
    """
    found: list[Model] = list(rows)
    if not found:
        return 0
    for one in found:
        pre_delete.send(type(one), instance=one, using=database(), origin=rows)
    rows.filter(pk__in=[one.pk for one in found])._raw_delete(database())
    for one in found:
        post_delete.send(type(one), instance=one, using=database(), origin=rows)
    return len(found)


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
