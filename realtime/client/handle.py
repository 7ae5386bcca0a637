"""The part that rooms and topics share for an application: loops over events, and members."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from ..wire.events import HistoryPage
from ..wire.failures import RealtimeError
from ..wire.position import Order, Position
from .line import Command
from .log import Log
from .members import Members
from .seen import Seen
from .session import REQUEST_SECONDS, Session
from .stream import Page, Placed, Stream
from .subscription import Subscription

__all__ = ["Handle"]

E = TypeVar("E")
PAGE = 100


class Handle(Subscription, Generic[E]):
    """A room or a topic of a client.

    Iterate over it for its events, in the order of its log; `events` makes further iterators.
    """

    def __init__(self, session: Session, wanted: Callable[[Any], E | None]) -> None:
        super().__init__(session)
        self._log = Log()
        self._members = Members()
        self._newest = 0
        self._stream: Stream[E] = self._new_stream(wanted)

    def __aiter__(self) -> Stream[E]:
        return self._stream

    @property
    def members(self) -> Mapping[str, str]:
        """The names of the users who are present, by user_id.

        Empty if the client may not see them, or if there are too many.
        """
        return self._members.names

    @property
    def count(self) -> int:
        """The number of users who are present, if the client may see that."""
        return self._members.count

    @property
    def handled(self) -> Position | None:
        """The position that the loop over this object has handled."""
        return self._stream.handled

    # For the client

    def go_on_from(self, since: Position) -> None:
        """Begin at a position that an earlier client has handled, unless there is one already."""
        self._log.start(since)

    def resync(self) -> None:
        """Enter without a position, because what follows it was removed."""
        self._log.forget()
        self.reenter()

    def forget(self) -> None:
        """Drop what the last user saw."""
        self._log.forget()
        self._members.clear()

    # The pages that a slow loop reads

    @property
    def position(self) -> int:
        """The position up to which streams that are not behind have got all events."""
        return self._log.position

    async def page(self, after: int, seen: Seen) -> Page:
        """Return the events after a position, for a loop that has seen some messages.

        Raises `RealtimeError`, with the code `resync` if they were removed.
        """
        reply = await self._asked(after)
        known = self._log.known
        if known is not None and reply.epoch not in (known.epoch, ""):
            self.resync()
            raise RealtimeError("resync")
        return Page(list(self._placed(reply, seen)), reply.through or after)

    def forget_stream(self, stream: Stream[Any]) -> None:
        """Give a stream no more events."""
        self._log.discard(stream)

    async def _asked(self, after: int) -> HistoryPage:
        """Return a page; enter again if the server does not know that the client is here."""
        try:
            return await self._read(REQUEST_SECONDS, after=after, limit=PAGE)
        except RealtimeError as error:
            if error.code != "not_joined" or not self.is_wanted:
                raise
            if self.is_live:
                self.reenter()
            raise RealtimeError(error.code, error.message, is_retryable=True) from error

    async def _read(self, timeout: float, **fields: int | None) -> HistoryPage:
        """Return a page of the history; fields that are None are left out."""
        given = {name: value for name, value in fields.items() if value is not None}
        command = {"type": "history", **self._address(), **given}
        page: HistoryPage = await self._session.request(command, timeout)
        return page

    # For rooms and topics

    async def _want(self, history: int, since: Position | None) -> None:
        self._session.check_open()
        self._newest = history
        if since is not None:
            self._log.start(since)
        if not self.is_wanted:
            self._log.restart()
        await self._hold()

    def _take(self, event: Any, seq: int, first: int | None, epoch: str | None = None) -> bool:
        """Give an event of the log to the streams; return whether it is the next one."""
        if not self.is_live:
            return False
        order = self._log.take(event, seq, first, epoch)
        if order is Order.GAP:
            self.reenter()
        return order is Order.NEXT

    def _new_stream(self, wanted: Callable[[Any], Any]) -> Stream[Any]:
        return self._log.stream(self, wanted)

    @property
    def _has_data(self) -> bool:
        return self._log.known is not None

    def _ended(self, error: RealtimeError | None) -> None:
        self._log.end(error)

    # What differs

    def _address(self) -> Command:
        """Return the field of a command that names the room or topic."""
        raise NotImplementedError

    def _placed(self, page: HistoryPage, seen: Seen) -> Iterable[Placed]:
        """Yield the events of a page, for a loop that has seen some messages."""
        raise NotImplementedError
