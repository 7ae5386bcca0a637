"""Presence of topics: who is subscribed, who is told, and who may see it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.engine.connections import presence
from realtime.models import Connection, Presence, Room
from realtime.testing import Refused, clock, connect
from realtime.topics import Event, Topic
from realtime.topics.registry import registry
from tests.consumers.topics.mine import ask, gets_nothing, page


class Said(Event):
    text: str


class Site:
    """Who may subscribe to a document, and who may see the others; all, at first."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.blind: set[str] = set()
        self.failure: Exception | None = None
        self.DocumentTopic = self._document()

    def _document(self) -> Any:
        site = self

        class DocumentTopic(Topic):
            path = "document/<int:pk>"
            events = [Said]
            presence = True
            pk: int

            def may_subscribe(self) -> bool:
                return self.identity.username not in site.refused

            def may_see_presence(self) -> bool:
                if site.failure is not None:
                    raise site.failure
                return self.identity.username not in site.blind

        class PlainTopic(Topic):
            path = "plain"

            def may_subscribe(self) -> bool:
                return True

        self.PlainTopic = PlainTopic
        return DocumentTopic


@pytest.fixture
def site(room: Room) -> Iterator[Site]:
    with registry.isolated():
        yield Site()


@pytest.fixture
async def running(site: Site) -> AsyncIterator[None]:
    async with testing.engine(GUESTS=True, PRESENCE_GRACE_SECONDS=0, **UNLIMITED):
        yield


def names(found: dict[str, Any]) -> list[str]:
    return [one["username"] for one in found["members"]]


@pytest.mark.usefixtures("running")
async def test_subscribers_are_told_who_joins_and_leaves(site: Site, ada: Any, bob: Any) -> None:
    document = site.DocumentTopic(pk=7)
    async with connect(ada) as one, connect(bob) as other:
        found = await one.subscribe(document)
        assert (names(found), found["count"], found["rights"]) == (["ada"], 1, ["presence"])
        await eventually_present(document, [("ada", 1)])
        await one.settled()
        found = await other.subscribe("document/007")
        assert (sorted(names(found)), found["count"]) == (["ada", "bob"], 2)
        told = await one.next("joined", topic="document/7")
        assert told == {
            "type": "joined",
            "topic": "document/7",
            "user_id": str(bob.pk),
            "username": "bob",
        }
        await other.unsubscribe(document)
        told = await one.next("left", topic="document/7")
        assert (told["user_id"], "room" in told) == (str(bob.pk), False)
        assert not [item for item in await other.settled() if item["type"] == "joined"]


@pytest.mark.usefixtures("running")
async def test_several_tabs_of_a_user_count_once(site: Site, ada: Any, bob: Any) -> None:
    document = site.DocumentTopic(pk=7)
    async with connect(bob) as watcher, connect(ada) as one:
        await watcher.subscribe(document)
        await one.subscribe(document)
        await watcher.next("joined")
        async with connect(ada) as other:
            assert (await other.subscribe(document))["count"] == 2
            await eventually_present(document, [("ada", 2), ("bob", 1)])
        await eventually_present(document, [("ada", 1), ("bob", 1)])
        assert await watcher.settled() == []
        await one.unsubscribe(document)
        await watcher.next("left", username="ada")


@pytest.mark.usefixtures("running")
async def test_a_guest_counts_as_in_rooms(site: Site, ada: Any) -> None:
    document = site.DocumentTopic(pk=7)
    async with connect(ada) as one:
        await one.subscribe(document)
        async with connect() as guest:
            await guest.subscribe(document)
            assert (await one.next("joined"))["user_id"] == guest.user_id
        assert (await one.next("left"))["user_id"].startswith("guest:")


@pytest.mark.usefixtures("running")
async def test_the_command_and_the_method_return_who_is_there(site: Site, ada: Any) -> None:
    document = site.DocumentTopic(pk=7)
    async with connect(ada) as client:
        with pytest.raises(Refused) as refused:
            await client.command("presence", topic="document/7")
        assert refused.value.code == "not_joined"
        await client.subscribe(document)
        await eventually_present(document, [("ada", 1)])
        found = await client.command("presence", topic="document/007")
        assert (found["topic"], found["count"]) == ("document/7", 1)
        assert found["members"] == [{"user_id": str(ada.pk), "username": "ada", "connections": 1}]
        assert await sync_to_async(document.present)() == await document.apresent()
        assert await site.DocumentTopic(pk=8).apresent() == []


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("is_room", [True, False])
async def test_a_client_is_in_the_list_that_it_requests(
    site: Site, room: Room, monkeypatch: pytest.MonkeyPatch, is_room: bool
) -> None:
    """At once after it has joined: rows are written in batches."""
    monkeypatch.setattr(presence, "GATHER_SECONDS", 60)
    async with testing.engine(GUESTS=True, **UNLIMITED), connect() as client:
        if is_room:
            await client.join(room)
            told = await client.ask("presence", room=room.slug)
        else:
            await client.subscribe("document/1")
            told = await client.ask("presence", topic="document/1")
        assert [one["user_id"] for one in told["members"]] == [client.user_id]
        assert told["count"] == 1


