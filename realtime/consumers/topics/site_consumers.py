"""What a consumer of the site tells about its socket: whether it can be used, and when it ends.

Channels has no hook for the end of a consumer, so several signs of it are watched.
"""

import asyncio
import sys
import weakref
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from channels.consumer import AsyncConsumer

from ...engine.servers.transport import is_accepted

__all__ = ["Watch", "check_accepted", "check_kind"]

End = Callable[[], None]


def check_kind(consumer: Any, called: str) -> None:
    """Raise an error that says what to write, before anything is awaited."""
    if not isinstance(consumer, AsyncConsumer) or consumer._sync:
        kind = type(consumer).__qualname__
        raise TypeError(
            f"{called}() needs an async consumer, not {kind}: derive it from an async class of "
            f"Channels, such as AsyncWebsocketConsumer, and write `await {called}(self, …)`."
        )
    if getattr(consumer, "scope", {}).get("type") != "websocket":
        raise TypeError(f"{called}() needs the consumer of an open WebSocket.")
    if not hasattr(consumer, "base_send"):
        raise TypeError(
            f"{called}() is for consumers of Channels. The client of a consumer of this package "
            "subscribes by itself: derive the consumer from `realtime.consumers.Subscribing`."
        )


def check_accepted(server: Any) -> None:
    """Raise an error if the handshake of a server's `send` is not accepted yet."""
    if not is_accepted(server):
        raise RuntimeError("subscribe() needs an open socket: write `await self.accept()` first.")


class Watch:
    """Calls `end` when a consumer has ended, or when it or its client has closed the socket.

    It refers to the consumer weakly: a cycle would keep it until the garbage collector runs.
    """

    def __init__(self, consumer: AsyncConsumer, end: End) -> None:
        self._consumer = weakref.ref(consumer)
        self._end = end
        self._send = consumer.base_send
        self._handler = getattr(type(consumer), "websocket_disconnect", None)
        self._task = _task_of(consumer)
        loop = asyncio.get_running_loop()
        self._finalizer = weakref.finalize(consumer, partial(_end_soon, loop, end))
        self._finalizer.atexit = False
        consumer.base_send = self._base_send
        if self._handler is not None:
            consumer.websocket_disconnect = self._websocket_disconnect
        if self._task is not None:
            self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Leave the consumer as it was."""
        self._forget_task()
        consumer = self._consumer()
        if consumer is None:
            return
        if vars(consumer).get("base_send") == self._base_send:
            consumer.base_send = self._send
        if vars(consumer).get("websocket_disconnect") == self._websocket_disconnect:
            del consumer.websocket_disconnect

    async def _base_send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            self._end()
        await self._send(message)

    async def _websocket_disconnect(self, message: dict[str, Any]) -> None:
        self._end()
        if self._handler is not None and (consumer := self._consumer()) is not None:
            await self._handler(consumer, message)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._end()
        self._forget_task()

    def _forget_task(self) -> None:
        """Refer to the task no more: the traceback of its exception refers to the consumer."""
        self._finalizer.detach()
        if self._task is not None:
            self._task.remove_done_callback(self._ended)
            self._task = None


def _task_of(consumer: AsyncConsumer) -> "asyncio.Task[Any] | None":
    """Return the task that runs a consumer; None if its class has a `__call__` of its own."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_run(frame, consumer):
            return asyncio.current_task()
        frame = frame.f_back
    # It subscribes in a task of its own.
    return next((task for task in asyncio.all_tasks() if _runs(task, consumer)), None)


def _runs(task: "asyncio.Task[Any]", consumer: AsyncConsumer) -> bool:
    """Return whether a suspended task runs a consumer."""
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and _is_run(frame, consumer):
            return True
        coroutine = getattr(coroutine, "cr_await", None)
    return False


def _is_run(frame: FrameType, consumer: AsyncConsumer) -> bool:
    is_call = frame.f_code is AsyncConsumer.__call__.__code__
    return is_call and frame.f_locals["self"] is consumer


def _end_soon(loop: asyncio.AbstractEventLoop, end: End) -> None:
    """Call `end` in its loop: the garbage collector runs in any thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(end)
