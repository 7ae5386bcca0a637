"""Access to rooms: find a room, and decide what an identity may do there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ...models import Departure, Membership, Room, Sanction
from ...policy import Policy, policy
from ...wire.errors import CommandError, ErrorCode
from ..accounts.identity import Identity, direct_key
from ..accounts.visitor import Subject
from ..database.alias import database
from ..messages.history import mark
from ..moderation.sanctions import active_for, applicable, ban_among, describe, ends_in, matches
from . import blocks

__all__ = [
    "NO_ROOM",
    "AccessRequest",
    "RoomAccess",
    "all_rights",
    "denied",
    "direct_key",
    "enter",
    "enter_all",
    "mark_read",
    "membership_of",
    "rights",
    "room_of",
    "unknown",
    "would_see",
]

NO_ROOM = 0
"""The primary key of no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomAccess:
    """What an identity may do in a room, as decided at `rights_seq` of the room's rights.

    It expires at `until`. With a `mute` the identity may neither post nor signal.
    """

    room_id: int
    slug: str
    title: str
    kind: str
    role: str
    rights_seq: int
    may_read_history: bool
    may_post: bool
    may_signal: bool
    may_moderate: bool
    may_manage: bool
    is_read_only: bool
    slow_seconds: int
    mute: Sanction | None = None
    user_keys: tuple[str, ...] = ()
    until: datetime | None = None
    is_request: bool = False
    """Whether a stranger opened this direct room and the user has not accepted it."""
    is_closed: bool = False
    """Whether one of the two users of this direct room has left it, or has blocked the other."""

    @property
    def refusal(self) -> Promise:
        """Return the text of an error for a command that is not allowed here."""
        if self.is_closed:
            return _("This conversation is closed.")
        muted = self.muted
        return _("You may not do this here.") if muted is None else muted

    @property
    def muted(self) -> Promise | None:
        """Return the text for a muted user, or None."""
        return None if self.mute is None else describe(self.mute, *self.user_keys)

    @property
    def rights(self) -> list[str]:
        """Return the names of the rights in the protocol."""
        may = {
            "post": self.may_post,
            "signal": self.may_signal,
            "moderate": self.may_moderate,
            "manage": self.may_manage,
        }
        return [name for name, is_allowed in may.items() if is_allowed]


@dataclass(frozen=True, slots=True, eq=False)
class AccessRequest:
    """A user or guest that asks for access to a room.

    No two are equal: middleware may have put users with the same key and different rights into
    the scopes of two connections.
    """

    slug: str
    identity: Identity
    address: str = ""
    since: datetime | None = None
    """When the user entered the room; None for a user who enters now."""

    @property
    def subject(self) -> Subject:
        """Return the target of bans and mutes."""
        return Subject.of(self.identity, self.address, self.since)


AccessResult = RoomAccess | Exception


def enter(slug: str, identity: Identity) -> RoomAccess:
    """Let an identity into a room; a user who enters a public one becomes a member.

    Raises `CommandError` with `unknown_room` or `permission_denied`.
    """
    return _only(enter_all([AccessRequest(slug, identity)]))


def rights(slug: str, identity: Identity) -> RoomAccess:
    """Return what an identity may do in a room now; raises as `enter`, and writes nothing."""
    return _only(all_rights([AccessRequest(slug, identity)]))


def enter_all(requests: Iterable[AccessRequest]) -> dict[AccessRequest, AccessResult]:
    """As `enter` for many requests, in a few queries; errors are returned, not raised."""
    found = _find(requests)
    results = _decide_all(found)
    members = {
        request: Membership(room=one.room, user_id=one.user_pk)
        for request, one in found.items()
        if isinstance(results[request], RoomAccess) and one.may_become_member
    }
    return results | _insert(members) if members else results


def all_rights(requests: Iterable[AccessRequest]) -> dict[AccessRequest, AccessResult]:
    """As `rights` for many requests, in a few queries; errors are returned, not raised."""
    return _decide_all(_find(requests))


def room_of(access: RoomAccess) -> Room:
    """Return the row of a room; raise `CommandError` with `unknown_room` if it is gone."""
    room = Room.objects.using(database()).filter(pk=access.room_id).first()
    if room is None:
        raise unknown(access.slug)
    return room


