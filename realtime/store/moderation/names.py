"""Names that guests and public rooms may take: none that is reserved or looks like a user's.

The looks of the names of users and rooms are rows of `Look`. Each save updates them; a background
task adds them for rows that sent no signal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ...conf import config
from ...models import Look, Room, Sanction
from ...policy import policy
from ...wire.looks import is_reserved, is_visible, look, looks, looks_without_additions
from ..accounts.display import display_name
from ..accounts.identity import GUEST_NAME, Identity
from ..database.alias import database
from ..presence import live_connections
from .sanctions import in_force

__all__ = [
    "Named",
    "are_followed",
    "delete_user_looks",
    "fill",
    "find_user",
    "follow",
    "follow_room",
    "is_given",
    "look_of_guest",
    "problem",
    "problems",
    "problems_among_guests",
    "problems_on_return",
    "room_problem",
]

INVISIBLE = _("A name needs a letter, a number or a symbol.")
RESERVED = _("This name is reserved. Choose another one.")
TAKEN = _("This name is taken, or looks like one that is. Choose another one.")
REFUSED = _("This name is not allowed here. Choose another one.")
MUTED = _("While you are muted, you keep your name.")
ROOM_TAKEN = _("A public room has this name, or one that looks like it. Choose another one.")
CHUNK = 500
"""The number of users, and of rooms, whose looks one transaction adds."""


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A guest with the name that it has or wants; no two are equal, as with `AccessRequest`."""

    identity: Identity
    name: str


def is_given(name: str) -> bool:
    """Return whether a name has the form of those that the server gives to guests."""
    if name.startswith(GUEST_NAME) and name.removeprefix(GUEST_NAME).strip().isdecimal():
        return True  # without computing a look
    bare = name.rstrip("0123456789")
    return bare != name and look(bare) == _look_of_given()


@cache
def _look_of_given() -> str:
    return look(GUEST_NAME)


def look_of_guest(identity: Identity) -> str | None:
    """Return the look of a guest's chosen name; None for users and for given names."""
    return (
        look(identity.username) if identity.is_guest and not is_given(identity.username) else None
    )


def problem(guest: Named) -> str | Promise:
    """Return why a guest may not take a name; empty if it may."""
    if not is_visible(guest.name):
        return INVISIBLE
    if is_given(guest.name):
        return RESERVED
    found = problems([guest]).get(guest) or problems_among_guests([guest]).get(guest)
    return found or ("" if policy().may_use_name(guest.identity, guest.name) else REFUSED)


def problems(guests: Iterable[Named]) -> dict[Named, Promise]:
    """Find guests whose name is reserved or looks like a user's, in two queries for all of them."""
    reserved = config().reserved_names
    keys = {one: looks_without_additions(one.name) for one in guests}
    rows = Look.objects.using(database()).filter(key__in=set().union(*keys.values()))
    # Joined with the users, because deleting a user by SQL leaves its looks.
    by_user = rows.filter(**{f"user__{get_user_model().USERNAME_FIELD}__isnull": False})
    taken = set(by_user.values_list("key", flat=True))
    users = _usernames({one.name for one in keys})
    found: dict[Named, Promise] = {}
    for one, own in keys.items():
        if is_reserved(one.name, reserved):
            found[one] = RESERVED
        elif own & taken or one.name in users:
            found[one] = TAKEN
    return found


def problems_among_guests(guests: Iterable[Named]) -> dict[Named, Promise]:
    """Find guests whose name looks like that of another connected guest, in one query."""
    keys = {one: looks(one.name) for one in guests}
    rows = live_connections().filter(look__in=set().union(*keys.values()))
    others = set(rows.values_list("look", "user_key"))
    return {
        one: TAKEN
        for one, own in keys.items()
        if any(key in own and user_key != one.identity.user_id for key, user_key in others)
    }


def problems_on_return(guests: Iterable[Named]) -> dict[Named, Promise]:
    """Return the guests who cannot return with the name that they had, and why."""
    known = list(guests)
    return problems_among_guests(known) | problems(known) | _renamed_since_a_mute(known)


