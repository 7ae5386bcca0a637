"""The topics of a site: a log of events and values, which is empty if the topic is not kept."""

import msgspec

from ...store.logs import LogMark, RightsVersion
from ...store.topics.entries import TopicLog
from ...wire.codecs import Frame
from ...wire.entries import EntryState
from ...wire.events import EntryEvent, Resync
from ..connections.connection import Connection
from .event import Event
from .flusher import Flusher
from .topic import Emptied, LogTopic, State, Topic, stay_open
from .topic_presence import TopicPresence

__all__ = ["EntryTopic", "entry_event"]

_decode = msgspec.json.Decoder(EntryEvent).decode


class EntryTopic(LogTopic[TopicLog, EntryState]):
    """A topic of a site. A topic that is not kept has no entries, and at most a version of rights.

    It starts with no changes in memory, because there may be many topics with one member each.
    """

    open_states = 0

    def __init__(
        self,
        log: TopicLog,
        flushers: tuple[Flusher, Flusher],
        emptied: Emptied = stay_open,
        *,
        shows_presence: bool = False,
    ) -> None:
        super().__init__(log, flushers, emptied)
        if shows_presence:
            # Not all members may see who is there, so the audience is a topic of this process.
            audience = Topic(self.name, flushers)
            self.presence = TopicPresence(log.name, audience, topic=log.name)
        self.is_shared = False
        self.rights: RightsVersion = ("", 0)
        """The version of rights that this process knows."""

    @property
    def topic_name(self) -> str:
        """The name by which clients address the topic; `name` is its log key."""
        return self.log.name

    @property
    def label(self) -> str:
        """The name by which clients address the topic."""
        return self.topic_name

    def attach(self, connection: Connection) -> bool:
        """Add a member, as `Topic.attach` does."""
        is_new = super().attach(connection)
        self.is_shared = self.is_shared or len(self.members) > 1
        return is_new

    def event_of(self, state: EntryState, first: int | None = None) -> Event:
        """Return the event that carries the state of a stored entry."""
        return entry_event(self.topic_name, state, first, self.position.epoch)

    def read_event(self, text: str) -> Event:
        """Return an event of the topic that another process has encoded.

        Raises `ValueError` if it is broken or has no position.
        """
        outgoing = _decode(text)
        state = outgoing.state
        return Event(Frame(text), state.position, outgoing.first, state)

    def resync(self) -> Resync:
        """Return the event that has the members subscribe again."""
        position = self.position
        return Resync(topic=self.topic_name, seq=position.seq, epoch=position.epoch)

    def recheck(self, connection: Connection, user_id: str = "") -> None:
        """Have a member recheck its right to be subscribed."""
        connection.events.on_topic_rights_changed(self.topic_name)

    def start_rights(self, mark: LogMark) -> None:
        """Use the version of rights with which the topic starts or starts again."""
        # A note of newer rights may have come while the topic was being opened.
        is_newer = self.rights > mark.rights and self.rights[0] == mark.epoch
        if self.state is not State.OPENING or not is_newer:
            self.rights = mark.rights

    def knows_rights(self, mark: LogMark) -> bool:
        """Return whether the version of rights of the database is the known one."""
        return self.rights == mark.rights

    def accept_rights(self, mark: LogMark) -> bool:
        """Use the version of the database from now on; return whether it is another one."""
        # Not a larger one: a restored database counts again from an earlier number.
        before, self.rights = self.rights, mark.rights
        return before != self.rights


def entry_event(topic: str, state: EntryState, first: int | None = None, epoch: str = "") -> Event:
    """Return the event that carries the state of a stored entry of a topic.

    The event that covers position 1 has the epoch, because the log had none before.
    """
    position = state.position
    is_first = (position if first is None else first) <= 1
    outgoing = EntryEvent.of(topic, state, first, epoch if is_first else None)
    return Event(Frame.of(outgoing), position, first, state)
