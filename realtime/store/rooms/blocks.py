"""Personal block lists: a block closes the direct room of two users.

A block is not revealed to the blocked user: errors read as for a user who does not exist.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...models import Block, Membership, Room
from ...wire.errors import CommandError, ErrorCode
from ..accounts.identity import Identity, direct_key
from ..accounts.users import canonical, unknown_user
from ..database.alias import database
from ..messages.history import change_rights

__all__ = ["add", "closed", "has_blocked", "of", "remove"]


def of(identity: Identity) -> list[str]:
    """Return the `user_id`s that a user has blocked, oldest block first."""
    mine = _blocks().filter(user=identity.user_pk).order_by("pk")
    return list(mine.values_list("blocked", flat=True))


def add(identity: Identity, user_id: str) -> bool:
    """Block a user or guest for a user; return whether the block is new.

    Whether the user exists is not checked, because the answer would reveal it. Raises
    `CommandError` with `permission_denied` for a guest, `unknown_user`, `invalid_message` or
    `limit_exceeded`.
    """
    key = _target(identity, user_id)
    with transaction.atomic(using=database()):
        if _blocks().filter(user=identity.user_pk, blocked=key).exists():
            return False
        if _blocks().filter(user=identity.user_pk).count() >= config().blocks_per_user:
            message = _("Unblock a user before you block another one.")
            raise CommandError(ErrorCode.LIMIT_EXCEEDED, message)
        is_new = _blocks().get_or_create(user=identity.user, blocked=key)[1]
        _close_request(identity, key)
        _change_rights(identity, key)
    return bool(is_new)


def remove(identity: Identity, user_id: str) -> bool:
    """Unblock a user or guest; return whether there was a block."""
    key = _target(identity, user_id)
    with transaction.atomic(using=database()):
        number, _ = _blocks().filter(user=identity.user_pk, blocked=key).delete()
        if number:
            _change_rights(identity, key)
    return bool(number)


def has_blocked(user_pk: Any, user_id: str) -> bool:
    """Return whether a user has blocked this `user_id`."""
    return bool(_blocks().filter(user=user_pk, blocked=user_id).exists())


def closed(room_ids: Iterable[int]) -> set[int]:
    """Return which of these direct rooms are closed, in two queries.

    A direct room is closed while one of its users has blocked the other, or has left it.
    """
    pairs: dict[int, list[Any]] = {room_id: [] for room_id in room_ids}
    if not pairs:
        return set()
    memberships = Membership.objects.using(database()).filter(room__in=pairs)
    for room_id, user_pk in memberships.values_list("room", "user"):
        pairs[room_id].append(user_pk)
    users = {user_pk for pair in pairs.values() for user_pk in pair}
    rows = _blocks().filter(user__in=users, blocked__in=[str(pk) for pk in users])
    blocks = set(rows.values_list("user", "blocked"))
    return {room_id for room_id, pair in pairs.items() if _is_closed(pair, blocks)}


def _is_closed(pair: list[Any], blocks: set[tuple[Any, str]]) -> bool:
    if len(pair) < 2:
        return True
    one, other = pair
    return (one, str(other)) in blocks or (other, str(one)) in blocks


def _target(identity: Identity, user_id: str) -> str:
    if identity.is_guest:
        raise CommandError(ErrorCode.PERMISSION_DENIED, _("Sign in to block a user."))
    key = canonical(user_id)
    if key is None:
        raise unknown_user()
    if key == identity.user_id:
        raise CommandError(ErrorCode.INVALID_MESSAGE, _("You cannot block yourself."))
    return key


def _direct(identity: Identity, key: str) -> Any:
    return Room.objects.using(database()).filter(direct_key=direct_key(identity.user_id, key))


def _close_request(identity: Identity, key: str) -> None:
    requests = Membership.objects.using(database()).filter(user=identity.user_pk, is_request=True)
    requests.filter(room__in=_direct(identity, key)).update(is_request=False)


def _change_rights(identity: Identity, key: str) -> None:
    if rooms := list(_direct(identity, key).values_list("pk", flat=True)):
        change_rights(rooms)


def _blocks() -> Any:
    return Block.objects.using(database())
