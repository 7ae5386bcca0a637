"""The site behind middleware that hands it a `send` of its own, in the shapes that people write."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from project.asgi import application

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


async def closure(scope: Message, receive: Any, send: Send) -> None:
    """As tracing does it."""

    async def traced(message: Message) -> None:
        await send(message)

    await application(scope, receive, traced)


async def partial(scope: Message, receive: Any, send: Send) -> None:
    """A function with `send` as its first argument."""
    await application(scope, receive, functools.partial(_pass_on, send))


async def _pass_on(send: Send, message: Message) -> None:
    await send(message)


class Sender:
    """An object whose only attribute has a name that nobody knows."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Send) -> None:
        self._inner = {"sends": [inner]}

    def __call__(self, message: Message) -> Awaitable[None]:
        """An awaitable that is no coroutine."""
        return asyncio.ensure_future(self._inner["sends"][0](message))  # type: ignore[arg-type]


async def instance(scope: Message, receive: Any, send: Send) -> None:
    """An object that is called, on a scope of its own."""
    await application(dict(scope), receive, Sender(send))


async def pump(scope: Message, receive: Any, send: Send) -> None:
    """Two queues without bounds and two tasks between the server and the application."""
    if scope["type"] != "websocket":
        await application(scope, receive, send)
        return
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    outgoing: asyncio.Queue[Message] = asyncio.Queue()
    tasks = [
        asyncio.create_task(_carry(receive, incoming.put)),
        asyncio.create_task(_carry(outgoing.get, send)),
    ]
    try:
        await application(scope, incoming.get, outgoing.put)
        while not outgoing.empty():
            await asyncio.sleep(0.01)
    finally:
        for task in tasks:
            task.cancel()


async def _carry(take: Callable[[], Awaitable[Message]], give: Send) -> None:
    while True:
        await give(await take())
