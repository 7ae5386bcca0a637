"""Decide the permissions in rooms, such as who may post: one class, replaced by `POLICY`.

Bans and mutes are not decided here: they are rows of the database, and apply with any policy
(`store/moderation/sanctions.py`).
"""

from typing import Any

from django.utils.module_loading import import_string

from .conf import config
from .models import Membership, Message, Room
from .store.accounts.identity import Identity

__all__ = ["Policy", "policy"]

Role = Membership.Role


class Policy:
    """The rights of one identity, mostly in one room; subclass it to change them.

    The methods may use the ORM. Their results are cached for a connection in a room until the
    rights of the room, or of the user, change. `membership` is the user's in this room, or None.
    """

    def may_see(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        """Return whether the room exists for the user or guest."""
        if room.kind == Room.Kind.PUBLIC or membership is not None:
            return True
        return room.kind == Room.Kind.PRIVATE and _has_perm(identity, "realtime.moderate_room")

    def may_join(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        """Return whether the user may enter the room."""
        return True

    def may_read_history(
        self, identity: Identity, room: Room, membership: Membership | None
    ) -> bool:
        """Return whether the user may read messages from before a join, also to resume."""
        return True

    def may_post(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        """Return whether the user may send messages."""
        return not room.is_read_only or self.may_moderate(identity, room, membership)

    def may_signal(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        """Return whether the user may send signals and typing, which are not stored."""
        return self.may_post(identity, room, membership)

    def may_moderate(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        """Return whether the user may kick, ban, mute and invite."""
        if room.kind == Room.Kind.DIRECT:
            return False  # two equal users
        if membership is not None and membership.role in (Role.OWNER, Role.MODERATOR):
            return True
        return _has_perm(identity, "realtime.moderate_room")

    def may_delete(
        self, identity: Identity, room: Room, membership: Membership | None, message: Message
    ) -> bool:
        """Return whether the user may delete this message.

        A user who may not moderate must also be allowed to post, except in a closed direct room.
        """
        return message.sender == identity.user_id or self.may_moderate(identity, room, membership)

    def may_manage(self, identity: Identity, room: Room, membership: Membership | None) -> bool:
        """Return whether the user may configure the room, appoint moderators and pass it on."""
        if room.kind == Room.Kind.DIRECT:
            return False
        if membership is not None and membership.role == Role.OWNER:
            return True
        return _has_perm(identity, "realtime.change_room")

    def may_moderate_site(self, identity: Identity) -> bool:
        """Return whether the user moderates all rooms; bans by address do not apply then."""
        return _has_perm(identity, "realtime.moderate_room")

    def may_use_name(self, identity: Identity, name: str) -> bool:
        """Return whether a guest may take a name that is neither reserved nor taken."""
        return True

    def may_open_direct(self, identity: Identity, other: Any) -> bool:
        """Return whether the user may open a direct room with this other user."""
        return config().direct_rooms and not identity.is_guest

    def may_create(self, identity: Identity, kind: str) -> bool:
        """Return whether the user may create a room of this kind, "public" or "private"."""
        if identity.is_guest:
            return False
        match config().create_rooms:
            case "users":
                return True
            case "staff":
                return _has_perm(identity, "realtime.add_room")
            case _:
                return False


def policy() -> Policy:
    """Return an instance of the site's policy."""
    made: Policy = import_string(config().policy)()
    return made


def _has_perm(identity: Identity, permission: str) -> bool:
    # Only for staff: for other users it would cost two queries a join.
    user = identity.user
    is_staff = getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)
    return bool(is_staff and user.has_perm(permission))