def room_id_of(slug: str) -> int:
    """Return the primary key of the room with this slug; raise `Room.DoesNotExist`."""
    room_id: int = Room.objects.using(database()).values_list("pk", flat=True).get(slug=slug)
    return room_id


def membership_of(identity: Identity, room_id: int) -> Membership | None:
    """Return the user's membership in a room, or None."""
    if (user_pk := _user_pk(identity)) is None:
        return None
    return Membership.objects.using(database()).filter(room=room_id, user=user_pk).first()


def mark_read(room_id: int, user_pk: Any, seq: int) -> None:
    """Store how far a user has read; never backwards, never beyond the end of the log."""
    Membership.objects.using(database()).filter(
        room=room_id, user=user_pk, read_seq__lt=seq, room__log__last_seq__gte=seq
    ).update(read_seq=seq)


class _Found(NamedTuple):
    """The rows for one request: the room, the user's membership and the active sanctions."""

    room: Room | None
    user_pk: Any
    membership: Membership | None
    sanctions: list[Sanction]
    is_closed: bool = False

    @property
    def may_become_member(self) -> bool:
        if self.room is None or self.user_pk is None or self.membership is not None:
            return False
        return self.room.kind == Room.Kind.PUBLIC


def _find(requests: Iterable[AccessRequest]) -> dict[AccessRequest, _Found]:
    users = {request: _user_pk(request.identity) for request in requests}
    rooms = _rooms({request.slug for request in users})
    # The same queries if there is no room: response times must not reveal hidden rooms.
    room_ids = [room.pk for room in rooms.values()] or [NO_ROOM]
    wanted = {pk for pk in users.values() if pk is not None}
    memberships: dict[tuple[int, Any], Membership] = {}
    if wanted:
        rows = Membership.objects.using(database()).filter(room__in=room_ids)
        memberships = {(one.room_id, one.user_id): one for one in rows.filter(user__in=wanted)}
    closed = _closed(memberships.values(), rooms.values())
    sanctions = active_for({request.subject for request in users}, room_ids)
    found = {}
    for request, pk in users.items():
        room = rooms.get(request.slug)
        membership = memberships.get((room.pk, pk)) if room is not None else None
        mine = [one for one in sanctions if _covers(one, room) and matches(one, request.subject)]
        is_closed = room is not None and room.pk in closed
        found[request] = _Found(room, pk, membership, mine, is_closed)
    return found


def _closed(memberships: Iterable[Membership], rooms: Iterable[Room]) -> set[int]:
    """Return the direct rooms among these memberships that are closed."""
    direct = {room.pk for room in rooms if room.kind == Room.Kind.DIRECT}
    return blocks.closed(direct & {one.room_id for one in memberships})


def _covers(sanction: Sanction, room: Room | None) -> bool:
    return sanction.room_id is None or (room is not None and sanction.room_id == room.pk)


def _user_pk(identity: Identity) -> Any:
    """Return the primary key as the database has it; None for a guest, or an invalid key."""
    if identity.user is None:
        return None
    try:
        return Membership._meta.get_field("user").target_field.to_python(identity.user_pk)
    except ValidationError:
        return None


def _insert(members: dict[AccessRequest, Membership]) -> dict[AccessRequest, AccessResult]:
    """Insert memberships; return the errors of those that failed."""
    # In the same order in all processes, so that no two deadlock.
    rows = sorted(members.values(), key=lambda row: (row.room_id, str(row.user_id)))
    failed: dict[AccessRequest, AccessResult] = {}
    try:
        _insert_all(rows)
    except IntegrityError:  # a user, or the room, was deleted meanwhile
        for request, row in members.items():
            try:
                _insert_all([row])
            except IntegrityError as error:
                failed[request] = error
    return failed


def _insert_all(rows: list[Membership]) -> None:
    with transaction.atomic(using=database()):
        Membership.objects.using(database()).bulk_create(rows, ignore_conflicts=True)
        _delete_departures(rows)


def _delete_departures(rows: list[Membership]) -> None:
    """Delete the departures of users who left for good and have now returned by themselves."""
    users: dict[int, list[Any]] = {}
    for row in rows:
        users.setdefault(row.room_id, []).append(row.user_id)
    for room_id, mine in users.items():
        Departure.objects.using(database()).filter(room=room_id, user__in=mine).delete()


