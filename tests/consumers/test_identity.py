"""A connection that becomes somebody else: what was against whom it was stays against it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from pytest_django.fixtures import Settings

from realtime import moderation
from realtime.auth import tickets
from realtime.auth.guests import token_of
from realtime.consumers import ChatConsumer
from realtime.engine.engine import Engine
from realtime.models import Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.testing import Client, connect
from realtime.wire.errors import CloseCode

CHAT = ChatConsumer.as_asgi()
EVE = Identity("guest:eve", "Eve")
Become = Callable[[Client, Any], Awaitable[None]]


async def become_guest(socket: Client, bob: Any) -> None:
    """By the token of another guest."""
    reply = await socket.ask("auth", token=token_of(EVE))
    assert (reply["type"], reply["user_id"]) == ("authenticated", EVE.user_id)


async def become_user(socket: Client, bob: Any) -> None:
    """By a ticket of another user."""
    ticket = await sync_to_async(tickets.issue)(bob)
    reply = await socket.ask("auth", token=ticket)
    assert (reply["type"], reply["user_id"]) == ("authenticated", str(bob.pk))


async def become_both(socket: Client, bob: Any) -> None:
    """And then once more."""
    await become_guest(socket, bob)
    await become_user(socket, bob)


WAYS = [become_guest, become_user, become_both]


@pytest.mark.parametrize("become", WAYS)
@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("kind", ["ban", "kick", "mute"])
async def test_a_sanction_in_a_room_is_not_left_behind(
    engine: Engine, room: Room, ada: Any, bob: Any, kind: str, is_late: bool, become: Become
) -> None:
    """Whether it was given before the change or after it, when the room knows somebody else."""
    act = getattr(moderation, f"a{kind}")
    async with connect(ada, application=CHAT) as socket:
        if not is_late:
            await act(room, ada, reason="spam")
        await become(socket, bob)
        if is_late:
            await socket.join("general")
            await act(room, ada, reason="spam")
            told = await socket.next("room" if kind == "mute" else "removed", room="general")
            assert "spam" in str(told)
        if kind == "mute":
            await socket.join("general")
            refused = await socket.ask("message", room="general", content="a", nonce="1")
            assert refused["code"] == "permission_denied"
        else:
            assert (await socket.ask("join", room="general"))["code"] == "permission_denied"


@pytest.mark.parametrize("become", WAYS)
async def test_a_ban_of_the_site_ends_the_connection_as_whom_it_is_now(
    engine: Engine, ada: Any, bob: Any, become: Become
) -> None:
    """Told at once, though no topic of the banned user has it any more."""
    async with connect(ada, application=CHAT) as socket:
        await become(socket, bob)
        await moderation.aban(None, ada, reason="spam")
        told = await socket.next("disconnect")
        code = (await socket.closed()).code
        assert (code, "spam" in told["reason"]) == (CloseCode.KICKED, True)


async def test_a_ban_of_which_nobody_told_is_not_left_behind(engine: Engine, ada: Any) -> None:
    """It is asked for whom the connection was as well, before it becomes somebody else."""
    async with connect(ada, application=CHAT) as socket:
        await Sanction.objects.abulk_create([Sanction(kind="ban", user_key=str(ada.pk))])
        engine.revalidator.site_sanctions.are_any = True
        socket.send("auth", token=token_of(EVE))
        assert (await socket.closed()).code == CloseCode.KICKED


async def test_a_new_connection_is_only_who_it_is(engine: Engine, room: Room, ada: Any) -> None:
    """A ban by name is of a name; one of the address holds for all."""
    await moderation.aban(room, ada)
    async with connect(token=token_of(EVE)) as socket:
        assert socket.welcome["user_id"] == EVE.user_id
        await socket.join("general")


async def test_slow_mode_is_not_left_behind(engine: Engine, room: Room, ada: Any, bob: Any) -> None:
    """Nor is it by going back and forth."""
    await Room.objects.filter(pk=room.pk).aupdate(slow_seconds=60)
    async with connect(ada, application=CHAT) as socket:
        await socket.join("general")
        assert (await socket.ask("message", room="general", content="a"))["type"] == "ack"
        await socket.ask("leave", room="general")
        await become_user(socket, bob)
        await socket.join("general")
        assert (await socket.ask("message", room="general", content="b"))["code"] == "rate_limited"


async def test_an_allowance_is_not_left_behind(
    engine: Engine, room: Room, ada: Any, bob: Any, settings: Settings
) -> None:
    """What whom it was has used up, it has used up."""
    settings.REALTIME = {**settings.REALTIME, "JOINS_PER_SECOND": 0.01, "ROOMS_PER_CONNECTION": 3}
    async with connect(ada, application=CHAT) as socket:
        while (reply := await socket.ask("join", room="general"))["type"] == "joined":
            pass
        assert reply["code"] == "rate_limited"
        await socket.ask("leave", room="general")
        await become_user(socket, bob)
        assert (await socket.ask("join", room="general"))["code"] == "rate_limited"


async def test_a_connection_becomes_somebody_else_a_few_times_only(engine: Engine) -> None:
    """All of them are remembered."""
    async with connect() as socket:
        for number in range(10):
            token = token_of(Identity(f"guest:{number}", f"G{number}"))
            assert (await socket.ask("auth", token=token))["type"] == "authenticated"
        token = token_of(Identity("guest:more", "More"))
        assert (await socket.ask("auth", token=token))["code"] == "permission_denied"
        again = token_of(Identity("guest:3", "G3"))
        assert (await socket.ask("auth", token=again))["user_id"] == "guest:3"


async def test_a_renewed_user_is_still_whom_it_was(
    engine: Engine, room: Room, ada: Any, bob: Any
) -> None:
    """The user was saved meanwhile, and asked for again."""
    async with connect(ada, application=CHAT) as socket:
        await become_user(socket, bob)
        await socket.join("general")
        user = await get_user_model().objects.aget(pk=bob.pk)
        user.is_staff = True
        await user.asave()
        await socket.settled()
        await moderation.amute(room, ada)
        while not (await socket.next("room", room="general")).get("muted"):
            pass
