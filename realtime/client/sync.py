"""The same client for code without `async`: scripts, notebooks, management commands and threads.

The client runs in one thread, with its own event loop; each method here waits for it there.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

from ..wire.events import Ack, HistoryPage, PresenceList
from ..wire.failures import RealtimeError
from ..wire.position import Position
from . import client as asynchronous
from . import room as rooms
from . import topic as topics
from .answers import Handler
from .connection import State
from .handle import Handle
from .line import Command
from .session import REQUEST_SECONDS
from .stream import Stream
from .topic import Kinds, TopicEvent

__all__ = ["Client", "Room", "Topic"]

T = TypeVar("T")
E = TypeVar("E")
L = TypeVar("L", bound=Handle[Any])


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="realtime-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and wait for its result; Ctrl-C cancels it."""
        if os.getpid() != self._pid:
            work.close()
            raise RuntimeError("a client does not survive a fork: make one in the new process")
        future = self._begin(work)
        try:
            return future.result()
        except CancelledError:
            raise RealtimeError("closed", outcome="unknown") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop and its thread; what still waits there is cancelled."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if not self._is_stopped:
                self._is_stopped = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine, unless the loop is to end: nothing would settle its result then."""
        with self._lock:
            if not self._is_stopped:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RealtimeError("closed", outcome="not_sent")

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()


class Client:
    """As `realtime.client.Client`, in a `with` block; it has the same arguments."""

    def __init__(self, url: str, **options: Any) -> None:
        self._client = asynchronous.Client(url, **options)
        self._loop: _Loop | None = None

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("a client is used once: make another one")
        self._loop = _Loop()
        try:
            self._loop.run(self._client.__aenter__())
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._loop is not None:
            with suppress(RealtimeError):  # it is closed
                self._loop.run(self._client.close())
            self._loop.stop()

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._client.state

    @property
    def user_id(self) -> str:
        """Who the server says that this client is."""
        return self._client.user_id

    @property
    def username(self) -> str:
        """The name of the user."""
        return self._client.username

    @property
    def positions(self) -> dict[str, Mapping[str, Any]]:
        """The positions that the loops over rooms and topics have handled, as JSON."""
        return self._client.positions

    def room(self, slug: str) -> "Room":
        """Return the room of a slug."""
        return Room(self._running(), self._running().run(_call(self._client.room, slug)))

    def topic(self, name: str, *, events: Kinds = (), value: Any = None) -> "Topic":
        """Return the topic of a name, such as `order/7`."""
        loop = self._running()
        return Topic(loop, loop.run(_call(self._client.topic, name, events=events, value=value)))

    def answer(self, question: Any, handler: Handler) -> Callable[[], None]:
        """Answer questions of the site by `handler(question)`, in a thread for each."""
        return self._client.answer(question, handler)

    def request(self, command: Command, *, timeout: float = REQUEST_SECONDS) -> Any:
        """Send any command of the protocol; return its reply."""
        return self._running().run(self._client.request(command, timeout=timeout))

    def _running(self) -> _Loop:
        if self._loop is None:
            raise RuntimeError("the client is not connected: write `with Client(…) as client:`")
        return self._loop


class _Facade(Generic[L]):
    def __init__(self, loop: _Loop, handle: L) -> None:
        self._loop = loop
        self._handle = handle

    def listen(self, *, timeout: float | None = None) -> Iterator[Any]:
        """Go on with the loop over this object until no event has come for `timeout` seconds.

        Stopping and calling this again goes on with the next event.
        """
        return self._each(aiter(self._handle), timeout)

    def __iter__(self) -> Iterator[Any]:
        return self.listen()

    def _each(self, stream: Stream[Any], timeout: float | None) -> Iterator[Any]:
        while True:
            try:
                event = self._loop.run(_next(stream, timeout))
            except TimeoutError:
                return
            if event is _OVER:
                return
            yield event


class Room(_Facade[rooms.Room]):
    """As `realtime.client.Room`."""

    @property
    def members(self) -> dict[str, str]:
        """The names of the users who are present, by user_id."""
        return dict(self._handle.members)

    def join(self, *, history: int = 0, since: Position | None = None) -> Self:
        """Be in the room, now and after each reconnect."""
        self._loop.run(self._handle.join(history=history, since=since))
        return self

    def leave(self) -> None:
        """Leave the room."""
        self._loop.run(_call(self._handle.leave))

    def send(
        self,
        content: str,
        *,
        data: Mapping[str, Any] | None = None,
        nonce: str | None = None,
        timeout: float | None = None,
    ) -> Ack:
        """Send a message; return its ack.

        Raises `RealtimeError`; after `timeout` seconds with the code `timeout`.
        """
        return self._loop.run(_send(self._handle, content, data, nonce, timeout))

    def history(self, **options: Any) -> HistoryPage:
        """Return a page of messages."""
        return self._loop.run(self._handle.history(**options))

    def presence(self) -> PresenceList:
        """Return who is in the room."""
        return self._loop.run(self._handle.presence())

    def events(self, *kinds: type[E], timeout: float | None = None) -> Iterator[E]:
        """Return another loop, over the events of some classes that come from now on.

        It ends when none has come for `timeout` seconds.
        """
        return self._each(self._loop.run(_call(self._handle.events, *kinds)), timeout)

    def typing(self) -> None:
        """Tell the others that the user is typing."""
        self._loop.run(_call(self._handle.typing))

    def signal(self, data: Mapping[str, Any]) -> None:
        """Send data that is not stored to the others."""
        self._loop.run(_call(self._handle.signal, data))


class Topic(_Facade[topics.Topic]):
    """As `realtime.client.Topic`."""

    @property
    def values(self) -> dict[str, Any]:
        """The latest value of each key, as they are now."""
        return self._loop.run(_call(lambda: dict(self._handle.values)))

    def subscribe(self, *, history: int = 0, since: Position | None = None) -> Self:
        """Be subscribed, now and after each reconnect."""
        self._loop.run(self._handle.subscribe(history=history, since=since))
        return self

    def unsubscribe(self) -> None:
        """End the subscription."""
        self._loop.run(_call(self._handle.unsubscribe))

    def events(self, kind: type[E], *, timeout: float | None = None) -> Iterator[E]:
        """Return another loop, over the data of events of one struct that come from now on.

        It ends when none has come for `timeout` seconds.
        """
        return self._each(self._loop.run(_call(self._handle.events, kind)), timeout)

    def call(self, command: object, data: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Execute a command of the topic; return its reply."""
        return self._loop.run(self._handle.call(command, data, **options))

    def history(self, **options: Any) -> list[TopicEvent]:
        """Return a page of stored events."""
        return self._loop.run(self._handle.history(**options))


_OVER = object()


async def _next(stream: Stream[Any], timeout: float | None) -> Any:
    async with asyncio.timeout(timeout):
        return await anext(stream, _OVER)


async def _send(
    room: rooms.Room,
    content: str,
    data: Mapping[str, Any] | None,
    nonce: str | None,
    timeout: float | None,
) -> Ack:
    try:
        async with asyncio.timeout(timeout):
            return await room.send(content, data=data, nonce=nonce)
    except TimeoutError:
        raise RealtimeError("timeout", outcome="unknown") from None


async def _call(function: Any, *arguments: Any, **options: Any) -> Any:
    return function(*arguments, **options)
