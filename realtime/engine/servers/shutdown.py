"""Begin the graceful shutdown before the server closes its sockets; enlarge its listen queue.

No server reports that it is about to close its sockets. So the package listens to Twisted's
reactor and to signals. A server without these features is left as it is.
"""

import asyncio
import gc
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from multiprocessing import parent_process
from typing import Any

from .wrappers import locals_of

__all__ = ["on_shutdown", "raise_backlog"]

BACKLOG = 4096
"""The handshakes that may wait in the kernel, which allows at most `net.core.somaxconn`."""
LAST_SECONDS = 1.0
"""The delay before a signal ends the process: the server may still hold the last frames."""
EVENT_SECONDS = 0.05
"""The pause between two checks of an event that another process may set."""


def raise_backlog() -> None:
    """Let more handshakes wait in the kernel, if a Twisted reactor is about to run.

    Twisted's ports allow 50. When all clients reconnect at once, the others would wait for seconds
    until TCP tries again.
    """
    reactor = sys.modules.get("twisted.internet.reactor")
    if hasattr(reactor, "callWhenRunning"):
        reactor.callWhenRunning(_raise_backlog, reactor)  # type: ignore[union-attr]


def _raise_backlog(reactor: Any) -> None:
    for port in reactor.getReaders():
        if hasattr(port, "backlog") and hasattr(port, "socket"):
            port.socket.listen(max(BACKLOG, port.backlog))


def on_shutdown(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have the server that runs this loop wait for `stop()` before it ends."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if getattr(reactor, "_asyncioEventloop", None) is asyncio.get_running_loop():
        _before_reactor(reactor, stop)
    elif threading.current_thread() is threading.main_thread():
        _before_handlers(stop)


def _before_reactor(reactor: Any, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    from twisted.internet.defer import Deferred

    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromFuture(asyncio.ensure_future(stop()))
    )


def _before_handlers(stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Precede the server's own signal handlers, which close sockets at once.

    Uvicorn closes each socket with 1012. As soon as one worker of Hypercorn has ended, it ends the
    others with a signal that they do not handle. Granian's loop handles signals by itself.
    """
    shutdown = _Shutdown(asyncio.get_running_loop(), stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        theirs: Any = signal.getsignal(number)
        if _is_uvicorn(theirs) or (theirs is signal.SIG_DFL and parent_process() is not None):
            shutdown.replace(number, theirs)
        elif (handle := _handle_of(shutdown.loop, number)) is not None:
            shutdown.replace_in_loop(number, handle)
    if (event := _event_of_hypercorn()) is not None:
        shutdown.stop_on(event)


def _is_uvicorn(handler: Any) -> bool:
    server = getattr(handler, "__self__", None)
    return all(hasattr(server, name) for name in ("force_exit", "handle_exit", "should_exit"))


def _handle_of(loop: asyncio.AbstractEventLoop, number: int) -> Any:
    """Return the handle that a loop runs for a signal; uvloop's is found by the collector only."""
    for handlers in (getattr(loop, "_signal_handlers", None), *gc.get_referents(loop)):
        handle = handlers.get(number) if type(handlers) is dict else None
        if type(handle).__name__ == "Handle":
            return handle
    return None


def _event_of_hypercorn() -> Any:
    """Return the event that tells Hypercorn's workers to end; they check it ten times a second."""
    for task in asyncio.all_tasks():
        for one in locals_of(task):
            if type(one).__module__ == "multiprocessing.synchronize" and hasattr(one, "is_set"):
                return one
    return None


class _Shutdown:
    """Runs `stop()` once before a server gets a signal; a second signal does not wait."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stop: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self.loop = loop
        self._stop = stop
        self._stopping: asyncio.Task[None] | None = None
        self._is_signalled = self._is_passed_on = False

    def replace(self, number: int, theirs: Any) -> None:
        """Replace a handler of the module `signal`."""
        if theirs is signal.SIG_DFL:
            pass_on = partial(_raise, number)
            last: Callable[[], object] = partial(self.loop.call_later, LAST_SECONDS, pass_on)
        else:
            pass_on = last = partial(theirs, number, None)
        begin = partial(self._signalled, last)

        def handle(*_: object) -> None:
            if self.loop.is_closed():
                pass_on()
            else:
                self.loop.call_soon_threadsafe(begin)

        signal.signal(number, handle)

    def replace_in_loop(self, number: int, handle: Any) -> None:
        """Replace a handler of the loop; it is later called in the same way as by the loop."""
        pass_on = getattr(handle, "_run", None) or _called_by(handle)
        if pass_on is not None:
            self.loop.add_signal_handler(number, partial(self._signalled, pass_on))

    def stop_on(self, event: Any) -> None:
        """Stop as soon as an event is set; the server checks the event itself."""
        self._waiting = self.loop.create_task(self._wait_for(event))

    async def _wait_for(self, event: Any) -> None:
        while not event.is_set():
            await asyncio.sleep(EVENT_SECONDS)
        self._begin()

    def _begin(self) -> "asyncio.Task[None]":
        if self._stopping is None:
            self._stopping = self.loop.create_task(self._stop())
        return self._stopping

    def _signalled(self, pass_on: Callable[[], object]) -> None:
        is_first, self._is_signalled = not self._is_signalled, True
        if is_first:
            self._begin().add_done_callback(lambda _: self._pass_on(pass_on))
        else:  # a second signal
            self._pass_on(pass_on)

    def _pass_on(self, pass_on: Callable[[], object]) -> None:
        if not self._is_passed_on:
            self._is_passed_on = True
            pass_on()


def _raise(number: int) -> None:
    """End the process as if the signal had no handler."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _called_by(handle: Any) -> Callable[[], object] | None:
    """Return the function that a handle of uvloop calls, with its arguments."""
    parts = gc.get_referents(handle)
    function = next((one for one in parts if callable(one) and not isinstance(one, type)), None)
    arguments = next((one for one in parts if type(one) is tuple), ())
    return None if function is None else partial(function, *arguments)
