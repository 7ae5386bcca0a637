"""Finding a room, and what an identity may do there."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any, NamedTuple

from ..models import Membership, Room
from ..policy import policy
from ..wire.errors import CommandError, ErrorCode
from .history import database, make_heads
from .identity import Identity

__all__ = ["Entry", "all_rights", "direct_key", "enter", "enter_all", "mark_read", "rights"]


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


Ask = tuple[str, Identity]
"""The slug of a room, and who asks for it."""
Verdict = Entry | Exception


def enter(slug: str, who: Identity) -> Entry:
    """Let an identity into a room; a user who enters a public one becomes a member.

    Raises `CommandError` with `unknown_room` or `permission_denied`.
    """
    return _only(enter_all([(slug, who)]))


def rights(slug: str, who: Identity) -> Entry:
    """What an identity may do in a room now; raises as `enter` does, and changes nothing."""
    return _only(all_rights([(slug, who)]))


def enter_all(asked: Iterable[Ask]) -> dict[Ask, Verdict]:
    """As `enter` for many at once, in a few queries; a refusal is returned."""
    found = _find(asked)
    verdicts = _decide_all(found)
    members = [
        Membership(room=one.room, user_id=who.user_pk)
        for (slug, who), one in found.items()
        if isinstance(verdicts[slug, who], Entry) and one.may_become_member(who)
    ]
    if members:
        # In one order for all processes, so that no two wait for each other.
        members.sort(key=lambda member: (member.room_id, str(member.user_id)))
        Membership.objects.using(database()).bulk_create(members, ignore_conflicts=True)
    return verdicts


def all_rights(asked: Iterable[Ask]) -> dict[Ask, Verdict]:
    """As `rights` for many at once, in a few queries; a refusal is returned."""
    return _decide_all(_find(asked))


def mark_read(room_id: int, user_pk: Any, seq: int) -> None:
    """Remember how far a user has read; never back, never beyond the end of the log."""
    Membership.objects.using(database()).filter(
        room=room_id, user=user_pk, read_seq__lt=seq, room__head__last_seq__gte=seq
    ).update(read_seq=seq)


def direct_key(one: str, other: str) -> str:
    """The key of the one direct room that two users have, whoever asks."""
    pair = "\0".join(sorted([one, other]))
    return blake2s(pair.encode(), digest_size=16).hexdigest()


class _Found(NamedTuple):
    """The room that was asked for, and the place in it that somebody has."""

    room: Room | None
    membership: Membership | None = None

    def may_become_member(self, who: Identity) -> bool:
        if self.room is None or self.membership is not None or who.user is None:
            return False
        return self.room.kind == Room.Kind.PUBLIC


def _find(asked: Iterable[Ask]) -> dict[Ask, _Found]:
    asked = list(asked)
    rooms = _rooms({slug for slug, _ in asked})
    users = {who.user_pk for slug, who in asked if who.user is not None and slug in rooms}
    memberships: dict[tuple[int, Any], Membership] = {}
    if users:
        places = Membership.objects.using(database()).filter(room__in=rooms.values())
        memberships = {(one.room_id, one.user_id): one for one in places.filter(user__in=users)}
    found = {}
    for slug, who in asked:
        room = rooms.get(slug)
        place = memberships.get((room.pk, who.user_pk)) if room is not None else None
        found[slug, who] = _Found(room, place)
    return found


def _rooms(slugs: set[str]) -> dict[str, Room]:
    """Rooms with their heads, by slug."""
    rows = Room.objects.using(database()).select_related("head").filter(slug__in=slugs)
    rooms = {room.slug: room for room in rows}
    if headless := [room.pk for room in rooms.values() if not hasattr(room, "head")]:
        make_heads(database(), headless)
        rooms = {room.slug: room for room in rows.all()}
    return rooms


def _decide_all(found: dict[Ask, _Found]) -> dict[Ask, Verdict]:
    verdicts: dict[Ask, Verdict] = {}
    for (slug, who), (room, membership) in found.items():
        try:
            verdicts[slug, who] = _decide(room, slug, who, membership)
        except Exception as error:  # of a site's own policy: it concerns nobody else
            verdicts[slug, who] = error
    return verdicts


def _only(verdicts: dict[Ask, Verdict]) -> Entry:
    [verdict] = verdicts.values()
    if isinstance(verdict, Exception):
        raise verdict
    return verdict


def _decide(room: Room | None, slug: str, who: Identity, membership: Membership | None) -> Entry:
    rules = policy()
    if room is None or not rules.may_see(who, room, membership):
        raise _unknown(slug)  # not "denied": that would tell that the room exists
    if not rules.may_join(who, room, membership):
        raise CommandError(
            ErrorCode.PERMISSION_DENIED, "you may not enter this room", room=room.slug
        )
    return Entry(
        room_id=room.pk,
        slug=room.slug,
        role=_role(room, who, membership),
        rights_seq=room.head.rights_seq,
        may_read_history=rules.may_read_history(who, room, membership),
        may_post=rules.may_post(who, room, membership),
        may_signal=rules.may_signal(who, room, membership),
    )


def _role(room: Room, who: Identity, membership: Membership | None) -> str:
    if membership is not None:
        return membership.role
    return "guest" if who.is_guest else Membership.Role.MEMBER.value


def _unknown(slug: str) -> CommandError:
    return CommandError(ErrorCode.UNKNOWN_ROOM, "there is no such room", room=slug)
