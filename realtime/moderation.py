"""Kick, ban, mute and move users, and delete messages: from views, the admin, jobs, a shell.

    moderation.ban(room, user, seconds=3600, reason="spam", by=request.user)
    moderation.mute(None, "guest:0f3a…")          # on the whole site
    moderation.move(lobby, table, [user, other])
    await moderation.adelete(message)

Each takes effect on every server process within a second of its commit. With `by`, it is recorded
in the audit log. `user` is a user, its primary key, or the `user_id` of a guest; a `room` of None
is the whole site. The caller checks permissions. With a `rank` (`Sanction.Rank`), changing a ban
or mute of a higher rank is refused with `permission_denied`.
"""

from collections.abc import Iterable
from typing import Any

from asgiref.sync import sync_to_async

from .models import Message, Room, Sanction
from .store.accounts.addresses import network_of
from .store.accounts.identity import Identity
from .store.accounts.users import canonical, key_of
from .store.database.servers import on_working_server
from .store.moderation import actions
from .store.rooms import moving
from .store.rooms.moving import Moves

__all__ = [
    "aban",
    "adelete",
    "akick",
    "amove",
    "amute",
    "aunban",
    "aunmute",
    "ban",
    "delete",
    "kick",
    "move",
    "mute",
    "unban",
    "unmute",
]

BAN, MUTE = Sanction.Kind.BAN.value, Sanction.Kind.MUTE.value


@on_working_server
def kick(
    room: Room | None,
    user: Any,
    *,
    reason: str = "",
    by: Any = None,
    rank: int | None = None,
) -> None:
    """Remove a user or guest from a room, end the membership, and ban for `KICK_SECONDS`.

    A longer ban stays as it is. Raises `CommandError` with `unknown_user`, as `ban` and `mute` do,
    for a user who does not exist and for an invalid `user_id`.
    """
    actions.kick(room, _key(user), reason=reason, by=_identity(by), rank=rank)


@on_working_server
def ban(
    room: Room | None,
    user: Any = None,
    *,
    addresses: set[str] | None = None,
    seconds: float | None = None,
    reason: str = "",
    by: Any = None,
    rank: int | None = None,
) -> list[Sanction]:
    """Ban a user or guest, some addresses, or both.

    `seconds` of None is for good. A ban of the whole site closes the connections with 4503.
    Raises `ValueError` for an invalid address, or one that may be a proxy's.
    """
    return _sanction(BAN, room, user, addresses, seconds, reason, by, rank)


@on_working_server
def unban(
    room: Room | None,
    user: Any = None,
    *,
    address: str = "",
    by: Any = None,
    rank: int | None = None,
) -> int:
    """Lift the bans of a user, or of an address; return how many there were."""
    return _lift(BAN, room, user, address, by, rank)


@on_working_server
def mute(
    room: Room | None,
    user: Any = None,
    *,
    addresses: set[str] | None = None,
    seconds: float | None = None,
    reason: str = "",
    by: Any = None,
    rank: int | None = None,
) -> list[Sanction]:
    """Mute a user or guest, some addresses, or both; the arguments are those of `ban`."""
    return _sanction(MUTE, room, user, addresses, seconds, reason, by, rank)


@on_working_server
def unmute(
    room: Room | None,
    user: Any = None,
    *,
    address: str = "",
    by: Any = None,
    rank: int | None = None,
) -> int:
    """Lift the mutes of a user, or of an address; return how many there were."""
    return _lift(MUTE, room, user, address, by, rank)


@on_working_server
def move(
    room: Room,
    to: Room,
    users: Iterable[Any],
    *,
    reason: str = "",
    by: Any = None,
    ends_membership: bool = False,
) -> Moves:
    """Move users and guests who are in a room to another one; return what became of each.

    All their clients in `room` leave it and join `to`. Users become members of a private room, and
    with `ends_membership` plain members lose their membership of the first one. Who may not enter
    `to` stays. Raises `CommandError`: `unknown_user` for an invalid `user_id`, `invalid_message`
    for the same room, or a direct one.
    """
    keys = [_key(user) for user in users]
    return moving.move(
        room, to, keys, reason=reason, by=_identity(by), ends_membership=ends_membership
    )


@on_working_server
def delete(message: Message | int, *, by: Any = None) -> None:
    """Delete the text and data of a message, everywhere; a tombstone keeps its position.

    Raises `CommandError` with `unknown_message`.
    """
    pk = message.pk if isinstance(message, Message) else message
    actions.delete(pk, _identity(by))


async def akick(room: Room | None, user: Any, **kwargs: Any) -> None:
    """Remove a user or guest from a room."""
    await sync_to_async(kick)(room, user, **kwargs)


async def aban(room: Room | None, user: Any = None, **kwargs: Any) -> list[Sanction]:
    """Ban a user or guest."""
    return await sync_to_async(ban)(room, user, **kwargs)


async def aunban(room: Room | None, user: Any = None, **kwargs: Any) -> int:
    """Lift the bans of a user."""
    return await sync_to_async(unban)(room, user, **kwargs)


async def amute(room: Room | None, user: Any = None, **kwargs: Any) -> list[Sanction]:
    """Mute a user or guest."""
    return await sync_to_async(mute)(room, user, **kwargs)


async def aunmute(room: Room | None, user: Any = None, **kwargs: Any) -> int:
    """Lift the mutes of a user."""
    return await sync_to_async(unmute)(room, user, **kwargs)


async def amove(room: Room, to: Room, users: Iterable[Any], **kwargs: Any) -> Moves:
    """Move users and guests who are in a room to another one."""
    return await sync_to_async(move)(room, to, users, **kwargs)


async def adelete(message: Message | int, **kwargs: Any) -> None:
    """Delete the text and data of a message."""
    await sync_to_async(delete)(message, **kwargs)


def _sanction(
    kind: str,
    room: Room | None,
    user: Any,
    addresses: set[str] | None,
    seconds: float | None,
    reason: str,
    by: Any,
    rank: int | None,
) -> list[Sanction]:
    if user is None and not addresses:
        raise ValueError("name a user or an address")
    return actions.sanction(
        kind,
        room,
        _key(user),
        map(_bannable, addresses or ()),
        seconds=seconds,
        reason=reason,
        by=_identity(by),
        rank=rank,
    )


def _lift(kind: str, room: Room | None, user: Any, address: str, by: Any, rank: int | None) -> int:
    if user is None and not address:
        raise ValueError("name a user or an address")
    network = _bannable(address) if address else ""
    return actions.lift(kind, room, _lifted_key(user), network, _identity(by), rank=rank)


def _bannable(address: str) -> str:
    if found := network_of(address.removesuffix("/64")):
        return found
    raise ValueError(f"{address} may be a proxy's: set TRUSTED_PROXIES")


def _key(user: Any) -> str:
    return "" if user is None else key_of(user)


def _lifted_key(user: Any) -> str:
    # The sanctions of a deleted user can be lifted too.
    if user is None or hasattr(user, "pk"):
        return _key(user)
    return canonical(str(user)) or str(user)


def _identity(by: Any) -> Identity | None:
    return None if by is None else Identity.of(by)
