"""Move users from a room to another one, many with a few queries, on behalf of the site."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.utils.translation import gettext_lazy as _

from ...models import Membership, Presence, Room
from ...signals import invited, moved
from ...wire.commands import REASON_CHARACTERS
from ...wire.errors import CommandError, ErrorCode
from ..accounts.addresses import network_of
from ..accounts.identity import Identity
from ..database.alias import database
from ..messages.history import change_rights, rights_together
from ..moderation import audit
from ..moderation.many import delete_rows
from ..presence import ALIVE
from .access import AccessRequest, RoomAccess, all_rights

__all__ = ["Moves", "move"]

SAME = _("Choose two different rooms.")
DIRECT = _("Nobody can be moved out of a direct room, or into one.")


class Moves(NamedTuple):
    """What has become of the users of a move, by their ids."""

    moved: list[str]
    refused: list[str]
    """Those who may not enter the other room: banned, guests for a private room, or the policy."""
    absent: list[str]
    """Those who are not in the room."""


def move(
    room: Room,
    to: Room,
    user_keys: Iterable[str],
    *,
    reason: str = "",
    by: Identity | None = None,
    ends_membership: bool = False,
) -> Moves:
    """Have the clients of users who are in a room leave it, and join another one.

    A private room gets them as members. Bans and the policy of the other room hold, and who is
    refused stays. Raises `CommandError` with `invalid_message` for the same room, or a direct one.
    """
    _check(room, to)
    keys, reason = list(dict.fromkeys(user_keys)), reason[:REASON_CHARACTERS]
    with transaction.atomic(using=database()):
        here = _here(room, keys)
        identities = _identities(here)
        new = _add(to, identities.values())
        admitted = _admitted(to, here, identities)
        found = [key for key in keys if key in admitted]
        _remove(to, [one for one in new if str(one.user_id) not in admitted])
        _tell(room, to, found, reason)
        _invite(to, [one for one in new if str(one.user_id) in admitted], by)
        if ends_membership:
            _end_memberships(room, [identities[key].user_pk for key in found])
        connections = [one.connection for one in here if one.user_key in admitted]
        audit.record_all(by, connections, audit.CHANGE, _text(room, to, reason))
    refused = [key for key in keys if key in identities and key not in admitted]
    return Moves(found, refused, [key for key in keys if key not in identities])


def _check(room: Room, to: Room) -> None:
    if room.pk == to.pk:
        raise CommandError(ErrorCode.INVALID_MESSAGE, SAME)
    if Room.Kind.DIRECT in (room.kind, to.kind):
        raise CommandError(ErrorCode.INVALID_MESSAGE, DIRECT)


def _here(room: Room, keys: Sequence[str]) -> list[Presence]:
    rows = Presence.objects.using(database()).filter(ALIVE, room=room, user_key__in=keys)
    return list(rows.select_related("connection").order_by("pk"))


def _identities(here: Sequence[Presence]) -> dict[str, Identity]:
    """Return the identities of those present; a user without an account is left out."""
    pks = {one.connection.user_id for one in here} - {None}
    model = get_user_model()
    users = model._base_manager.using(router.db_for_write(model)).in_bulk(list(pks))
    found = {}
    for one in here:
        user_pk = one.connection.user_id
        if user_pk is None:
            found[one.user_key] = Identity(one.user_key, one.username)
        elif user_pk in users:
            found[one.user_key] = Identity.of(users[user_pk])
    return found


def _add(to: Room, identities: Iterable[Identity]) -> list[Membership]:
    """Make users members of a private room; return the new memberships."""
    if to.kind != Room.Kind.PRIVATE:
        return []
    rows = Membership.objects.using(database())
    users = {one.user_pk: one.user for one in identities if not one.is_guest}
    known = set(rows.filter(room=to, user__in=list(users)).values_list("user_id", flat=True))
    new = [Membership(room=to, user=user) for pk, user in users.items() if pk not in known]
    new.sort(key=lambda one: str(one.user_id))  # in the same order in all processes
    rows.bulk_create(new, ignore_conflicts=True)
    return new


def _admitted(to: Room, here: Sequence[Presence], identities: dict[str, Identity]) -> set[str]:
    """Return the ids of those who may enter a room, by at least one of their connections."""
    requests = {
        AccessRequest(to.slug, identities[one.user_key], network_of(one.connection.address))
        for one in here
        if one.user_key in identities
    }
    found = all_rights(requests)
    return {
        request.identity.user_id
        for request, access in found.items()
        if isinstance(access, RoomAccess)
    }


def _remove(to: Room, refused: Sequence[Membership]) -> None:
    if refused:
        rows = Membership.objects.using(database()).filter(room=to)
        rows.filter(user__in=[one.user_id for one in refused])._raw_delete(database())


def _invite(to: Room, new: Sequence[Membership], by: Identity | None) -> None:
    """Tell all devices of the users, also those that are not moved, of their memberships."""
    if new:
        change_rights([to.pk], str(new[0].user_id) if len(new) == 1 else "")
    for one in new if by is not None else ():
        invited.send(None, room=to, user_id=str(one.user_id), by=by, is_request=False)


def _tell(room: Room, to: Room, keys: Sequence[str], reason: str) -> None:
    # Before the memberships end: who is put out of the room first could not be moved any more.
    if keys:
        moved.send(None, users=keys, room=room.slug, to=to.slug, reason=reason)


def _end_memberships(room: Room, user_pks: Iterable[Any]) -> None:
    """End the memberships of plain members: a room keeps its owner and its moderators."""
    rows = Membership.objects.using(database()).filter(room=room, role=Membership.Role.MEMBER)
    with rights_together():
        delete_rows(rows.filter(user__in=[pk for pk in user_pks if pk is not None]))


def _text(room: Room, to: Room, reason: str) -> str:
    return f"moved from {room} to {to}" + (f": {reason}" if reason else "")
