"""Memberships: add and invite users, accept, appoint, leave."""

from typing import Any

from django.core import signing
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...models import Departure, Membership, Room, Sanction
from ...models.rooms import new_epoch
from ...policy import policy
from ...signals import invited
from ...wire.errors import CommandError, ErrorCode
from ..accounts.identity import Identity
from ..accounts.visitor import Subject
from ..database.alias import database
from ..messages import logs
from ..messages.history import change_rights
from ..moderation import audit
from ..moderation.actions import find_user
from ..moderation.sanctions import active_for, ban_among, describe
from . import blocks
from .access import denied

__all__ = [
    "accept",
    "add",
    "answer_request",
    "appoint",
    "invitation",
    "leave",
    "no_member",
    "void_invitations",
]

Role = Membership.Role
SALT = "realtime.invitation"


def add(room: Room, user: Any, by: Identity | None = None) -> bool:
    """Make a user a member of a room on behalf of `by`; return whether the membership is new.

    A user who left the room for good, or has blocked `by`, can only accept an invitation. Raises
    `CommandError`: `permission_denied` for a direct room or a banned user, `unknown_user` for a
    user who refuses the membership.
    """
    is_new = _add(room, user, by)
    if is_new and by is not None:
        invited.send(None, room=room, user_id=str(user.pk), by=by, is_request=False)
    return is_new


def _add(room: Room, user: Any, by: Identity | None) -> bool:
    if room.kind == Room.Kind.DIRECT:
        raise denied(_("A direct room is for two."), room)
    is_own = by is not None and by.user_pk == user.pk
    if (ban := _ban(room, str(user.pk))) is not None:
        # Only the banned user sees the reason: it may be the site's, and any user may own a room.
        others = _("That user may not enter this room.")
        raise denied(describe(ban) if is_own else others, room)
    if by is not None and not is_own and _is_unwanted(room, user, by):
        raise not_to_be_added()
    with transaction.atomic(using=database()):
        membership, is_new = _memberships(room).get_or_create(room=room, user=user)
        if is_own:
            _departures(room).filter(user=user).delete()
        if is_new:
            audit.record(by, membership, audit.ADDITION, f"added {user} to {room}")
    return bool(is_new)


def invitation(room: Room, by: Identity) -> str:
    """Return an invitation token for a private room, which any user may accept.

    It is valid for `INVITATION_SECONDS`, and while the inviting user may moderate and enter the
    room.
    """
    if room.kind != Room.Kind.PRIVATE:
        raise denied(_("Only private rooms have invitations."), room)
    return signing.dumps([room.pk, room.invitation_key, by.user_id], salt=SALT)


def accept(token: str, identity: Identity) -> Room:
    """Accept an invitation, which makes the user a member; return the room.

    Raises `CommandError`. All invalid invitations get the same error, which reveals no rooms.
    """
    if identity.is_guest:
        raise CommandError(ErrorCode.PERMISSION_DENIED, _("Sign in to accept an invitation."))
    try:
        room_id, key, inviter = signing.loads(token, salt=SALT, max_age=config().invitation_seconds)
        room = Room.objects.using(database()).get(
            pk=room_id, invitation_key=key, kind=Room.Kind.PRIVATE
        )
        user = find_user(inviter)
    except (signing.BadSignature, TypeError, ValueError, Room.DoesNotExist, CommandError):
        raise _void() from None
    membership = _memberships(room).filter(user=user).first()
    if not policy().may_moderate(Identity.of(user), room, membership) or _ban(room, str(user.pk)):
        raise _void()
    _add(room, identity.user, identity)
    return room


def void_invitations(room: Room, by: Identity | None = None) -> None:
    """Invalidate all invitations to a room that were given out."""
    rooms = Room.objects.using(database()).filter(pk=room.pk)
    with transaction.atomic(using=database()):
        rooms.update(invitation_key=new_epoch())
        audit.record(by, room, audit.CHANGE, "made all invitations void")


