"""The users who are in a room, or subscribed to a topic."""

from ..wire.events import Joined, Left, PresenceList, Subscribed

__all__ = ["Members"]


class Members:
    """The users who are present: `names` by user_id, and their `count`.

    Above some number, the server tells the count only.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.count = 0

    def take(self, event: Joined | Left | PresenceList) -> None:
        """Take a join, a leave or a whole list."""
        match event:
            case PresenceList():
                self.replace(event)
            case Joined():
                self.count += event.user_id not in self.names
                self.names[event.user_id] = event.username
            case Left():
                self.count -= self.names.pop(event.user_id, None) is not None

    def replace(self, reply: Joined | PresenceList | Subscribed) -> None:
        """Take the list of a reply; none, if the client may not see who is there."""
        self.names = {one.user_id: one.username for one in reply.members or []}
        self.count = reply.count or 0

    def clear(self) -> None:
        """Know nobody."""
        self.names, self.count = {}, 0
