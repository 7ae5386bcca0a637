"""Commands cost by the work that they make; what people really do is never limited."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django.fixtures import Settings

from harness.waiting import eventually
from realtime import testing
from realtime.consumers import ChatConsumer
from realtime.consumers.chat import subscription as module
from realtime.engine.delivery import log_rights
from realtime.engine.engine import Engine
from realtime.models import Membership, Room
from realtime.store.rooms import access
from realtime.store.rooms.access import AccessRequest, AccessResult
from realtime.testing import Client, connect
from tests.engine import log

ROOMS, MESSAGES = 100, 30


@pytest.fixture
async def limited(room: Room) -> AsyncIterator[Engine]:
    """The engine with the limits that it has by default."""
    async with testing.engine(GUESTS=True) as running:
        yield running


def limit(settings: Settings, **limits: float) -> None:
    settings.REALTIME = {**settings.REALTIME, **limits}


async def test_a_page_of_history_costs_by_its_length(engine: Engine, settings: Settings) -> None:
    """Long ones are soon refused, short ones last."""
    limit(settings, COMMANDS_PER_SECOND=0.001, COMMANDS_BURST=22)
    async with connect() as socket:
        await socket.join("general")
        for _ in range(4):
            assert (await socket.ask("history", room="general", limit=100))["type"] == "history"
        assert (await socket.ask("history", room="general", limit=100))["code"] == "rate_limited"
        assert (await socket.ask("ping"))["type"] == "pong"
    async with connect() as socket:
        await socket.join("general")
        for _ in range(20):
            assert (await socket.ask("history", room="general", limit=1))["type"] == "history"


@pytest.mark.parametrize("command", [{"limit": 100}, {"limit": 100, "after": 0}])
async def test_a_large_reply_is_owed(
    engine: Engine, room: Room, settings: Settings, command: dict[str, int]
) -> None:
    """Of the same number of messages, long ones cost more."""
    await sync_to_async(log.append)(room.pk, *["x" * 4000] * 50)
    limit(settings, COMMANDS_PER_SECOND=0.001, COMMANDS_BURST=10)
    async with connect() as socket:
        await socket.join("general", history=0)
        assert len((await socket.ask("history", room="general", **command))["messages"]) == 50
        assert (await socket.ask("ping"))["code"] == "rate_limited"


async def test_joins_with_much_in_them_are_owed(
    engine: Engine, room: Room, settings: Settings
) -> None:
    """To join again and again for the history is no way around its cost."""
    await sync_to_async(log.append)(room.pk, *["x" * 4000] * 50)
    limit(settings, JOINS_PER_SECOND=0.001, ROOMS_PER_CONNECTION=5)
    async with connect() as socket:
        await socket.join("general", history=100)
        assert (await socket.ask("join", room="general", history=100))["code"] == "rate_limited"


async def test_who_is_in_a_room_costs_more_than_a_ping(engine: Engine, settings: Settings) -> None:
    limit(settings, COMMANDS_PER_SECOND=0.001, COMMANDS_BURST=11)
    async with connect() as socket:
        await socket.join("general")
        for _ in range(2):
            assert (await socket.ask("presence", room="general"))["type"] == "presence"
        assert (await socket.ask("presence", room="general"))["code"] == "rate_limited"


async def test_many_rooms_are_asked_for_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred that do not exist cost as many queries as one does."""
    asked: list[int] = []
    real = access.enter_all

    def enter_all(asks: Iterable[AccessRequest]) -> dict[AccessRequest, AccessResult]:
        asked.append(len(list(asks)))
        return real(asks)

    monkeypatch.setattr(access, "enter_all", enter_all)
    async with connect() as socket:
        targets: list[dict[str, Any]] = [{"room": f"none-{number}"} for number in range(99)]
        socket.send("joins", rooms=[*targets, {"room": "general"}])
        told = [item["type"] for item in await socket.settled()]
    assert told == ["error"] * 99 + ["joined"]
    assert asked == [100]