def appoint(room: Room, user: Any, role: str, by: Identity | None = None) -> None:
    """Change the role of a member; an owner who appoints another owner becomes a moderator.

    Raises `CommandError`: `unknown_user` for a user who is no member; `permission_denied` for an
    owner, or if `by` may not appoint, which is checked under a lock: several connections may pass
    a room on at the same time.
    """
    with transaction.atomic(using=database()):
        found = _locked(room, user.pk, None if by is None else by.user_pk)
        membership, own = found.get(user.pk), found.get(None if by is None else by.user_pk)
        if by is not None and not policy().may_manage(by, room, own):
            raise denied(_("Only the owner of a room can change roles."), room)
        if membership is None:
            raise no_member()
        if membership.role == Role.OWNER and membership.role != role:
            raise denied(_("An owner has to pass the room on to get another role."), room)
        if membership.role == role:
            return
        if role == Role.OWNER and own is not None and own.role == Role.OWNER and own != membership:
            _set(own, Role.MODERATOR)
        _set(membership, role)
        audit.record(by, membership, audit.CHANGE, f"{user} is now {role} of {room}")


def not_to_be_added() -> CommandError:
    """Return the error for a user who does not exist, or does not want to be added by this user."""
    message = _("There is no such user, or you cannot give them a place.")
    return CommandError(ErrorCode.UNKNOWN_USER, message)


def no_member() -> CommandError:
    """Return the error for a user who is no member, the same for an unknown user."""
    return CommandError(ErrorCode.UNKNOWN_USER, _("That user is not a member of this room."))


def leave(room_id: int, identity: Identity) -> None:
    """End the own membership of a user for good: only the user's own act gives another one.

    Raises `CommandError` if that would leave a room with members but without an owner.
    """
    room = Room.objects.using(database()).filter(pk=room_id).first()
    if room is None:
        return
    with transaction.atomic(using=database()):
        others = _locked(room, identity.user_pk)
        own = others.pop(identity.user_pk, None)
        if own is None:
            return
        is_last = all(one.role != Role.OWNER for one in others.values())
        if own.role == Role.OWNER and is_last and _memberships(room).exclude(pk=own.pk).exists():
            raise denied(_("Pass the room on before you leave it."), room)
        own.delete()
        is_alone = own.role == Role.OWNER and is_last and room.creator_id is not None
        if is_alone and _close(room):
            return
        _departures(room).get_or_create(room=room, user=identity.user)
        if room.kind == Room.Kind.DIRECT:
            change_rights([room.pk])  # it is closed for the other user as well


def _close(room: Room) -> bool:
    """Delete a room without an owner, or make it read-only if it ever had messages.

    Return whether it was deleted. A room that a user made must not stay open without a moderator.
    """
    end = logs.lock_logs(database(), {room.pk})[room.pk]  # no message is appended meanwhile
    if end.last_seq == 0:
        room.delete()
        return True
    room.is_read_only = True
    room.save(update_fields=["is_read_only"])
    return False


def answer_request(slug: str, identity: Identity, is_accepted: bool) -> None:
    """Accept a direct room that a stranger has opened, or leave it for good.

    Raises `CommandError` with `not_joined` if the user is no member of the room.
    """
    rows = Membership.objects.using(database()).select_related("room")
    membership = rows.filter(room__slug=slug, user=identity.user_pk).first()
    if membership is None:
        message = _("You have no place in a direct room of this name.")
        raise CommandError(ErrorCode.NOT_JOINED, message, room=slug)
    if not membership.is_request:
        return
    if is_accepted:
        membership.is_request = False
        membership.save(update_fields=["is_request"])
    else:
        leave(membership.room_id, identity)


def _is_unwanted(room: Room, user: Any, by: Identity) -> bool:
    """Return whether the user has left the room for good, or has blocked the adding user."""
    is_gone = _departures(room).filter(user=user).exists()
    return is_gone or blocks.has_blocked(user.pk, by.user_id)


def _ban(room: Room, user_key: str) -> Sanction | None:
    """Return a ban that applies to the user by `user_id`."""
    return ban_among(active_for([Subject(user_key)], [room.pk]))


def _set(membership: Membership, role: str) -> None:
    membership.role = role
    membership.save(update_fields=["role"])


def _locked(room: Room, *users: Any) -> dict[Any, Membership]:
    """Lock the memberships of these users and of all owners until the transaction ends."""
    rows = _memberships(room).filter(Q(user__in=users) | Q(role=Role.OWNER))
    return {one.user_id: one for one in rows.select_for_update().order_by("pk")}


def _memberships(room: Room) -> Any:
    return Membership.objects.using(database()).filter(room=room)


def _departures(room: Room) -> Any:
    return Departure.objects.using(database()).filter(room=room)


def _void() -> CommandError:
    return CommandError(ErrorCode.PERMISSION_DENIED, _("The invitation is no longer valid."))
