"""Lasting places in rooms: by name, by invitation, passed on, given back."""

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
from ..messages import log
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
    """Give a user a place in a private room; return whether they had none. `by` invites them.

    A user who left the room for good, or has blocked `by`, gets one by an own act only: by an
    invitation. Raises `CommandError`: `permission_denied` for a direct room, and for who is
    banned; `unknown_user` for who does not want the place.
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
        # The reason is theirs to know: it may be the site's, and anybody may have a room.
        others = _("That user may not enter this room.")
        raise denied(describe(ban) if is_own else others, room)
    if by is not None and not is_own and _is_unwanted(room, user, by):
        raise not_to_be_added()
    with transaction.atomic(using=database()):
        place, is_new = _places(room).get_or_create(room=room, user=user)
        if is_own:
            _departures(room).filter(user=user).delete()
        if is_new:
            audit.record(by, place, audit.ADDITION, f"added {user} to {room}")
    return bool(is_new)


def invitation(room: Room, by: Identity) -> str:
    """What lets whoever has it into a private room, for `INVITATION_SECONDS`.

    It is good for as long as whoever gave it out may moderate the room, and enter it.
    """
    if room.kind != Room.Kind.PRIVATE:
        raise denied(_("Only private rooms have invitations."), room)
    return signing.dumps([room.pk, room.invitation_key, by.user_id], salt=SALT)


def accept(token: str, who: Identity) -> Room:
    """Take the place that an invitation offers; raises `CommandError` where it is not good.

    All that may be wrong with it is told alike, so that nobody can ask about rooms.
    """
    if who.is_guest:
        raise CommandError(ErrorCode.PERMISSION_DENIED, _("Sign in to accept an invitation."))
    try:
        room_id, key, inviter = signing.loads(token, salt=SALT, max_age=config().invitation_seconds)
        room = Room.objects.using(database()).get(
            pk=room_id, invitation_key=key, kind=Room.Kind.PRIVATE
        )
        user = find_user(inviter)
    except (signing.BadSignature, TypeError, ValueError, Room.DoesNotExist, CommandError):
        raise _void() from None
    place = _places(room).filter(user=user).first()
    if not policy().may_moderate(Identity.of(user), room, place) or _ban(room, str(user.pk)):
        raise _void()
    _add(room, who.user, who)
    return room


def void_invitations(room: Room, by: Identity | None = None) -> None:
    """Make all invitations that are out worthless."""
    rooms = Room.objects.using(database()).filter(pk=room.pk)
    with transaction.atomic(using=database()):
        rooms.update(invitation_key=new_epoch())
        audit.record(by, room, audit.CHANGE, "made all invitations void")


def appoint(room: Room, user: Any, role: str, by: Identity | None = None) -> None:
    """Give a member another role; an owner who makes somebody else one becomes a moderator.

    Raises `CommandError`: `unknown_user` for who is no member, `permission_denied` for owners,
    and for who may not, or no more: many sockets may pass a room on at once.
    """
    with transaction.atomic(using=database()):
        places = _locked(room, user.pk, None if by is None else by.user_pk)
        place, own = places.get(user.pk), places.get(None if by is None else by.user_pk)
        if by is not None and not policy().may_manage(by, room, own):
            raise denied(_("Only the owner of a room can change roles."), room)
        if place is None:
            raise no_member()
        if place.role == Role.OWNER and place.role != role:
            raise denied(_("An owner has to pass the room on to get another role."), room)
        if place.role == role:
            return
        if role == Role.OWNER and own is not None and own.role == Role.OWNER and own != place:
            _set(own, Role.MODERATOR)
        _set(place, role)
        audit.record(by, place, audit.CHANGE, f"{user} is now {role} of {room}")


def not_to_be_added() -> CommandError:
    """The refusal for a user who does not exist, or who wants no place from whoever gives it."""
    message = _("There is no such user, or you cannot give them a place.")
    return CommandError(ErrorCode.UNKNOWN_USER, message)


def no_member() -> CommandError:
    """Make the refusal for a user without a place in a room, the same for an unknown user."""
    return CommandError(ErrorCode.UNKNOWN_USER, _("That user is not a member of this room."))


def leave(room_id: int, who: Identity) -> None:
    """Give one's own place back for good: only one's own act gives another one there.

    Raises `CommandError` where that would leave a room without an owner.
    """
    room = Room.objects.using(database()).filter(pk=room_id).first()
    if room is None:
        return
    with transaction.atomic(using=database()):
        places = _locked(room, who.user_pk)
        place = places.pop(who.user_pk, None)
        if place is None:
            return
        is_last = all(one.role != Role.OWNER for one in places.values())
        if place.role == Role.OWNER and is_last and _places(room).exclude(pk=place.pk).exists():
            raise denied(_("Pass the room on before you leave it."), room)
        place.delete()
        is_alone = place.role == Role.OWNER and is_last and room.creator_id is not None
        if is_alone and _close(room):
            return
        _departures(room).get_or_create(room=room, user=who.user)
        if room.kind == Room.Kind.DIRECT:
            change_rights([room.pk])  # it is closed for the other user as well


def _close(room: Room) -> bool:
    """Remove a room without an owner, or make it read-only if it has messages.

    Returns whether it is removed: only where nothing was ever said. A room that a user made
    must not go on without anybody who moderates it.
    """
    end = log.lock_heads(database(), {room.pk})[room.pk]  # no message is appended meanwhile
    if end.last_seq == 0:
        room.delete()
        return True
    room.is_read_only = True
    room.save(update_fields=["is_read_only"])
    return False


def answer_request(slug: str, who: Identity, is_accepted: bool) -> None:
    """Accept a direct room that a stranger has opened, or leave it for good.

    Raises `CommandError` with `not_joined` for a room where one has no place.
    """
    places = Membership.objects.using(database()).select_related("room")
    place = places.filter(room__slug=slug, user=who.user_pk).first()
    if place is None:
        message = _("You have no place in a direct room of this name.")
        raise CommandError(ErrorCode.NOT_JOINED, message, room=slug)
    if not place.is_request:
        return
    if is_accepted:
        place.is_request = False
        place.save(update_fields=["is_request"])
    else:
        leave(place.room_id, who)


def _is_unwanted(room: Room, user: Any, by: Identity) -> bool:
    """Whether a user has left a room for good, or wants nothing from who gives the place."""
    is_gone = _departures(room).filter(user=user).exists()
    return is_gone or blocks.has_blocked(user.pk, by.user_id)


def _ban(room: Room, user_key: str) -> Sanction | None:
    """What keeps a user out, by name."""
    return ban_among(active_for([Subject(user_key)], [room.pk]))


def _set(place: Membership, role: str) -> None:
    place.role = role
    place.save(update_fields=["role"])


def _locked(room: Room, *users: Any) -> dict[Any, Membership]:
    """The places of these users and of all owners, which stay so until the transaction ends."""
    rows = _places(room).filter(Q(user__in=users) | Q(role=Role.OWNER))
    return {one.user_id: one for one in rows.select_for_update().order_by("pk")}


def _places(room: Room) -> Any:
    return Membership.objects.using(database()).filter(room=room)


def _departures(room: Room) -> Any:
    return Departure.objects.using(database()).filter(room=room)


def _void() -> CommandError:
    return CommandError(ErrorCode.PERMISSION_DENIED, _("The invitation is no longer valid."))
