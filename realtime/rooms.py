"""Rooms of users from anywhere: views, jobs, a shell.

    room = rooms.direct(request.user, other)                 # the room of these two
    token = rooms.invitation(room, by=request.user)          # for a link
    rooms.accept(token, request.user)
    rooms.add(room, user, by=request.user)
    rooms.block(request.user, other)                         # closes their direct room

The policy says who may make rooms; whether somebody may add others, invite or appoint is the
caller's to say. What is refused raises `CommandError`. Whoever is connected hears of a new
place by `invited`, once it is committed.
"""

from typing import Any

from asgiref.sync import sync_to_async

from .models import Room
from .store.accounts.identity import Identity
from .store.database.servers import on_working_server
from .store.messages import history
from .store.rooms import blocks, management, memberships

__all__ = [
    "aaccept",
    "aadd",
    "ablock",
    "ablocked",
    "accept",
    "acreate",
    "add",
    "adirect",
    "ainvitation",
    "aleave",
    "aunblock",
    "block",
    "blocked",
    "create",
    "direct",
    "invitation",
    "leave",
    "rights_changed",
    "unblock",
]


@on_working_server
def create(user: Any, title: str, *, kind: str = "public", slug: str = "") -> Room:
    """Make a room that belongs to `user`; `kind` is "public" or "private".

    Raises `CommandError`: `permission_denied`, `limit_exceeded`, or `invalid_message` for a slug
    that is taken.
    """
    return management.create(Identity.of(user), title, kind=kind, slug=slug)


@on_working_server
def direct(user: Any, other: Any) -> Room:
    """The room of exactly these two users, made if need be."""
    return management.direct(Identity.of(user), other)


@on_working_server
def add(room: Room, user: Any, *, by: Any = None) -> bool:
    """Give a user a place in a private room; whether they had none.

    With `by` it is refused for a user who left the room for good or has blocked `by`; without,
    the site itself gives the place.
    """
    return memberships.add(room, user, None if by is None else Identity.of(by))


@on_working_server
def invitation(room: Room, *, by: Any) -> str:
    """What lets whoever has it into a private room, for `INVITATION_SECONDS`.

    It is good for as long as `by` may moderate the room, and until invitations are made void.
    """
    return memberships.invitation(room, Identity.of(by))


@on_working_server
def accept(token: str, user: Any) -> Room:
    """Take the place that an invitation offers."""
    return memberships.accept(token, Identity.of(user))


@on_working_server
def leave(room: Room, user: Any) -> None:
    """Give a place back for good; an owner passes the room on before."""
    memberships.leave(room.pk, Identity.of(user))


@on_working_server
def block(user: Any, other: Any) -> bool:
    """Block somebody for a user: a user, or the `user_id` of a user or guest.

    It closes their direct room, and refuses another one and places given by name. Returns
    whether the block is new. Raises `CommandError` with `unknown_user` or `limit_exceeded`.
    """
    return blocks.add(Identity.of(user), _key(other))


@on_working_server
def unblock(user: Any, other: Any) -> bool:
    """Unblock somebody; return whether there was a block."""
    return blocks.remove(Identity.of(user), _key(other))


@on_working_server
def blocked(user: Any) -> list[str]:
    """Return the `user_id` of everybody whom a user has blocked."""
    return blocks.of(Identity.of(user))


@on_working_server
def rights_changed(room: Room, user: Any = None) -> None:
    """Have it asked again what may be done in a room, by everybody or by one user.

    For what the package cannot see: bulk queries, and whatever else a site's policy rests on.
    """
    history.change_rights([room.pk], "" if user is None else Identity.of(user).user_id)


async def acreate(user: Any, title: str, **kwargs: Any) -> Room:
    """Make a room that belongs to `user`."""
    return await sync_to_async(create)(user, title, **kwargs)


async def adirect(user: Any, other: Any) -> Room:
    """The room of exactly these two users."""
    return await sync_to_async(direct)(user, other)


async def aadd(room: Room, user: Any, **kwargs: Any) -> bool:
    """Give a user a place in a private room."""
    return await sync_to_async(add)(room, user, **kwargs)


async def ainvitation(room: Room, **kwargs: Any) -> str:
    """What lets whoever has it into a private room."""
    return await sync_to_async(invitation)(room, **kwargs)


async def aaccept(token: str, user: Any) -> Room:
    """Take the place that an invitation offers."""
    return await sync_to_async(accept)(token, user)


async def aleave(room: Room, user: Any) -> None:
    """Give a place back."""
    await sync_to_async(leave)(room, user)


async def ablock(user: Any, other: Any) -> bool:
    """Block somebody for a user."""
    return await sync_to_async(block)(user, other)


async def aunblock(user: Any, other: Any) -> bool:
    """Unblock somebody."""
    return await sync_to_async(unblock)(user, other)


async def ablocked(user: Any) -> list[str]:
    """Return everybody whom a user has blocked."""
    return await sync_to_async(blocked)(user)


def _key(user: Any) -> str:
    return str(getattr(user, "pk", user))