async def test_other_topics_have_no_presence(site: Site, ada: Any) -> None:
    """Nothing is written, and the replies are as before."""
    async with connect(ada) as client:
        found = await client.subscribe("plain")
        assert {"members", "count", "rights"}.isdisjoint(found)
        with pytest.raises(Refused) as refused:
            await client.command("presence", topic="plain")
        assert refused.value.code == "permission_denied"
        with pytest.raises(ImproperlyConfigured, match="write `presence = True`"):
            await site.PlainTopic().apresent()
        await client.settled()
        assert not await Presence.objects.aexists()


@pytest.mark.parametrize("fields", [{}, {"room": "general", "topic": "plain"}])
@pytest.mark.usefixtures("running")
async def test_the_command_is_for_one_place(site: Site, ada: Any, fields: dict[str, Any]) -> None:
    async with connect(ada) as client:
        with pytest.raises(Refused, match="one of the fields `room` and `topic`"):
            await client.command("presence", **fields)


@pytest.mark.usefixtures("running")
async def test_a_client_that_may_not_see_is_counted_and_told_nothing(
    site: Site, ada: Any, bob: Any
) -> None:
    document = site.DocumentTopic(pk=7)
    site.blind.add("bob")
    async with connect(ada) as one, connect(bob) as other:
        await one.subscribe(document)
        found = await other.subscribe(document)
        assert {"members", "count", "rights"}.isdisjoint(found)
        with pytest.raises(Refused) as refused:
            await other.command("presence", topic=document.name)
        assert refused.value.code == "permission_denied"
        assert (await one.next("joined"))["username"] == "bob"
        async with connect() as guest:
            await guest.subscribe(document)
            await one.next("joined")
        await one.next("left")
        assert await other.settled() == []
        await document.apublish(Said(text="hi"))
        assert (await other.next(Said)).text == "hi"


@pytest.mark.usefixtures("running")
async def test_the_right_to_see_may_change(site: Site, ada: Any, bob: Any) -> None:
    """A `presence` event says so; with 0 users, they are not to be seen any more."""
    document = site.DocumentTopic(pk=7)
    async with connect(ada) as one, connect(bob) as other:
        await one.subscribe(document)
        await other.subscribe(document)
        await one.next("joined")
        site.blind.add("ada")
        await refresh(document)
        assert await one.next("presence") == {
            "type": "presence",
            "topic": "document/7",
            "count": 0,
            "members": [],
        }
        await other.unsubscribe(document)
        assert await one.settled() == []
        site.blind.clear()
        await refresh(document)
        assert names(await one.next("presence")) == ["ada"]
        await other.subscribe(document)
        assert (await one.next("joined"))["username"] == "bob"


@pytest.mark.usefixtures("running")
async def test_a_right_that_was_taken_ends_the_presence(site: Site, ada: Any, bob: Any) -> None:
    document = site.DocumentTopic(pk=7)
    async with connect(ada) as one, connect(bob) as other:
        await one.subscribe(document)
        await other.subscribe(document)
        await one.next("joined", username="bob")
        site.refused.add("bob")
        await refresh(document)
        assert (await other.next("removed"))["topic"] == document.name
        assert (await one.next("left"))["username"] == "bob"
        await eventually_present(document, [("ada", 1)])
        await other.settled()
        async with connect() as guest:
            await guest.subscribe(document)
        assert await other.settled() == []


