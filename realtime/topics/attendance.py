"""The presence of one connection in its topics: it is counted, and may see who else is there."""

from ..engine.connections.connection import Connection
from ..engine.delivery.entry_topic import EntryTopic
from ..engine.engine import Engine
from ..wire.events import Member, PresenceList

__all__ = ["Attendance"]


class Attendance:
    """Adds a connection to the presence of topics, and to the audience of those that it may see.

    `is_told` says whether its client knows the events of presence.
    """

    def __init__(self, engine: Engine, connection: Connection, *, is_told: bool = True) -> None:
        self._engine = engine
        self._connection = connection
        self._is_told = is_told

    def enter(self, topic: EntryTopic, *, sees: bool) -> None:
        """Let the connection be present in a topic that it is subscribed to."""
        if topic.presence is not None:
            self._engine.attend(self._connection, topic.presence.place)
            self._follow(topic, sees=sees)

    def leave(self, topic: EntryTopic) -> None:
        """End the presence of the connection in a topic."""
        if topic.presence is not None:
            self._follow(topic, sees=False)
            self._engine.presence.leave(self._connection, topic.presence.place)

    def change(self, topic: EntryTopic, *, sees: bool) -> None:
        """Tell the client who is there from now on, or that it may not see that any more."""
        if topic.presence is None or not self._is_told:
            return
        self._follow(topic, sees=sees)
        hidden = PresenceList(topic=topic.topic_name, count=0, members=[])
        self._connection.reply(topic.presence.listed() if sees else hidden)

    def members_of(self, topic: EntryTopic) -> tuple[list[Member] | None, int | None]:
        """Return who is subscribed and how many; None if the connection may not see that."""
        presence, identity = topic.presence, self._connection.identity
        if presence is None or self._connection.id not in presence.audience.members:
            return None, None
        members = presence.roster.members_and(identity.user_id, identity.username)
        return members, len(members) or presence.roster.count

    def _follow(self, topic: EntryTopic, *, sees: bool) -> None:
        assert topic.presence is not None  # noqa: S101 - for the type checker
        if sees and self._is_told:
            self._connection.subscribe(topic.presence.audience)
        else:
            self._connection.unsubscribe(topic.presence.audience)
