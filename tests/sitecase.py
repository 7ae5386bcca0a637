"""What a site's own tests look like; run by `manage.py test`, in tests/test_testing.py."""

from unittest.mock import patch

from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.test import TestCase, TransactionTestCase

from realtime import push, testing
from realtime.asgi import get_asgi_application
from realtime.consumers import RoomConsumer
from realtime.engine.bus.publisher import publisher
from realtime.models import Message, Room


class Chat:
    """The same steps for each of Django's test cases."""

    @classmethod
    def make(cls) -> None:
        cls.room = Room.objects.create(slug="general")  # type: ignore[attr-defined]
        cls.ada = get_user_model().objects.create_user("ada")  # type: ignore[attr-defined]

    async def chat(self) -> None:
        async with testing.engine(GUESTS=True):
            communicator = WebsocketCommunicator(RoomConsumer.as_asgi(), "/ws")
            communicator.scope["user"] = self.ada  # type: ignore[attr-defined]
            assert (await communicator.connect())[0]
            assert (await communicator.receive_json_from())["username"] == "ada"
            await communicator.send_json_to({"type": "join", "room": "general"})
            assert (await communicator.receive_json_from())["through"] == 0
            await communicator.send_json_to(
                {"type": "message", "room": "general", "content": "hi", "ref": 1}
            )
            kinds = [(await communicator.receive_json_from(5))["type"] for _ in range(2)]
            assert sorted(kinds) == ["ack", "message"]
            assert await Message.objects.acount() == 1
            await communicator.disconnect()


class InATransaction(Chat, TestCase):
    """What the test wrote in its transaction is there for the consumer."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.make()

    async def test_a_chat(self) -> None:
        """A message is stored and told."""
        await self.chat()

    async def test_a_chat_again(self) -> None:
        """Nothing is left of the test before."""
        assert await Message.objects.acount() == 0
        await self.chat()

    async def test_the_whole_application(self) -> None:
        """Also through the origin check."""
        async with testing.engine(GUESTS=True):
            communicator = WebsocketCommunicator(get_asgi_application(), "/ws/")
            assert (await communicator.connect())[0]
            await communicator.disconnect()

    def test_push_without_an_engine(self) -> None:
        """A view that pushes can be tested without any socket."""
        with self.captureOnCommitCallbacks(execute=True):
            push.room("general").message("from a view", username="CI")
        assert Message.objects.get().content == "from a view"

    def test_a_pushed_message_is_published_once(self) -> None:
        """Though the callbacks of the commit run inside the transaction of the test."""
        with (
            patch.object(publisher, "publish") as publish,
            self.captureOnCommitCallbacks(execute=True),
        ):
            push.room("general").message("a", username="CI")
            push.room("general").message("b", username="CI")
        notes = [call.args[1] for call in publish.call_args_list]
        assert [(note.tag, note.seq) for note in notes] == [("log", 1), ("log", 2)]


class WithCommits(Chat, TransactionTestCase):
    """The same where transactions are real."""

    def setUp(self) -> None:
        self.make()

    async def test_a_chat(self) -> None:
        """A message is stored and told."""
        await self.chat()

    async def test_a_chat_again(self) -> None:
        """Nothing is left of the test before."""
        await self.chat()
