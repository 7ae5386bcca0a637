"""The topics of rooms: a log of messages, and the users who are in the room."""

import msgspec

from ...store.logs import LogMark
from ...store.messages.room_log import RoomLog
from ...wire.codecs import Frame
from ...wire.events import Changed, MessageEvent, MessageState, Resync
from ..connections.connection import Connection
from .event import Event
from .flusher import Flusher
from .roster import Roster
from .topic import Emptied, LogTopic, State, stay_open
from .topic_presence import TopicPresence

__all__ = ["RoomTopic", "room_event"]

_decode = msgspec.json.Decoder(MessageEvent | Changed).decode


class RoomTopic(LogTopic[RoomLog, MessageState]):
    """A room's topic: its log, and its users."""

    presence: TopicPresence

    def __init__(
        self,
        log: RoomLog,
        slug: str,
        flushers: tuple[Flusher, Flusher],
        emptied: Emptied = stay_open,
    ) -> None:
        super().__init__(log, flushers, emptied)
        self.slug = slug
        self.presence = TopicPresence(log.room_id, self, room=slug)
        self.rights_seq = 0
        """The last change of rights that this process knows."""
        self.members_rights_seq = 0
        """The last change that concerned all members; one of a user only raises `rights_seq`."""

    @property
    def label(self) -> str:
        """The slug of the room."""
        return self.slug

    @property
    def roster(self) -> Roster:
        """The users who are in the room."""
        return self.presence.roster

    @property
    def room_id(self) -> int:
        """The primary key of the room."""
        return self.log.room_id

    def event_of(self, state: MessageState, first: int | None = None) -> Event:
        """Return the event that carries the state of a stored message."""
        return room_event(self.slug, state, first)

    def read_event(self, text: str) -> Event:
        """Return an event of the room that another process has encoded."""
        outgoing = _decode(text)
        state = outgoing.message if isinstance(outgoing, Changed) else outgoing.state
        return Event(Frame(text), state.position, outgoing.first, state)

    def resync(self) -> Resync:
        """Return the event that has the members join again."""
        return Resync(room=self.slug, seq=self.position.seq, epoch=self.position.epoch)

    def recheck(self, connection: Connection, user_id: str = "") -> None:
        """Have a member recheck its rights in the room."""
        connection.events.on_rights_changed(self.slug, user_id)

    def start_rights(self, mark: LogMark) -> None:
        """Use the version of rights with which the topic starts or starts again."""
        # A note of newer rights may have come while the topic was being opened.
        is_new = self.state is State.OPENING
        self.rights_seq = max(self.rights_seq if is_new else 0, mark.rights_seq)
        self.members_rights_seq = self.rights_seq

    def knows_rights(self, mark: LogMark) -> bool:
        """Return whether the version of rights of the database is the known one."""
        return mark.rights_seq == self.rights_seq

    def accept_rights(self, mark: LogMark) -> bool:
        """Use the version of the database from now on; return whether it is another one."""
        # Not only a larger one: a restored database counts again from an earlier number.
        if mark.rights_seq == self.rights_seq:
            return False
        self.rights_seq = self.members_rights_seq = mark.rights_seq
        return True

    def accept_user_rights(self, mark: LogMark, seq: int) -> bool:
        """Use version `seq` if it is the next one, or was counted before."""
        is_restored = mark.rights_seq < self.rights_seq
        if is_restored or seq > min(self.rights_seq + 1, mark.rights_seq):
            return False
        self.rights_seq = max(self.rights_seq, seq)
        return True


def room_event(slug: str, state: MessageState, first: int | None = None) -> Event:
    """Return the event that carries the state of a stored message of a room."""
    position = state.position
    outgoing: MessageEvent | Changed
    if position == state.seq:
        outgoing = MessageEvent.of(slug, state, first)
    else:
        outgoing = Changed(room=slug, seq=position, message=state, first=first)
    return Event(Frame.of(outgoing), position, first, state)
