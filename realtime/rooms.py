"""Create rooms and manage memberships from any code: views, jobs, a shell.

    room = rooms.direct(request.user, other)                 # the room of these two
    token = rooms.invitation(room, by=request.user)          # for a link
    rooms.accept(token, request.user)
    rooms.add(room, user, by=request.user)
    rooms.room_for(order)                                    # the room of an object
    rooms.block(request.user, other)                         # closes their direct room

The policy decides who may create rooms; the caller checks the permission to add others or invite.
Refused calls raise `CommandError`. A connected user gets the event `invited` of a new membership
after the commit.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Model

from .models import Room
from .store.accounts.identity import Identity
from .store.database.servers import on_working_server
from .store.messages import history
from .store.rooms import blocks, bound, management, memberships

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
    "aroom_for",
    "aunblock",
    "block",
    "blocked",
    "create",
    "direct",
    "invitation",
    "leave",
    "refresh_rights",
    "room_for",
    "unblock",
]


@on_working_server
def create(user: Any, title: str, *, kind: str = "public", slug: str = "") -> Room:
    """Create a room that belongs to `user`; `kind` is "public" or "private".

    Raises `CommandError`: `permission_denied`, `limit_exceeded`, or `invalid_message` for a slug
    that is taken.
    """
    return management.create(Identity.of(user), title, kind=kind, slug=slug)


@on_working_server
def room_for(instance: Model, *, kind: str = "private", title: str = "") -> Room:
    """Return the room of an object of the site, such as an order; create it if there is none.

    The policy finds the object as `room.content_object`. Raises `ValueError` for an object that is
    not saved.
    """
    return bound.room_for(instance, kind=kind, title=title)


@on_working_server
def direct(user: Any, other: Any) -> Room:
    """Return the direct room of these two users; create it if there is none."""
    return management.direct(Identity.of(user), other)


@on_working_server
def add(room: Room, user: Any, *, by: Any = None) -> bool:
    """Make a user a member of a private room; return whether the membership is new.

    With `by` it is refused for a user who left the room for good or has blocked `by`. Without,
    it is an act of the site itself.
    """
    return memberships.add(room, user, None if by is None else Identity.of(by))


@on_working_server
def invitation(room: Room, *, by: Any) -> str:
    """Return an invitation token for a private room, which any user may accept.

    It is valid for `INVITATION_SECONDS`, while `by` may moderate the room, and until the
    invitations of the room are made void.
    """
    return memberships.invitation(room, Identity.of(by))


@on_working_server
def accept(token: str, user: Any) -> Room:
    """Accept an invitation, which makes the user a member; return the room."""
    return memberships.accept(token, Identity.of(user))


@on_working_server
def leave(room: Room, user: Any) -> None:
    """End a membership for good; an owner must pass the room on before."""
    memberships.leave(room.pk, Identity.of(user))


@on_working_server
def block(user: Any, other: Any) -> bool:
    """Block another user, or a `user_id` of a user or guest; return whether the block is new.

    It closes their direct room, and prevents a new one and memberships given by the blocked user.
    Raises `CommandError` with `unknown_user` or `limit_exceeded`.
    """
    return blocks.add(Identity.of(user), _key(other))


@on_working_server
def unblock(user: Any, other: Any) -> bool:
    """Unblock a user or guest; return whether there was a block."""
    return blocks.remove(Identity.of(user), _key(other))


@on_working_server
def blocked(user: Any) -> list[str]:
    """Return the `user_id`s that a user has blocked."""
    return blocks.of(Identity.of(user))


@on_working_server
def refresh_rights(room: Room, user: Any = None) -> None:
    """Re-check the rights of one user, or of all users, in a room.

    Call it after changes that the package cannot see: bulk queries, and other facts on which the
    policy of a site depends.
    """
    history.change_rights([room.pk], "" if user is None else Identity.of(user).user_id)


async def acreate(user: Any, title: str, **kwargs: Any) -> Room:
    """Create a room that belongs to `user`."""
    return await sync_to_async(create)(user, title, **kwargs)


async def aroom_for(instance: Model, **kwargs: Any) -> Room:
    """Return the room of an object; create it if there is none."""
    return await sync_to_async(room_for)(instance, **kwargs)


async def adirect(user: Any, other: Any) -> Room:
    """Return the direct room of these two users."""
    return await sync_to_async(direct)(user, other)


async def aadd(room: Room, user: Any, **kwargs: Any) -> bool:
    """Make a user a member of a private room."""
    return await sync_to_async(add)(room, user, **kwargs)


async def ainvitation(room: Room, **kwargs: Any) -> str:
    """Return an invitation token for a private room."""
    return await sync_to_async(invitation)(room, **kwargs)


async def aaccept(token: str, user: Any) -> Room:
    """Accept an invitation; return the room."""
    return await sync_to_async(accept)(token, user)


async def aleave(room: Room, user: Any) -> None:
    """End a membership for good."""
    await sync_to_async(leave)(room, user)


async def ablock(user: Any, other: Any) -> bool:
    """Block another user or guest."""
    return await sync_to_async(block)(user, other)


async def aunblock(user: Any, other: Any) -> bool:
    """Unblock a user or guest."""
    return await sync_to_async(unblock)(user, other)


async def ablocked(user: Any) -> list[str]:
    """Return the `user_id`s that a user has blocked."""
    return await sync_to_async(blocked)(user)


def _key(user: Any) -> str:
    return str(getattr(user, "pk", user))