@pytest.mark.parametrize(("failure", "logged"), [(ZeroDivisionError(), 1), (PermissionError(), 1)])
@pytest.mark.usefixtures("running")
async def test_a_hook_that_fails_hides_the_others(
    site: Site,
    ada: Any,
    failure: Exception,
    logged: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    site.failure = failure
    async with connect(ada) as client:
        assert "members" not in await client.subscribe("document/7")
    assert len([one for one in caplog.records if "may see its presence" in one.msg]) == logged
    caplog.clear()


@pytest.mark.usefixtures("running")
async def test_without_the_database_a_client_cannot_subscribe(site: Site, ada: Any) -> None:
    site.failure = OperationalError("away")
    async with connect(ada) as client:
        with pytest.raises(Refused) as refused:
            await client.subscribe("document/7")
        assert refused.value.code == "unavailable"


@pytest.mark.usefixtures("running")
async def test_a_crowd_is_only_counted(site: Site, settings: Any, ada: Any, bob: Any) -> None:
    settings.REALTIME = {**settings.REALTIME, "PRESENCE_EVENTS_UP_TO": 1}
    async with connect(ada) as one, connect(bob) as other, connect() as guest:
        for client in (one, other):
            await client.subscribe("document/7")
        await eventually_present(site.DocumentTopic(pk=7), [("ada", 1), ("bob", 1)])
        await eventually(lambda: [one for one in other.arrived if one["type"] == "presence"])
        found = await guest.subscribe("document/7")
        assert (found["members"], found["count"]) == ([], 2)
        assert (await guest.command("presence", topic="document/7"))["members"] == []


@pytest.mark.usefixtures("running")
async def test_a_storm_ends_with_the_truth(site: Site, ada: Any, bob: Any) -> None:
    """Many change their minds at once; the rosters are what the table says."""
    document = site.DocumentTopic(pk=7)
    async with connect(ada) as watcher:
        await watcher.subscribe(document)

        async def waver(number: int) -> None:
            async with connect(bob if number % 2 else None) as client:
                for turn in range(6):
                    await client.subscribe(document)
                    if turn % 3 == number % 3:
                        await asyncio.sleep(0.06)  # into the next batch
                    await client.unsubscribe(document)
                if number == 1:
                    await client.subscribe(document)
                    await eventually_present(document, [("ada", 1), ("bob", 1)])
                    await watcher.settled()
                    seen.append(names(await watcher.subscribe(document)))

        seen: list[list[str]] = []
        await asyncio.gather(*map(waver, range(8)))
        await eventually_present(document, [("ada", 1)])
        await watcher.settled()
        assert names(await watcher.subscribe(document)) == ["ada"]
        assert {*seen[0]} >= {"ada", "bob"}


async def test_a_lost_connection_leaves_after_the_grace(site: Site, ada: Any, bob: Any) -> None:
    """A reload is no leave and join."""
    async with clock() as moved, connect(ada) as one, connect(bob) as other:
        await one.subscribe("document/7")
        await other.subscribe("document/7")
        await moved.advance(1)
        await one.settled()
        await other.drop_connection()
        await moved.advance(2)
        await other.resume()
        await moved.advance(5)
        assert await one.settled() == []
        await other.drop_connection()
        await moved.advance(5)
        assert (await one.next("left"))["username"] == "bob"


@pytest.mark.usefixtures("running")
async def test_the_rows_are_those_of_the_connections(site: Site, ada: Any) -> None:
    async with connect(ada) as client:
        await client.subscribe("document/7")
        await eventually_present(site.DocumentTopic(pk=7), [("ada", 1)])
        [row] = [one async for one in Presence.objects.all()]
        assert (row.topic, row.room_id, row.connection_id) == (
            "document/7",
            None,
            client.connection,
        )
        assert str(row) == "ada in document/7"
        assert await Connection.objects.acount() == 1


@pytest.mark.usefixtures("running")
async def test_the_client_of_another_consumer_counts_and_is_told_nothing(
    site: Site, ada: Any, bob: Any
) -> None:
    """Its page knows no events but those of the topic."""
    document = site.DocumentTopic(pk=7)
    async with connect(bob) as one:
        await one.subscribe(document)
        async with page(ada) as other:
            await ask(other, subscribe=document.name)
            assert (await one.next("joined"))["username"] == "ada"
            await eventually_present(document, [("ada", 1), ("bob", 1)])
            async with connect() as guest:
                await guest.subscribe(document)
                await one.next("joined")
            assert await gets_nothing(other)
            await ask(other, unsubscribe=document.name)
            assert (await one.next("left", username="ada"))["topic"] == document.name
            await ask(other, subscribe=document.name)
            await one.next("joined", username="ada")
        await one.next("left", username="ada")
        await eventually_present(document, [("bob", 1)])


async def refresh(topic: Any) -> None:
    await topic.arefresh_rights()


async def eventually_present(topic: Any, expected: list[tuple[str, int]]) -> None:
    """Wait until these users are subscribed, with so many connections."""
    found: list[tuple[str, int]] = []
    for _ in range(500):
        found = [(one.username, one.connections) for one in await topic.apresent()]
        if [one for one in found if not one[0].startswith("Guest")] == expected:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(found)
