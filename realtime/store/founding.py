"""Making rooms, and what is set about them."""

import secrets
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from ..conf import config
from ..models import Membership, Room
from ..policy import policy
from ..wire.commands import MAX_SLOW_SECONDS, TITLE_CHARACTERS
from ..wire.errors import CommandError, ErrorCode
from . import journal
from .history import database
from .identity import Identity
from .rooms import direct_key

__all__ = ["configure", "create", "direct"]


def create(who: Identity, title: str, *, kind: str, slug: str = "") -> Room:
    """Make a room that belongs to `who`.

    A public one is called by `slug`, else by its title; a private one by nothing that could be
    guessed. Raises `CommandError`: `permission_denied`, `limit_exceeded`, `invalid_message`.
    """
    if not policy().may_create(who, kind):
        raise CommandError(ErrorCode.PERMISSION_DENIED, "you may not make rooms")
    if _owned(who) >= config().rooms_per_user:
        raise CommandError(ErrorCode.LIMIT_EXCEEDED, "you own too many rooms")
    if kind == Room.Kind.PRIVATE:
        slug = secrets.token_hex(8)
    slug = slugify(slug or title, allow_unicode=True)[:100]
    if not slug:
        raise CommandError(ErrorCode.INVALID_MESSAGE, "a title must have letters")
    try:
        with transaction.atomic(using=database()):
            room: Room = _rooms().create(slug=slug, title=_title(title), kind=kind)
            _join(room, who.user, Membership.Role.OWNER)
            journal.record(who, room, journal.ADDITION, "made the room")
    except IntegrityError:
        raise CommandError(ErrorCode.INVALID_MESSAGE, "there is such a room already") from None
    return room


def direct(who: Identity, other: Any) -> tuple[Room, bool]:
    """The room of exactly these two users, and whether it was made now.

    Raises `CommandError` with `permission_denied` or `invalid_message`.
    """
    if not policy().may_open_direct(who, other):
        raise CommandError(ErrorCode.PERMISSION_DENIED, "you may not open direct rooms")
    if who.user_pk == other.pk:
        raise CommandError(ErrorCode.INVALID_MESSAGE, "that is you")
    key = direct_key(who.user_id, str(other.pk))
    with transaction.atomic(using=database()):
        room, is_new = _rooms().get_or_create(
            # A name that follows from the two could be taken, or looked for, by others.
            {"slug": f"direct-{secrets.token_hex(12)}", "kind": Room.Kind.DIRECT},
            direct_key=key,
        )
        for user in sorted((who.user, other), key=lambda user: str(user.pk)):
            _join(room, user, Membership.Role.MEMBER)
    return room, is_new


def configure(
    room: Room,
    by: Identity | None = None,
    *,
    title: str | None = None,
    slow_seconds: int | None = None,
    is_read_only: bool | None = None,
) -> None:
    """Change what is given of a room; the others hear of it by their rights.

    Raises `CommandError` with `invalid_message`.
    """
    if slow_seconds is not None and not 0 <= slow_seconds <= MAX_SLOW_SECONDS:
        message = f"slow mode is at most {MAX_SLOW_SECONDS} seconds"
        raise CommandError(ErrorCode.INVALID_MESSAGE, message)
    wanted = {
        "title": None if title is None else _title(title),
        "slow_seconds": slow_seconds,
        "is_read_only": is_read_only,
    }
    changed = {name: value for name, value in wanted.items() if value is not None}
    with transaction.atomic(using=database()):
        for name, value in changed.items():
            setattr(room, name, value)
        room.save(update_fields=list(changed))
        text = ", ".join(f"{name}: {value}" for name, value in changed.items())
        journal.record(by, room, journal.CHANGE, text)


def _join(room: Room, user: Any, role: str) -> None:
    Membership.objects.using(database()).get_or_create({"role": role}, room=room, user=user)


def _title(title: str) -> str:
    return " ".join(title.split())[:TITLE_CHARACTERS]


def _owned(who: Identity) -> int:
    owned = Membership.objects.using(database()).filter(user=who.user, role=Membership.Role.OWNER)
    return owned.count()


def _rooms() -> Any:
    return Room.objects.using(database())
