"""Clients that the site's code has join and leave rooms."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from pytest_django.fixtures import Settings

from realtime import push
from realtime.consumers import Consumer
from realtime.models import Membership, Room
from realtime.policy import Policy
from realtime.testing import connect, engine
from tests.consumers.conftest import ada, bob, database, private, room, sqlite_url

__all__ = ["ada", "bob", "database", "private", "room", "sqlite_url"]

pytestmark = pytest.mark.usefixtures("room")


async def test_all_connections_of_a_user_join(ada: Any, bob: Any, room: Room) -> None:
    """Each gets the state of the room, and its events; others hear of it."""
    await push.room(room).amessage("before", username="CI")
    async with connect(bob) as other, connect(ada) as one, connect(ada) as two:
        await other.join(room)
        assert await push.user(ada).ajoin(room)
        for client in (one, two):
            joined = await client.next("joined", user_id=client.user_id)
            assert [item["content"] for item in joined["messages"]] == ["before"]
            assert "ref" not in joined
        await other.next("joined", username="ada")
        await other.message(room, "hi")
        for client in (one, two):
            await client.next("message", content="hi")


async def test_a_client_that_is_there_gets_nothing(ada: Any, room: Room) -> None:
    async with connect(ada) as client:
        await client.join(room)
        await push.user(ada).ajoin("general")
        assert await client.settled() == []


async def test_the_rights_of_the_user_hold(ada: Any, private: Room) -> None:
    """A membership is what lets the user in."""
    async with connect(ada) as client:
        await push.user(ada).ajoin(private)
        assert await client.settled() == []
        await sync_to_async(Membership.objects.create)(room=private, user=ada)
        await push.user(ada).ajoin(private)
        await client.next("joined", room="secret")


async def test_the_connections_leave(ada: Any, bob: Any, room: Room) -> None:
    """With a reason; the others hear of it, and the client may come back."""
    async with connect(ada) as one, connect(bob) as other:
        await other.join(room)
        await one.join(room)
        await other.next("joined", username="ada")
        await push.user(ada).aleave(room, "The round is over.")
        told = await one.next("removed")
        assert (told["code"], told["message"]) == ("not_joined", "The round is over.")
        await other.next("left", username="ada")
        await other.message(room, "alone")
        assert "message" not in [item["type"] for item in await one.settled()]
        await one.join(room)


async def test_leaving_has_a_text_of_its_own(ada: Any, room: Room, settings: Settings) -> None:
    """In the language of the client."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    async with connect(ada, headers={"accept-language": "de"}) as client:
        await client.join(room)
        await push.connection(client.connection).aleave(room)
        assert "Raum" in (await client.next("removed"))["message"]
        await push.user(ada).aleave(room)
        assert await client.settled() == []


async def test_moves_are_made_in_their_order(ada: Any, room: Room) -> None:
    """The last one counts."""
    async with connect(ada) as client:
        for _ in range(5):
            await push.user(ada).ajoin(room)
            await push.user(ada).aleave(room)
        await push.user(ada).ajoin(room)
        kinds = [(await client.next())["type"] for _ in range(11)]
        assert kinds == ["joined", "removed"] * 5 + ["joined"]
        await client.message(room, "here")


async def test_one_connection_can_be_moved(ada: Any, room: Room) -> None:
    async with connect(ada) as one, connect(ada) as other:
        await push.connection(one.connection).ajoin(room)
        await one.next("joined")
        assert await other.settled() == []


async def test_a_move_waits_for_the_commit(ada: Any, room: Room) -> None:
    @sync_to_async
    def work() -> list[bool]:
        with transaction.atomic():
            moved = push.user(ada).join(room)
            before = moved.is_waiting
        return [before, moved.is_waiting]

    async with connect(ada) as client:
        assert await work() == [True, False]
        await client.next("joined")


@pytest.mark.parametrize("verb", ["join", "leave"])
def test_a_room_that_does_not_exist_is_told(ada: Any, verb: str) -> None:
    with pytest.raises(Room.DoesNotExist):
        getattr(push.user(ada), verb)("nowhere")


class Echo(Consumer):
    """A consumer without rooms."""


async def test_a_consumer_without_rooms_stays_as_it_is(ada: Any, room: Room) -> None:
    async with connect(ada, application=Echo.as_asgi()) as client:
        await push.user(ada).ajoin(room)
        await push.user(ada).aleave(room)
        assert await client.settled() == []


class Failing(Policy):
    def may_join(self, *args: Any) -> bool:
        """Fail, as the code of a site may."""
        raise ZeroDivisionError


async def test_a_policy_that_fails_ends_no_connection(
    ada: Any, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{__name__}.Failing"
    async with engine(POLICY=name), connect(ada) as client:
        await push.user(ada).ajoin(room)
        assert await client.settled() == []
        assert "ZeroDivisionError" in caplog.text


async def test_no_more_rooms_than_a_connection_may_have(ada: Any, room: Room) -> None:
    async with engine(ROOMS_PER_CONNECTION=1), connect(ada) as client:
        await Room.objects.acreate(slug="second")
        await client.join(room)
        await push.user(ada).ajoin("second")
        assert await client.settled() == []
