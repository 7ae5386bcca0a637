"""Create and configure rooms."""

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import CharField, Exists, Func, OuterRef, Q, Value
from django.db.models.functions import Length
from django.utils.text import format_lazy, slugify
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...models import Departure, Membership, Message, Room
from ...policy import policy
from ...signals import invited
from ...wire.commands import MAX_SLOW_SECONDS, TITLE_CHARACTERS
from ...wire.errors import CommandError, ErrorCode
from ...wire.looks import clean_line, is_visible
from ..accounts.identity import Identity, direct_key
from ..database.alias import database
from ..messages.history import change_rights
from ..moderation import audit
from ..moderation.names import room_problem
from . import blocks
from .access import NO_ROOM, would_see

__all__ = ["configure", "create", "direct", "unreachable"]

SLUG_CHARACTERS = 100
HEXADECIMAL, RANDOM_CHARACTERS = "0123456789abcdef", 16
"""The characters of the random slugs that `create` gives to private rooms, and their number."""
INVISIBLE_TITLE = _("A title needs a letter, a number or a symbol.")


def create(identity: Identity, title: str, *, kind: str, slug: str = "") -> Room:
    """Create a room that belongs to the user.

    The slug of a public room is `slug` or follows from the title. It gets a random ending if the
    name alone could reveal a private room. The slug of a private room is random, so that it cannot
    be guessed. Raises `CommandError`: `permission_denied`, `limit_exceeded`, `invalid_message`.
    """
    if not policy().may_create(identity, kind):
        raise CommandError(ErrorCode.PERMISSION_DENIED, _("You may not make rooms."))
    _check_number(identity, config().rooms_per_user - 1)
    if kind == Room.Kind.PRIVATE:
        slug = secrets.token_hex(RANDOM_CHARACTERS // 2)
    title = _title(title)
    slug = slugify(clean_line(slug, SLUG_CHARACTERS) or title, allow_unicode=True)[:SLUG_CHARACTERS]
    if not is_visible(slug) or (title and not is_visible(title)):
        raise CommandError(ErrorCode.INVALID_MESSAGE, INVISIBLE_TITLE)
    if kind == Room.Kind.PRIVATE:
        return _found(identity, slug, title, kind)
    if problem := room_problem(None, slug, title, creator=identity.user_pk):
        raise CommandError(ErrorCode.INVALID_MESSAGE, problem)
    _check_taken(identity, slug)
    try:
        return _found(
            identity, _with_ending(slug) if _are_names_secret(identity) else slug, title, kind
        )
    except IntegrityError:  # a room was made meanwhile, or a policy hides the room
        _check_taken(identity, slug)
        return _found(identity, _with_ending(slug), title, kind)


def direct(identity: Identity, other: Any) -> Room:
    """Return the direct room of these two users; create it and invite the other if there is none.

    The other user gets no membership after leaving the room for good, or blocking the first.
    Raises `CommandError`: `permission_denied`, `invalid_message`, or `unknown_user` for a user who
    cannot be written to, whatever the reason.
    """
    if (
        identity.is_guest
        or not config().direct_rooms
        or not policy().may_open_direct(identity, other)
    ):
        raise _no_direct(identity)
    if identity.user_pk == other.pk:
        message = _("You cannot open a direct room with yourself.")
        raise CommandError(ErrorCode.INVALID_MESSAGE, message)
    key = direct_key(identity.user_id, str(other.pk))
    with transaction.atomic(using=database()):
        if not _memberships().filter(room__direct_key=key, user=identity.user_pk).exists():
            _check_blocks(identity, other)
        room: Room
        room, is_new = _rooms().get_or_create(
            # A slug derived from the two users could be occupied, or probed for, by others.
            {"slug": f"direct-{secrets.token_hex(12)}", "kind": Room.Kind.DIRECT},
            direct_key=key,
        )
        is_request = is_new and _are_strangers(identity, other)
        if _add_both(room, identity, other, is_request=is_request):
            change_rights([room.pk])  # for both users, because the room was closed
        if is_new:
            invited.send(None, room=room, user_id=str(other.pk), by=identity, is_request=is_request)
    return room


def unreachable() -> CommandError:
    """Return the error for a user who does not exist, or refuses to be written to."""
    message = _("There is no such user, or you cannot write to them.")
    return CommandError(ErrorCode.UNKNOWN_USER, message)


def configure(
    room: Room,
    by: Identity | None = None,
    *,
    title: str | None = None,
    slow_seconds: int | None = None,
    is_read_only: bool | None = None,
) -> None:
    """Change those settings of a room that are given; members are notified as of rights.

    Raises `CommandError` with `invalid_message`.
    """
    if slow_seconds is not None and not 0 <= slow_seconds <= MAX_SLOW_SECONDS:
        message = format_lazy(
            _("Slow mode may have at most {number} seconds."), number=MAX_SLOW_SECONDS
        )
        raise CommandError(ErrorCode.INVALID_MESSAGE, message)
    wanted = {
        "title": None if title is None else _title(title),
        "slow_seconds": slow_seconds,
        "is_read_only": is_read_only,
    }
    if title and not is_visible(_title(title)):
        raise CommandError(ErrorCode.INVALID_MESSAGE, INVISIBLE_TITLE)
    if title and by is not None and room.kind == Room.Kind.PUBLIC:
        _check_names(room, _title(title))
    with transaction.atomic(using=database()):
        now = _rooms().filter(pk=room.pk).values(*wanted).first() or {}
        changed = {
            name: value
            for name, value in wanted.items()
            if value is not None and value != now.get(name)
        }
        if not changed:
            return
        for name, value in changed.items():
            setattr(room, name, value)
        room.save(update_fields=list(changed))
        text = ", ".join(f"{name}: {value}" for name, value in changed.items())
        audit.record(by, room, audit.CHANGE, text)


def _found(identity: Identity, slug: str, title: str, kind: str) -> Room:
    with transaction.atomic(using=database()):
        _lock(identity)
        room: Room = _rooms().create(slug=slug, title=title, kind=kind, creator=identity.user)
        _join(room, identity.user, role=Membership.Role.OWNER)
        _check_number(identity, config().rooms_per_user)  # again, now that the user is locked
        audit.record(identity, room, audit.ADDITION, "made the room")
    return room


def _check_taken(identity: Identity, slug: str) -> None:
    """Refuse the slug of a room that the user may see; other slugs take the same time."""
    room = _rooms().filter(slug=slug).first()
    room_id = NO_ROOM if room is None else room.pk
    membership = _memberships().filter(room=room_id, user=identity.user_pk).first()
    if room is None:
        would_see(identity, slug, policy())
    elif policy().may_see(identity, room, membership):
        message = _("There is already a room of this name. Choose another one.")
        raise CommandError(ErrorCode.INVALID_MESSAGE, message)


def _are_names_secret(identity: Identity) -> bool:
    """Return whether a slug that is taken could reveal a private room to the user.

    The random slugs that `create` gives to private rooms cannot be guessed; others can. While there
    are others, all rooms of users get a random ending, so that no answer differs.
    """
    if would_see(identity, "", policy()):
        return False
    # By functions of the database, as all private rooms may have to be read: for a regular
    # expression, SQLite calls Python for each row.
    rest = Func("slug", Value(HEXADECIMAL), function="LTRIM", output_field=CharField())
    private = _rooms().filter(kind=Room.Kind.PRIVATE).annotate(rest=rest, size=Length("slug"))
    return bool(private.exclude(rest="", size=RANDOM_CHARACTERS).exists())


def _with_ending(slug: str) -> str:
    ending = f"-{secrets.token_hex(3)}"
    return slug[: SLUG_CHARACTERS - len(ending)] + ending


def _no_direct(identity: Identity) -> CommandError:
    # The answer of a policy about a user must not reveal that the user exists.
    if identity.is_guest or not config().direct_rooms:
        return CommandError(ErrorCode.PERMISSION_DENIED, _("You may not open direct rooms."))
    return unreachable()


def _check_blocks(identity: Identity, other: Any) -> None:
    if blocks.has_blocked(identity.user_pk, str(other.pk)):
        raise CommandError(ErrorCode.PERMISSION_DENIED, _("Unblock this user first."))
    if blocks.has_blocked(other.pk, identity.user_id):
        raise unreachable()


def _are_strangers(identity: Identity, other: Any) -> bool:
    """Return whether two users share no private or direct room.

    A room made by a user counts only if the other user made it, or has written in it: a user
    may have been added to such a room without being asked.
    """
    mine = _memberships().filter(user=identity.user_pk).exclude(room__kind=Room.Kind.PUBLIC)
    shared = _rooms().filter(pk__in=mine.values("room"), memberships__user=other.pk)
    spoken = Message.objects.using(database()).filter(room=OuterRef("pk"), sender=str(other.pk))
    is_own_act = Q(creator=None) | Q(creator=other.pk) | Q(Exists(spoken))
    return not shared.filter(is_own_act).exists()


def _add_both(room: Room, identity: Identity, other: Any, *, is_request: bool) -> bool:
    """Add both users to the room; return whether the first one had left it before."""
    gone, _ = Departure.objects.using(database()).filter(room=room, user=identity.user_pk).delete()
    for user in sorted((identity.user, other), key=lambda user: str(user.pk)):
        if user == identity.user:
            _join(room, user)
        elif not Departure.objects.using(database()).filter(room=room, user=user).exists():
            _join(room, user, is_request=is_request)
    return bool(gone)


def _join(room: Room, user: Any, **fields: Any) -> None:
    _memberships().get_or_create(fields, room=room, user=user)


def _memberships() -> Any:
    return Membership.objects.using(database())


def _title(title: str) -> str:
    return clean_line(title, TITLE_CHARACTERS)


def _check_names(room: Room | None, *names: str) -> None:
    if problem := room_problem(room, *names):
        raise CommandError(ErrorCode.INVALID_MESSAGE, problem)


def _lock(identity: Identity) -> None:
    """Serialize the creation of rooms by one user; SQLite has one writer anyway."""
    users = get_user_model()._default_manager.using(database())
    list(users.select_for_update(no_key=True).filter(pk=identity.user_pk).values_list("pk"))


def _check_number(identity: Identity, most: int) -> None:
    """Refuse a user who has made more than `most` rooms.

    A room counts for its creator, also after it was passed on or left; otherwise leaving a room
    would allow another one. A room without a stored creator counts for its owner.
    """
    # Two queries, each by an index: one with "or" would read all rooms without a creator.
    made = _rooms().filter(creator=identity.user_pk).count()
    owned = _memberships().filter(
        user=identity.user_pk, role=Membership.Role.OWNER, room__creator=None
    )
    if made + owned.count() > most:
        message = _("You have made too many rooms. Ask a moderator of the site to remove one.")
        raise CommandError(ErrorCode.LIMIT_EXCEEDED, message)


def _rooms() -> Any:
    return Room.objects.using(database())