def _renamed_since_a_mute(guests: Iterable[Named]) -> dict[Named, Promise]:
    """Return guests who are muted under another name: an old token may hold any name."""
    keys = {one: one.identity.user_ids for one in guests}
    mutes = Sanction.objects.using(database()).filter(in_force(), kind=Sanction.Kind.MUTE)
    rows = mutes.filter(user_key__in=set().union(*keys.values()))
    known = set(rows.values_list("user_key", "username"))
    return {
        one: MUTED
        for one, own in keys.items()
        if any(user_key in own and name != one.name for user_key, name in known)
    }


def room_problem(room: Room | None, *names: str, creator: Any = None) -> str | Promise:
    """Return why a public room may not have one of these names; empty if it may.

    Rooms made by `creator`, the primary key of a user, are not compared: a user may give two
    rooms similar names.
    """
    keys = set().union(*(looks(name) for name in names if name))
    rows = Look.objects.using(database()).filter(key__in=keys, room__kind=Room.Kind.PUBLIC)
    others = rows if room is None or room.pk is None else rows.exclude(room=room.pk)
    if creator is not None:
        others = others.exclude(room__creator=creator)
    return ROOM_TAKEN if others.exists() else ""


# The rows of looks.


def are_followed() -> bool:
    """Return whether looks of users are stored: for guests, or to find users by shown name."""
    return config().guests or bool(config().display_name)


def find_user(name: str) -> Any:
    """Return the user with a username, else the only one whose shown name it is, or None."""
    found = _users().filter(**{get_user_model().USERNAME_FIELD: name}).first()
    if found is not None or not config().display_name:
        return found
    keys = Look.objects.using(database()).filter(key__in=looks(name)).exclude(user=None)
    people = _users().filter(pk__in=set(keys.values_list("user", flat=True)[:CHUNK]))
    called = [user for user in people if display_name(user) == name]
    return called[0] if len(called) == 1 else None


def follow(user: Any) -> set[str]:
    """Store the looks of the names of a user; return the looks that are new."""
    return _set({"user_id": user.pk}, _looks_of_user(user))


def follow_room(room: Room) -> None:
    """Store the looks of the names of a public room; those of a private room are not compared."""
    _set({"room_id": room.pk}, _looks_of_room(room))


def delete_user_looks() -> None:
    """Delete the looks of all users, which are then added again: after bulk changes of names."""
    Look.objects.using(database()).exclude(user=None).delete()


def fill(users_after: Any = None, rooms_after: int = 0) -> tuple[Any, int] | None:
    """Store looks for some users and rooms that have none yet, in order of their keys.

    Return the keys after which to continue, or None at the end.
    """
    users = _users().filter(realtime_looks=None).order_by("pk") if are_followed() else None
    if users is not None and users_after is not None:
        users = users.filter(pk__gt=users_after)
    people = [] if users is None else list(users[:CHUNK])
    public = Room.objects.using(database()).filter(kind=Room.Kind.PUBLIC, looks=None)
    rooms = list(public.filter(pk__gt=rooms_after).order_by("pk")[:CHUNK])
    rows = [Look(key=key, user_id=user.pk) for user in people for key in _looks_of_user(user)]
    rows += [Look(key=key, room=room) for room in rooms for key in _looks_of_room(room)]
    Look.objects.using(database()).bulk_create(rows, ignore_conflicts=True)
    if not people and not rooms:
        return None
    return people[-1].pk if people else users_after, rooms[-1].pk if rooms else rooms_after


def _looks_of_user(user: Any) -> set[str]:
    return looks(user.get_username()) | looks(display_name(user))


def _looks_of_room(room: Room) -> set[str]:
    is_public = room.kind == Room.Kind.PUBLIC
    return looks(room.slug) | looks(str(room)) if is_public else set()


def _set(of: dict[str, Any], wanted: set[str]) -> set[str]:
    rows = Look.objects.using(database())
    known = set(rows.filter(**of).values_list("key", flat=True))
    if gone := known - wanted:
        rows.filter(key__in=gone, **of).delete()
    new = wanted - known
    rows.bulk_create([Look(key=key, **of) for key in sorted(new)], ignore_conflicts=True)
    return new


def _usernames(names: set[str]) -> set[str]:
    """Return those of the names that are usernames, letter by letter, even without a look."""
    field = get_user_model().USERNAME_FIELD
    return set(_users().filter(**{f"{field}__in": names}).values_list(field, flat=True))


def _users() -> Any:
    model = get_user_model()
    return model._default_manager.using(router.db_for_write(model))
