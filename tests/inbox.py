"""The commands of a client, as the scripted server of a test gets them."""

import asyncio
import json
from collections import deque
from typing import Any

__all__ = ["SECONDS", "Frame", "Inbox"]

SECONDS = 20
Frame = dict[str, Any]


class Inbox:
    """What one socket of a client has sent, in order; `seen` keeps all of it."""

    def __init__(self) -> None:
        self.seen: list[Frame] = []
        self._waiting: deque[Frame] = deque()
        self._came = asyncio.Event()

    def take(self, data: str | bytes) -> None:
        """Take a frame of the client, which holds one command in each line."""
        for line in str(data).splitlines():
            self.seen.append(json.loads(line))
            self._waiting.append(self.seen[-1])
        self._came.set()

    async def expect(self, kind: str) -> Frame:
        """Return the next command of this type; others that come before are passed over."""
        async with asyncio.timeout(SECONDS):
            while True:
                while self._waiting:
                    frame = self._waiting.popleft()
                    if frame["type"] == kind:
                        return frame
                self._came.clear()
                await self._came.wait()

    def types(self) -> list[str]:
        """Return the types of all commands."""
        return [frame["type"] for frame in self.seen]
