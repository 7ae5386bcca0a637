"""Who may do what: one class, replaced by the setting `POLICY`."""

from django.utils.module_loading import import_string

from .conf import config
from .models import Membership, Room
from .store.identity import Identity

__all__ = ["Policy", "policy"]


class Policy:
    """The rights of one identity in one room; subclass it to change them.

    The methods may use the ORM. What they say is remembered for a connection in a room until
    the room's rights change.
    """

    def may_see(self, who: Identity, room: Room, membership: Membership | None) -> bool:
        """Whether the room exists for them at all."""
        return room.kind == Room.Kind.PUBLIC or membership is not None

    def may_join(self, who: Identity, room: Room, membership: Membership | None) -> bool:
        """Whether they may enter."""
        return True

    def may_read_history(self, who: Identity, room: Room, membership: Membership | None) -> bool:
        """Whether they get messages from before they came; without it nothing is resumed either."""
        return True

    def may_post(self, who: Identity, room: Room, membership: Membership | None) -> bool:
        """Whether they may send messages."""
        return True

    def may_signal(self, who: Identity, room: Room, membership: Membership | None) -> bool:
        """Whether they may send what is not stored: signals and typing."""
        return True


def policy() -> Policy:
    """The site's policy."""
    made: Policy = import_string(config().policy)()
    return made