async def test_rights_that_change_while_many_rooms_are_entered_are_asked_for_again(
    engine: Engine, private: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was good for all rooms is good for none after the user has changed."""
    asked: list[list[str]] = []
    real, consumers = access.enter_all, list[ChatConsumer]()

    def enter_all(asks: Iterable[AccessRequest]) -> dict[AccessRequest, AccessResult]:
        asked.append([ask.slug for ask in asks])
        if len(asked) == 1:
            engine.loop.call_soon_threadsafe(consumers[0].on_rights_changed)
        return real(asks)

    monkeypatch.setattr(access, "enter_all", enter_all)
    async with connect() as socket:
        consumer = engine.connections[socket.welcome["connection"]].events
        assert isinstance(consumer, ChatConsumer)
        consumers.append(consumer)
        socket.send("joins", rooms=[{"room": "general"}, {"room": "secret"}])
        await socket.settled()
    assert asked == [["general", "secret"], ["general"], ["secret"]]


async def test_a_room_is_told_of_typing_once_a_second(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a client says so."""
    async with connect() as one, connect() as other:
        for socket in (one, other):
            await socket.join("general")
        for _ in range(50):
            one.send("typing", room="general")
        await one.settled()
        assert [item["type"] for item in await other.settled()].count("typing") == 1
        monkeypatch.setattr(module, "TYPING_SECONDS", 0)
        one.send("typing", room="general")
        await other.next("typing")


async def test_coming_back_to_a_hundred_rooms_is_not_limited(limited: Engine, room: Room) -> None:
    """With what was missed in each, and then much scrolling, with the limits of a plain site."""
    slugs = [f"room-{number}" for number in range(ROOMS)]
    await sync_to_async(_fill)(slugs)
    async with connect() as socket:
        targets: list[dict[str, Any]] = [{"room": slug, "history": 50} for slug in slugs]
        socket.send("joins", rooms=targets, ref="first")
        joined = [await socket.next("joined", ref="first") for _ in range(ROOMS)]
    token = socket.welcome["guest_token"]
    await asyncio.sleep(0)
    async with connect(token=token) as socket:
        limited.limits._buckets.clear()  # as after the seconds for which a client is away
        targets = [
            {"room": one["room"], "since": {"seq": 5, "epoch": one["epoch"]}} for one in joined
        ]
        socket.send("joins", rooms=targets, ref="back")
        resumed = [await socket.next("joined", ref="back") for _ in range(ROOMS)]
        assert all(one["recovered"] and len(one["messages"]) == MESSAGES - 5 for one in resumed)
        for number in range(19):
            page = await socket.ask("history", room=slugs[number], before=25, limit=50)
            assert (page["type"], len(page["messages"])) == ("history", 24)
        assert not any(item["type"] == "error" for item in socket.arrived)


def _fill(slugs: list[str]) -> None:
    for slug in slugs:
        made = Room.objects.create(slug=slug, title=slug)
        log.append(made.pk, *[f"message {number}" for number in range(MESSAGES)])


# What costs more where more are in the room.


@pytest.fixture
def owner(room: Room, ada: Any) -> Any:
    Membership.objects.create(room=room, user=ada, role="owner")
    return ada


async def test_changes_of_a_room_are_told_together(
    engine: Engine, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once; of many that follow the members hear the last."""
    monkeypatch.setattr(log_rights, "RECHECK_SECONDS", 2)
    async with ChatSocket(user=owner) as boss, ChatSocket() as guest, ChatSocket() as other:
        for socket in (boss, guest, other):
            await socket.join("general")
        for number in range(1, 11):
            done = await boss.ask("configure", room="general", slow_seconds=number)
            assert done["type"] == "done"
            if number == 1:
                for socket in (guest, other):
                    await socket.next("room", slow_seconds=1)
        for socket in (guest, other):
            await socket.next("room", slow_seconds=10)
            told = [item["slow_seconds"] for item in socket.arrived if item["type"] == "room"]
            assert told == [1, 10]


async def test_what_a_room_is_yet_to_be_told_holds_already(
    engine: Engine, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody acts by rights that are gone, and who is put out is out at once."""
    monkeypatch.setattr(log_rights, "RECHECK_SECONDS", 60)
    async with ChatSocket(user=owner) as boss, ChatSocket() as guest, ChatSocket() as other:
        for socket in (boss, guest, other):
            await socket.join("general")
        await boss.ask("configure", room="general", slow_seconds=1)
        await guest.next("room", slow_seconds=1)
        await boss.ask("configure", room="general", read_only=True)
        await eventually(lambda: engine.hub.rooms[0].is_recheck_due)
        refused = (await guest.ask("message", room="general", content="too late"))["code"]
        assert refused == "permission_denied"
        await boss.ask("kick", room="general", user_id=other.welcome["user_id"])
        await other.next("removed")


async def test_what_changes_nothing_is_told_to_nobody(engine: Engine, owner: Any) -> None:
    """No event, and nobody asks again."""
    async with ChatSocket(user=owner) as boss, ChatSocket() as guest:
        for socket in (boss, guest):
            await socket.join("general")
        [topic] = engine.hub.rooms
        before = topic.rights_seq
        for _ in range(3):
            done = await boss.ask("configure", room="general", read_only=False, slow_seconds=0)
            assert done["type"] == "done"
        assert "room" not in [item["type"] for item in await guest.settled()]
        assert topic.rights_seq == before


def ChatSocket(**scope: Any) -> Client:  # noqa: N802
    """A connection that may moderate."""
    return connect(application=ChatConsumer.as_asgi(), **scope)
