"""What a site's own tests look like; run by `manage.py test`, in tests/testing/test_running.py."""

from datetime import timedelta
from unittest.mock import patch

from django.contrib.auth import get_user_model
from django.test import TestCase, TransactionTestCase

from realtime import moderation, push
from realtime.engine.bus.publisher import publisher
from realtime.models import Message, Room
from realtime.testing import (
    aassert_published,
    assert_published,
    clock,
    committing,
    connect,
    engine,
    lose_layer_messages,
)
from realtime.topics import Event, Topic


class Rung(Event):
    """An event."""

    times: int


class TillTopic(Topic):
    """A topic."""

    path = "till"
    events = [Rung]
    keep = timedelta(days=1)

    def may_subscribe(self) -> bool:
        return True


TILL = TillTopic()


class Chat:
    """The same steps for each of Django's test cases."""

    @classmethod
    def make(cls) -> None:
        cls.room = Room.objects.create(slug="general")  # type: ignore[attr-defined]
        cls.ada = get_user_model().objects.create_user("ada")  # type: ignore[attr-defined]

    async def chat(self) -> None:
        async with engine(GUESTS=True), connect(self.ada) as ada, connect() as guest:  # type: ignore[attr-defined]
            await ada.join("general")
            await guest.join("general")
            await ada.message("general", "hi")
            assert (await guest.next("message"))["username"] == "ada"
            assert await Message.objects.acount() == 1
            await guest.drop_connection()
            await ada.message("general", "while away")
            await guest.resume()
            assert (await guest.next("message"))["content"] == "while away"


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

    async def test_the_engine_commits_what_it_does(self) -> None:
        """A ban by a command reaches the banned client, though nothing is committed."""
        admin = await get_user_model().objects.acreate_superuser("admin")
        async with connect(admin) as moderator, connect(self.ada) as client:
            await moderator.join("general")
            await client.join("general")
            await moderator.command("ban", room="general", user_id=client.user_id)
            assert (await client.next("removed"))["code"] == "permission_denied"

    async def test_code_of_the_site_commits_with_the_block(self) -> None:
        """As a view's would by itself."""
        async with connect(self.ada) as client:
            await client.join("general")
            async with committing():
                await moderation.aban(self.room, self.ada, by=None)
            await client.next("removed")

    async def test_lost_messages_come_from_the_database(self) -> None:
        """At the latest with the pulse."""
        async with clock() as moved, connect(self.ada) as client:
            await client.join("general")
            lose_layer_messages(1)
            async with committing():
                await push.room("general").amessage("lost", username="CI")
            await moved.advance(7)
            assert (await client.next("message"))["content"] == "lost"

    async def test_events_reach_a_subscriber_with_the_commit(self) -> None:
        """Before, they are pending; after it they are numbered and delivered."""
        async with connect(self.ada) as client:
            await client.subscribe(TILL)
            async with committing():
                await TILL.apublish(Rung(times=3))
                await aassert_published(TILL, Rung(times=3))
                assert await client.settled() == []
            assert await client.next(Rung) == Rung(times=3)

    def test_push_without_an_engine(self) -> None:
        """A view that pushes can be tested without any socket."""
        with self.captureOnCommitCallbacks(execute=True):
            push.room("general").message("from a view", username="CI")
        assert_published("general", content="from a view")

    def test_a_pushed_message_is_published_once(self) -> None:
        """Though the callbacks of the commit run inside the transaction of the test."""
        with patch.object(publisher, "submit") as submit, committing():
            push.room("general").message("a", username="CI")
            push.room("general").message("b", username="CI")
        notes = [note for call in submit.call_args_list for _, note, *_ in call.args[0]]
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
