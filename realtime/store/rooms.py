"""Finding a room, and what an identity may do there."""

from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

from ..models import Head, Membership, Room
from ..policy import policy
from ..wire.errors import CommandError, ErrorCode
from .history import database, mark
from .identity import Identity

__all__ = ["Entry", "direct_key", "enter", "mark_read", "rights"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What an identity may do in a room, as decided when the room's rights were `rights_seq`."""

    room_id: int
    slug: str
    role: str
    rights_seq: int
    may_read_history: bool
    may_post: bool
    may_signal: bool


def enter(slug: str, who: Identity) -> Entry:
    """Let an identity into a room; a user who enters a public one becomes a member.

    Raises `CommandError` with `unknown_room` or `permission_denied`.
    """
    room, membership = _find(slug, who)
    entry = _decide(room, who, membership)
    if membership is None and who.user is not None and room.kind == Room.Kind.PUBLIC:
        Membership.objects.using(database()).bulk_create(
            [Membership(room=room, user_id=who.user_pk)], ignore_conflicts=True
        )
    return entry


def rights(slug: str, who: Identity) -> Entry:
    """What an identity may do in a room now; raises as `enter` does, and changes nothing."""
    room, membership = _find(slug, who)
    return _decide(room, who, membership)


def mark_read(room_id: int, user_pk: Any, seq: int) -> None:
    """Remember how far a user has read; never back, never beyond the end of the log."""
    Membership.objects.using(database()).filter(
        room=room_id, user=user_pk, read_seq__lt=seq, room__head__last_seq__gte=seq
    ).update(read_seq=seq)


def direct_key(one: str, other: str) -> str:
    """The key of the one direct room that two users have, whoever asks."""
    pair = "\0".join(sorted([one, other]))
    return blake2s(pair.encode(), digest_size=16).hexdigest()


def _find(slug: str, who: Identity) -> tuple[Room, Membership | None]:
    room = Room.objects.using(database()).select_related("head").filter(slug=slug).first()
    if room is None:
        raise _unknown(slug)
    if who.user is None:
        return room, None
    memberships = Membership.objects.using(database())
    return room, memberships.filter(room=room, user_id=who.user_pk).first()


def _decide(room: Room, who: Identity, membership: Membership | None) -> Entry:
    rules = policy()
    if not rules.may_see(who, room, membership):
        raise _unknown(room.slug)  # not "denied": that would tell that the room exists
    if not rules.may_join(who, room, membership):
        raise CommandError(
            ErrorCode.PERMISSION_DENIED, "you may not enter this room", room=room.slug
        )
    return Entry(
        room_id=room.pk,
        slug=room.slug,
        role=_role(room, who, membership),
        rights_seq=_rights_seq(room),
        may_read_history=rules.may_read_history(who, room, membership),
        may_post=rules.may_post(who, room, membership),
        may_signal=rules.may_signal(who, room, membership),
    )


def _role(room: Room, who: Identity, membership: Membership | None) -> str:
    if membership is not None:
        return membership.role
    return "guest" if who.is_guest else Membership.Role.MEMBER.value


def _rights_seq(room: Room) -> int:
    try:
        return room.head.rights_seq
    except Head.DoesNotExist:
        return mark(room.pk).rights_seq


def _unknown(slug: str) -> CommandError:
    return CommandError(ErrorCode.UNKNOWN_ROOM, "there is no such room", room=slug)
