"""A consumer as a site has it already, and its client."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from realtime import testing
from realtime.testing import Client
from realtime.topics import CommandError, TopicPosition, subscribe, unsubscribe

__all__ = ["Mine", "ask", "gets_nothing", "page"]


class Mine(AsyncJsonWebsocketConsumer):
    """A consumer of a site: it subscribes on request, and says how that ended."""

    async def connect(self) -> None:
        await self.accept()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case {"subscribe": topic, **fields}:
                await self._subscribe(topic, **fields)
            case {"unsubscribe": topic}:
                await unsubscribe(self, topic)
                await self.send_json({"unsubscribed": topic})
            case {"close": code}:
                await self.close(code)
            case {"crash": _}:
                raise ZeroDivisionError
            case _:
                await self.send_json({"echo": content})

    async def _subscribe(self, topic: str, since: Any = None, history: int = 0) -> None:
        try:
            place = None if since is None else TopicPosition(**since)
            found = await subscribe(self, topic, since=place, history=history)
        except CommandError as error:
            await self.send_json({"refused": str(error.code), "retry_after": error.retry_after})
        else:
            fields = {"recovered": True} if found.recovered else {}
            await self.send_json({"position": [found.seq, found.epoch], **fields})


def page(
    user: Any = None, application: Any = None, **scope: Any
) -> AbstractAsyncContextManager[Client]:
    """Connect a client to such a consumer."""
    return testing.connect(user, "/mine/", application=application or Mine.as_asgi(), **scope)


async def ask(client: Client, **content: Any) -> Any:
    """Send JSON, and return what comes next."""
    client.send_json(content)
    return await client.next()


async def gets_nothing(client: Client) -> bool:
    """Return whether nothing came before the answer."""
    return bool(await ask(client, hello=1) == {"echo": {"hello": 1}})
