"""Tests of a site that do not know of `realtime.testing`; run in tests/testing/test_running.py."""

from collections.abc import Callable
from typing import Any

from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.test import TransactionTestCase

from realtime.consumers import RoomConsumer
from realtime.models import Room

ENDS = 4
"""Where a test may end: after the handshake, while it joins, while a message is on its way."""


class Unstopped(TransactionTestCase):
    """Each test ends with an engine that runs, and with most a connection that is open."""

    def setUp(self) -> None:
        Room.objects.create(slug="general")
        self.ada = get_user_model().objects.create_user("ada")

    async def chat(self, until: int) -> None:
        communicator = WebsocketCommunicator(RoomConsumer.as_asgi(), "/ws")
        communicator.scope["user"] = self.ada
        assert (await communicator.connect())[0]
        await communicator.receive_json_from(5)
        if until > 0:
            await communicator.send_json_to({"type": "join", "room": "general"})
        if until > 1:
            await communicator.receive_json_from(5)
            await communicator.send_json_to(
                {"type": "message", "room": "general", "content": "hi", "ref": 1}
            )
        if until > 2:
            await communicator.disconnect()


def _test(until: int) -> Callable[[Unstopped], Any]:
    async def test(self: Unstopped) -> None:
        await self.chat(until)

    return test


for number in range(5 * ENDS):
    setattr(Unstopped, f"test_{number:02}", _test(number % ENDS))
