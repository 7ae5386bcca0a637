"""Guests' names over the socket: chosen, kept, taken away and refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from harness.site import UNLIMITED
from realtime import moderation, testing
from realtime.auth.guests import token_of
from realtime.consumers import ChatConsumer
from realtime.engine.engine import Engine
from realtime.models import Connection, Message, Room
from realtime.store.accounts.identity import Identity
from realtime.testing import Client, connect

HOME = {"x-forwarded-for": "203.0.113.5"}
ADA = Identity("guest:ada", "Ada")


@pytest.fixture
async def behind_a_proxy(room: Room) -> AsyncIterator[Engine]:
    async with testing.engine(GUESTS=True, TRUSTED_PROXIES=1, **UNLIMITED) as running:
        yield running


def returning(guest: Identity, **scope: Any) -> AbstractAsyncContextManager[Client]:
    return connect(token=token_of(guest), **scope)


async def register(name: str, **fields: Any) -> Any:
    return await sync_to_async(get_user_model().objects.create_user)(name, **fields)


async def written(name: str) -> None:
    """Wait until others can know of a connection by this name."""
    async with asyncio.timeout(10):
        while not await Connection.objects.filter(username=name).aexists():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", ["alice", "\u0430lice", "ADMIN", "\u3164", "Guest 654321"])
async def test_a_guest_does_not_take_a_name_that_looks_like_a_users(
    engine: Engine, name: str
) -> None:
    """It is told what to do, and keeps the name that it has."""
    await register("alice")
    async with connect() as guest:
        reply = await guest.ask("auth", name=name)
        assert (reply["type"], reply["code"]) == ("error", "invalid_message")
        again = await guest.ask("auth")
        assert again["username"] == guest.welcome["username"]


async def test_two_guests_do_not_have_one_name(engine: Engine) -> None:
    async with connect() as one, connect() as other:
        assert (await one.ask("auth", name="Zo\u00eb"))["username"] == "Zo\u00eb"
        await one.join("general")
        await written("Zo\u00eb")
        reply = await other.ask("auth", name="Zoe")
        assert "taken" in reply["message"]


async def test_a_returning_guest_loses_a_name_that_a_user_has_now(engine: Engine) -> None:
    """Not the identity: it is called by a number, and its new token says so."""
    async with returning(ADA) as guest:
        assert guest.welcome["username"] == "Ada"
    await register("ada")
    async with returning(ADA) as guest:
        assert guest.welcome["user_id"] == ADA.user_id
        assert guest.welcome["username"].startswith("Guest ")


async def test_a_connected_guest_loses_the_name_when_a_user_registers(engine: Engine) -> None:
    """It is told to come back, and is called by a number then."""
    async with returning(ADA) as guest:
        await written("Ada")
        await register("ADA")
        told = await guest.next("disconnect")
        code = (await guest.closed()).code
        assert (code, told["reconnect"]) == (4005, True)


async def test_a_guest_that_is_known_by_a_number_is_not_asked_about(engine: Engine) -> None:
    """Whatever a user is called."""
    async with connect() as guest:
        name = guest.welcome["username"]
    async with returning(Identity(guest.welcome["user_id"], name)) as back:
        assert back.welcome["username"] == name


async def test_a_muted_guest_keeps_its_name(behind_a_proxy: Engine, room: Room) -> None:
    """Wherever it is muted, and also as a new guest of the same address."""
    elsewhere = {"x-forwarded-for": "203.0.113.9"}
    async with connect(headers=HOME) as guest, connect(headers=elsewhere) as other:
        await sync_to_async(moderation.mute)(
            room, guest.welcome["user_id"], addresses={"203.0.113.5"}, reason="spam"
        )
        reply = await guest.ask("auth", name="buy pills")
        assert reply["code"] == "permission_denied"
        assert "you keep your name" in reply["message"]
        async with connect(headers=HOME) as again:
            assert (await again.ask("auth", name="buy pills"))["code"] == "permission_denied"
        assert (await other.ask("auth", name="Bob"))["username"] == "Bob"


@pytest.mark.parametrize("way", ["auth", "reconnect", "another"])
async def test_a_muted_guest_does_not_speak_by_the_names_of_old_tokens(
    engine: Engine, room: Room, way: str
) -> None:
    """By `auth`, on a new connection, or as another guest on the same one; its own name stays."""
    guest = Identity("guest:eve", "Eve")
    other = Identity(guest.user_id if way != "another" else "guest:2", "buy pills")
    async with returning(guest) as eve:
        await written("Eve")
        await sync_to_async(moderation.mute)(room, guest.user_id)
        if way == "reconnect":
            async with returning(other) as again:
                name = again.welcome["username"]
        else:
            name = (await eve.ask("auth", token=token_of(other)))["username"]
        assert name.startswith("Guest ")
    async with returning(guest) as again:
        assert again.welcome["username"] == "Eve"


async def test_a_name_by_a_token_costs_what_a_name_costs(room: Room) -> None:
    limits = {**UNLIMITED, "ACTS_PER_MINUTE": 7}
    tokens = [token_of(Identity("guest:eve", name)) for name in ("Eve", "one", "two")]
    async with testing.engine(GUESTS=True, **limits), connect() as socket:
        first, second, third = [await socket.ask("auth", token=one) for one in tokens]
        assert [first["username"], second["username"]] == ["Eve", "one"]
        assert third["code"] == "rate_limited"


@pytest.mark.parametrize("kind", ["message", "typing", "joined"])
async def test_an_address_is_not_told_to_others(engine: Engine, room: Room, kind: str) -> None:
    """A user who signs in by e-mail is called by a number until the site says otherwise."""
    user = await register("jane@example.com")
    async with (
        connect(application=ChatConsumer.as_asgi(), user=user) as jane,
        connect() as other,
    ):
        await other.join("general")
        await jane.join("general")
        jane.send("typing", room="general")
        await jane.ask("message", room="general", content="hi", nonce="n")
        heard = await other.next(kind, user_id=str(user.pk))
        assert heard["username"] == f"User {user.pk}"
        assert "jane" not in str(other.arrived)
    assert await sync_to_async(Message.objects.filter(username__contains="@").count)() == 0


async def test_a_direct_room_is_opened_by_the_shown_name(room: Room) -> None:
    """And the other is told of no address."""
    jane = await register("jane@example.com", first_name="Jane")
    bob = await register("bob@example.com", first_name="Bob")
    async with (
        testing.engine(DISPLAY_NAME="first_name", **UNLIMITED),
        connect(application=ChatConsumer.as_asgi(), user=jane) as one,
        connect(application=ChatConsumer.as_asgi(), user=bob) as other,
    ):
        for user in (jane, bob):
            await sync_to_async(user.save)()
        assert (await one.ask("direct", username="Bob"))["type"] == "room"
        assert (await one.ask("direct", username="bob@example.com"))["type"] == "room"
        assert (await other.next("invited"))["username"] == "Jane"
        assert "example.com" not in str(other.arrived)


async def test_a_guest_does_not_speak_by_changing_its_name(room: Room) -> None:
    """The first name is free; after some more it has to wait."""
    given = {**UNLIMITED, "ACTS_PER_MINUTE": 12}
    async with testing.engine(GUESTS=True, **given), connect() as guest:
        for name in ("Zoe", "Zoe one", "Zoe two"):
            assert (await guest.ask("auth", name=name))["type"] == "authenticated"
        reply = await guest.ask("auth", name="Zoe three")
        assert (reply["code"], reply["retry_after"] > 1) == ("rate_limited", True)
