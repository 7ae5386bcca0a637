"""Who is in one topic, and the connections that are told of joins and leaves."""

from typing import TYPE_CHECKING, Any

from ...conf import config
from ...store import presence
from ...store.presence import Place
from ...wire.codecs import Frame
from ...wire.events import Joined, Left, Outgoing, PresenceList
from ...wire.ratelimit import Bucket
from ..database.executor import Database
from .event import Event
from .roster import Roster

if TYPE_CHECKING:
    from .topic import Topic

__all__ = ["TopicPresence"]

DELIVERIES_PER_SECOND, DELIVERY_BURST = 5_000, 10_000
"""The deliveries of `joined` and `left` that a topic may cause before `presence` replaces them."""


class TopicPresence:
    """The roster of a room or topic, and its `audience`: the members that see who is there.

    `address` is the field of events that names the room or topic.
    """

    __slots__ = ("_address", "audience", "bucket", "place", "roster")

    def __init__(self, place: Place, audience: "Topic", **address: str) -> None:
        self.place = place
        self.audience = audience
        self.roster = Roster(config().presence_events_up_to)
        self.bucket = Bucket(DELIVERIES_PER_SECOND, DELIVERY_BURST, 0)
        self._address: dict[str, Any] = address

    async def load(self, db: Database) -> bool:
        """Read who is there from the database; return whether the number has changed."""
        before = self.roster.count
        self.roster.load(*await db.read(presence.members, self.place, self.roster.limit))
        return self.roster.count != before

    def deliver_joined(self, user_id: str, username: str, connection: str) -> None:
        """Tell the audience that a user has joined, except the connection that has caused it."""
        self._deliver(Joined(**self._address, user_id=user_id, username=username), connection)

    def deliver_left(self, user_id: str, username: str) -> None:
        """Tell the audience that a user has left."""
        self._deliver(Left(**self._address, user_id=user_id, username=username))

    def deliver_list(self) -> None:
        """Tell the audience who is there."""
        self._deliver(self.listed())

    def listed(self) -> PresenceList:
        """Return the event that says who is there."""
        members, count = self.roster.members(), self.roster.count
        return PresenceList(**self._address, count=count, members=members)

    def _deliver(self, outgoing: Outgoing, exclude: str = "") -> None:
        self.audience.deliver(Event(Frame.of(outgoing), exclude=exclude))
