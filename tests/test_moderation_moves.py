"""Clients that a moderator moves from a room to another one."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from realtime import moderation, push
from realtime.consumers import Consumer
from realtime.errors import CommandError
from realtime.models import Membership, Room
from realtime.testing import Client, connect, engine
from tests.consumers.conftest import ada, bob, database, private, room, sqlite_url

__all__ = ["ada", "bob", "database", "private", "room", "sqlite_url"]

pytestmark = pytest.mark.usefixtures("room")


@pytest.fixture
def table(database: str) -> Room:
    return Room.objects.create(slug="table", title="Table")


async def hears(client: Client, to: str, text: str) -> None:
    """Check that a client is told of its move, by the usual events."""
    removed = await client.next("removed")
    fields = removed["room"], removed["code"], removed["message"]
    assert fields == ("general", "not_joined", text)
    await client.next("joined", user_id=client.user_id, room=to)


async def test_all_clients_in_the_room_are_moved(
    ada: Any, bob: Any, room: Room, table: Room
) -> None:
    """A client of the same user that is elsewhere stays there; the others of both rooms hear."""
    async with (
        connect(ada) as one,
        connect(ada) as two,
        connect(ada) as elsewhere,
        connect(bob) as witness,
    ):
        for client in (one, two, witness):
            await client.join(room)
        await witness.join(table)
        await witness.settled()
        found = await moderation.amove(room, table, [ada, bob.pk], reason="Dinner")
        assert found.moved == [str(ada.pk), str(bob.pk)]
        for client in (one, two):
            await hears(client, "table", "Dinner")
        assert (await witness.next("removed"))["room"] == "general"  # it was in both
        await witness.next("joined", room="table", username="ada")
        await two.message(table, "here")
        await one.next("message", content="here")
        assert await elsewhere.settled() == []


async def test_a_guest_is_moved_with_a_text_of_its_own(room: Room, table: Room) -> None:
    async with engine(GUESTS=True), connect() as guest:
        await guest.join(room)
        await guest.settled()
        assert (await moderation.amove(room, table, [guest.user_id])).moved == [guest.user_id]
        await hears(guest, "table", "A moderator has moved you to another room.")


async def test_a_user_who_loses_a_private_room_comes_into_the_other_one(
    ada: Any, private: Room, table: Room
) -> None:
    """The end of the membership puts the client out too: the move must not be late for that."""
    for _ in range(3):
        await Membership.objects.acreate(room=private, user=ada)
        async with connect(ada) as client:
            await client.join(private)
            await client.settled()
            await moderation.amove(private, table, [ada], ends_membership=True)
            assert (await client.next("removed"))["room"] == "secret"
            assert (await client.next("joined"))["room"] == "table"
            assert "removed" not in [item["type"] for item in await client.settled()]


async def test_a_user_becomes_a_member_of_a_private_room(
    ada: Any, bob: Any, room: Room, private: Room
) -> None:
    """A device that is elsewhere is invited."""
    async with connect(ada) as client, connect(ada) as other:
        await client.join(room)
        await client.settled()
        await moderation.amove(room, private, [ada], by=bob)
        assert (await client.next("joined"))["room"] == "secret"
        assert (await other.next("invited"))["room"] == "secret"


async def test_a_banned_user_stays_and_hears_nothing(ada: Any, room: Room, table: Room) -> None:
    async with connect(ada) as client:
        await client.join(room)
        await moderation.aban(table, ada)
        await client.settled()
        assert (await moderation.amove(room, table, [ada])).refused == [str(ada.pk)]
        assert await client.settled() == []
        await client.message(room, "still here")


async def test_a_ban_that_comes_after_the_move_holds(ada: Any, room: Room, table: Room) -> None:
    """The client asks for its rights again, and stays where it is."""

    @sync_to_async
    def work() -> None:
        with transaction.atomic():
            moderation.move(room, table, [ada])
            moderation.ban(table, ada)

    async with connect(ada) as client:
        await client.join(room)
        await client.settled()
        await work()
        assert await client.settled() == []
        await client.message(room, "still here")


async def test_a_client_with_all_its_rooms_is_moved(ada: Any, room: Room, table: Room) -> None:
    async with engine(ROOMS_PER_CONNECTION=1), connect(ada) as client:
        await client.join(room)
        await client.settled()
        await moderation.amove(room, table, [ada])
        assert (await client.next("joined"))["room"] == "table"


async def test_moves_are_made_in_their_order(ada: Any, room: Room, table: Room) -> None:
    """Also after the site's code had the client join, as long as that is written."""
    async with connect(ada) as client:
        await client.join(room)
        await client.settled()
        await moderation.amove(room, table, [ada])
        await client.settled()
        await moderation.amove(table, room, [ada])
        await push.user(ada).aleave(room)
        assert "removed" in [item["type"] for item in await client.settled()]
        assert (await moderation.amove(room, table, [ada])).absent == [str(ada.pk)]


async def test_two_moves_at_once_leave_a_client_in_one_room(
    ada: Any, room: Room, table: Room
) -> None:
    """The first one: it is not in the room of the second one any more."""
    other = await Room.objects.acreate(slug="other")

    @sync_to_async
    def work() -> None:
        with transaction.atomic():
            moderation.move(room, table, [ada])
            moderation.move(room, other, [ada])

    async with connect(ada) as client:
        await client.join(room)
        await client.settled()
        await work()
        assert (await client.next("joined"))["room"] == "table"
        assert "joined" not in [item["type"] for item in await client.settled()]


class Echo(Consumer):
    """A consumer without rooms."""


async def test_a_consumer_without_rooms_stays_as_it_is(ada: Any, room: Room, table: Room) -> None:
    async with connect(ada, application=Echo.as_asgi()) as other, connect(ada) as client:
        await client.join(room)
        await other.settled()
        await moderation.amove(room, table, [ada])
        await client.next("joined", room="table")
        assert await other.settled() == []


async def test_an_invalid_user_is_refused(room: Room, table: Room) -> None:
    with pytest.raises(CommandError) as refused:
        await moderation.amove(room, table, ["guest:\0"])
    assert refused.value.code == "unknown_user"
