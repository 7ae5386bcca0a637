"""The `websockets` library: Redis Pub/Sub and `broadcast()`, as its guide for Django has it.

Compression is left as it is, on where a client offers it.
"""

import asyncio
import os
from collections import defaultdict
from contextlib import suppress

from redis.asyncio import Redis
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

PREFIX = "room:"


class Rooms:
    """The connections of each room; the path of a connection is its room."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.members: defaultdict[str, set[ServerConnection]] = defaultdict(set)

    async def handle(self, connection: ServerConnection) -> None:
        """Publish what a member says, for as long as it stays."""
        room = connection.request.path.removeprefix("/")
        self.members[room].add(connection)
        try:
            with suppress(ConnectionClosed):
                async for text in connection:
                    await self.redis.publish(PREFIX + room, text)
        finally:
            self.members[room].remove(connection)

    async def relay(self) -> None:
        """Broadcast what is published in any room."""
        pubsub = self.redis.pubsub(ignore_subscribe_messages=True)
        await pubsub.psubscribe(f"{PREFIX}*")
        async for event in pubsub.listen():
            room = event["channel"].decode().removeprefix(PREFIX)
            broadcast(self.members[room], event["data"].decode())


async def main() -> None:
    """Serve until killed."""
    rooms = Rooms(Redis.from_url(os.environ["REDIS_URL"]))
    async with serve(rooms.handle, "127.0.0.1", int(os.environ["PORT"])):
        await rooms.relay()


if __name__ == "__main__":
    asyncio.run(main())
