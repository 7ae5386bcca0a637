"""Kick, ban and mute users as a moderator of a room, and lift bans and mutes."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ...models import Room, Sanction
from ...wire.commands import Ban, Kick, Mute, Unban, Unmute
from ..accounts.identity import Identity
from ..moderation import actions
from .access import RoomAccess, denied, room_of

__all__ = ["SanctionCommand", "apply"]

SanctionCommand = Kick | Ban | Unban | Mute | Unmute
BY_NAME = _("It applies to the user id only: the address is unknown, or may be that of a proxy.")


def apply(
    command: SanctionCommand, access: RoomAccess, by: Identity, *, is_here: bool
) -> Promise | None:
    """Carry out the command of a moderator; return what it could not do, or None.

    `is_here` says whether the user has a connection to this process. Raises `CommandError` with
    `unknown_user`, or `permission_denied` for oneself, for a user of the same role, and for a
    sanction that a moderator of a higher rank gave.
    """
    room = room_of(access)
    user_key = actions.target(command.user_id, room, is_here=is_here)
    if user_key == by.user_id:
        raise denied(_("You cannot do this to yourself."), room)
    actions.check_rank(room, access.may_manage, user_key)
    rank = actions.rank_of(by, room)
    match command:
        case Kick():
            actions.kick(room, user_key, reason=command.reason, by=by, rank=rank)
        case Unban():
            actions.lift(Sanction.Kind.BAN.value, room, user_key, by=by, rank=rank)
        case Unmute():
            actions.lift(Sanction.Kind.MUTE.value, room, user_key, by=by, rank=rank)
        case Ban() | Mute():
            return _sanction(command, room, user_key, by, rank)
    return None


def _sanction(
    command: Ban | Mute, room: Room, user_key: str, by: Identity, rank: int
) -> Promise | None:
    kind = Sanction.Kind.BAN if isinstance(command, Ban) else Sanction.Kind.MUTE
    addresses = actions.addresses_of(user_key) if command.address else set[str]()
    actions.sanction(
        kind.value,
        room,
        user_key,
        addresses,
        seconds=command.seconds,
        reason=command.reason,
        by=by,
        rank=rank,
    )
    return BY_NAME if command.address and not addresses else None