def _rooms(slugs: set[str]) -> dict[str, Room]:
    """Return rooms with their logs, by slug."""
    rows = Room.objects.using(database()).select_related("log").filter(slug__in=slugs)
    return {room.slug: room for room in rows}


def _rights_seq(room: Room) -> int:
    """Return the number of changes of a room's rights; a room without a log gets one."""
    if hasattr(room, "log"):
        return room.log.rights_seq
    try:
        return mark(room.pk).rights_seq
    except IntegrityError:  # it was deleted meanwhile
        raise unknown(room.slug) from None


def _decide_all(found: dict[AccessRequest, _Found]) -> dict[AccessRequest, AccessResult]:
    results: dict[AccessRequest, AccessResult] = {}
    rules = policy()
    for request, one in found.items():
        try:
            results[request] = _decide(rules, request, one)
        except Exception as error:  # in a site's policy: it must not affect the other requests
            results[request] = error
    return results


def _only(results: dict[AccessRequest, AccessResult]) -> RoomAccess:
    [result] = results.values()
    if isinstance(result, Exception):
        raise result
    return result


def _decide(rules: Policy, request: AccessRequest, found: _Found) -> RoomAccess:
    identity, room, membership = request.identity, found.room, found.membership
    if room is None:
        would_see(identity, request.slug, rules)  # the same work as for a hidden room
        raise unknown(request.slug)
    if not rules.may_see(identity, room, membership):
        raise unknown(request.slug)  # not "denied": that would reveal that the room exists
    may_moderate = rules.may_moderate(identity, room, membership)
    sanctions = applicable(found.sanctions, identity, is_moderator=may_moderate)
    if (ban := ban_among(sanctions)) is not None:
        raise denied(describe(ban, *identity.user_ids), room, retry_after=ends_in(ban))
    if not rules.may_join(identity, room, membership):
        raise denied(_("You may not enter this room."), room)
    mutes = [one for one in sanctions if one.kind == Sanction.Kind.MUTE]
    may_speak = not mutes and not found.is_closed
    return RoomAccess(
        room_id=room.pk,
        slug=room.slug,
        title=room.title,
        kind=room.kind,
        role=_role(room, identity, membership),
        rights_seq=_rights_seq(room),
        may_read_history=rules.may_read_history(identity, room, membership),
        may_post=may_speak and rules.may_post(identity, room, membership),
        may_signal=may_speak and rules.may_signal(identity, room, membership),
        may_moderate=may_moderate,
        may_manage=rules.may_manage(identity, room, membership),
        is_read_only=room.is_read_only,
        slow_seconds=0 if may_moderate else room.slow_seconds,
        mute=_longest(mutes),
        user_keys=identity.user_ids,
        until=min((one.ends_at for one in mutes if one.ends_at), default=None),
        is_request=membership is not None and membership.is_request,
        is_closed=found.is_closed,
    )


def would_see(identity: Identity, slug: str, rules: Policy) -> bool:
    """Return whether an identity without a membership would see a private room with this slug.

    False if a site's policy raises, as it may for a room that does not exist.
    """
    hidden = Room(pk=NO_ROOM, slug=slug, kind=Room.Kind.PRIVATE)
    try:
        return rules.may_see(identity, hidden, None)
    except Exception:
        return False


def _longest(mutes: list[Sanction]) -> Sanction | None:
    """Return the mute that ends last."""
    return max(
        mutes, key=lambda one: (one.ends_at is None, one.ends_at or one.created_at), default=None
    )


def _role(room: Room, identity: Identity, membership: Membership | None) -> str:
    if membership is not None:
        return membership.role
    return "guest" if identity.is_guest else Membership.Role.MEMBER.value


def unknown(slug: str) -> CommandError:
    """Return the error for a room that does not exist, or that the client may not see."""
    return CommandError(ErrorCode.UNKNOWN_ROOM, _("There is no such room."), room=slug)


def denied(text: Promise, room: Room, *, retry_after: float | None = None) -> CommandError:
    """Return the error for an action in a room that the client may see."""
    return CommandError(ErrorCode.PERMISSION_DENIED, text, room=room.slug, retry_after=retry_after)
