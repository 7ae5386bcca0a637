"""The hooks of a site: what they change, refuse and hear, and what happens if they fail."""

import asyncio
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.db import connections, transaction
from django.test import override_settings

from harness.waiting import eventually
from realtime import push
from realtime import testing as kit
from realtime.engine import after
from realtime.errors import CommandError, ErrorCode
from realtime.hooks import Hooks, NewMessage, StoredMessage, hooks
from realtime.models import Message, Occupancy, Room, TopicOccupancy
from realtime.testing import Refused, clock, connect, engine
from realtime.topics import Topic
from realtime.topics.registry import registry
from tests.consumers.conftest import ada, bob, database, private, room, sqlite_url

__all__ = ["ada", "bob", "database", "private", "room", "sqlite_url"]

pytestmark = pytest.mark.usefixtures("room")

PAGE = (Path(__file__).parent.parent / "docs/hooks.md").read_text()
heard: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    heard.clear()


def use(kind: type[Hooks], **more: Any) -> Any:
    """An engine with these hooks."""
    return engine(HOOKS=f"{__name__}.{kind.__name__}", **more)


def in_sync(kind: type[Hooks]) -> Any:
    return override_settings(REALTIME={"HOOKS": f"{__name__}.{kind.__name__}"})


# Before a message is stored.


class Filter(Hooks):
    def before_message(self, message: NewMessage) -> None:
        heard.append(message)
        if "casino" in message.content:
            raise CommandError(ErrorCode.PERMISSION_DENIED, "No advertising here.")
        message.content = message.content.replace("damn", "d***")
        message.data = {"checked": True}


class AsyncFilter(Filter):
    async def before_message(self, message: NewMessage) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().before_message(message)


@pytest.mark.parametrize("kind", [Filter, AsyncFilter])
async def test_a_message_is_changed_or_refused(kind: Any, ada: Any, room: Room) -> None:
    """And stored as it was changed."""
    async with use(kind), connect(ada) as client:
        await client.join(room)
        await client.message(room, "damn it", data={"x": 1})
        told = await client.next("message")
        assert (told["content"], told["data"]) == ("d*** it", {"checked": True})
        with pytest.raises(Refused, match="No advertising"):
            await client.message(room, "casino")
        assert await Message.objects.acount() == 1
        [first, _] = heard
        assert (first.room, first.room_id, first.is_pushed) == ("general", room.pk, False)
        assert (first.user_id, first.username, first.user) == (str(ada.pk), "ada", ada)


@pytest.mark.parametrize("kind", [Filter, AsyncFilter])
async def test_a_pushed_message_is_checked_too(kind: Any, room: Room) -> None:
    """At once, so that the caller gets the error."""
    with in_sync(kind):
        message = await push.room(room).amessage("damn", username="CI")
        assert message is not None
        assert (message.content, message.data) == ("d***", {"checked": True})
        with pytest.raises(CommandError, match="No advertising"):
            await push.room(room).amessage("casino")
        assert heard[0].is_pushed
        assert (heard[0].user, heard[0].user_id) == (None, "site:CI")


def test_inside_a_transaction_it_is_checked_at_the_call(room: Room) -> None:
    with in_sync(Filter), transaction.atomic():
        with pytest.raises(CommandError):
            push.room(room).message("casino")
        push.room(room).message("damn")
        assert len(heard) == 2
    kit.assert_published(room, content="d***")


class Slow(Hooks):
    def before_message(self, message: NewMessage) -> None:
        released.wait(5)
        message.content = "too late"


class AsyncSlow(Hooks):
    async def before_message(self, message: NewMessage) -> None:
        await asyncio.Event().wait()


class Failing(Hooks):
    def before_message(self, message: NewMessage) -> None:
        message.content = "half done"
        raise ZeroDivisionError


class Accepting(Failing):
    accepts_unchecked = True


class Unchanged(Hooks):
    def before_message(self, message: NewMessage) -> None:
        """Nothing."""


released = threading.Event()


@pytest.mark.parametrize("kind", [Slow, AsyncSlow, Failing])
async def test_a_hook_that_fails_refuses_the_message(
    kind: Any, ada: Any, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients send it again; the log says why."""
    released.clear()
    async with use(kind, HOOK_SECONDS=0.05), connect(ada) as client:
        await client.join(room)
        client.send("message", room="general", content="hi", ref=7)
        await asyncio.sleep(0.1)
        released.set()
        error = await client.next("error", ref=7)
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        assert not await Message.objects.aexists()
    assert "before_message of the site failed" in caplog.text


async def test_a_hook_that_fails_may_let_the_message_through(ada: Any, room: Room) -> None:
    """As it was sent."""
    async with use(Accepting), connect(ada) as client:
        await client.join(room)
        await client.message(room, "hi")
        assert (await client.next("message"))["content"] == "hi"


class HalfDone(Hooks):
    accepts_unchecked = True

    def before_message(self, message: NewMessage) -> None:
        assert message.data is not None
        message.data["place"]["name"] = "hidden"
        raise ZeroDivisionError


def test_a_hook_that_fails_has_changed_nothing_also_inside_of_data(room: Room) -> None:
    data = {"place": {"name": "home"}}
    with in_sync(HalfDone):
        push.room(room.slug).message("hi", data=data)
    assert Message.objects.get().data == data == {"place": {"name": "home"}}


async def test_a_message_of_a_client_is_stored_as_it_was_sent_by_a_hook_that_fails(
    ada: Any, room: Room
) -> None:
    async with use(HalfDone), connect(ada) as client:
        await client.join(room)
        await client.message(room, "hi", data={"place": {"name": "home"}})
    assert (await Message.objects.aget()).data == {"place": {"name": "home"}}


def test_a_failing_hook_is_told_to_code_of_the_site(room: Room) -> None:
    with in_sync(Failing), pytest.raises(CommandError) as caught:
        push.room(room).message("hi")
    assert caught.value.code == ErrorCode.UNAVAILABLE
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with in_sync(Accepting):
        assert push.room(room).message("hi").content == "hi"


class Setting(Hooks):
    value: Any = None

    def before_message(self, message: NewMessage) -> None:
        for name, value in type(self).value.items():
            setattr(message, name, value)


@pytest.mark.parametrize(
    "value",
    [
        {"content": None},
        {"content": 7},
        {"content": " "},
        {"content": "\x00"},
        {"content": "\ud800"},
        {"data": [1]},
        {"data": {"x": 2**60}},
    ],
    ids=range(7),
)
async def test_what_a_hook_makes_must_be_a_message(
    value: Any, ada: Any, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setting, "value", value)
    async with use(Setting), connect(ada) as client:
        await client.join(room)
        with pytest.raises(Refused) as caught:
            await client.message(room, "hi")
        assert caught.value.code == "unavailable"
    with in_sync(Setting), pytest.raises(CommandError):
        await push.room(room).amessage("hi")


async def test_a_hook_cannot_make_a_text_too_long(
    ada: Any, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of clients holds for what is stored."""
    monkeypatch.setattr(Setting, "value", {"content": "x" * 5000})
    async with use(Setting), connect(ada) as client:
        await client.join(room)
        with pytest.raises(Refused, match="at most 4000 characters"):
            await client.message(room, "hi")


class Ordered(Hooks):
    async def before_message(self, message: NewMessage) -> None:
        await asyncio.sleep(0.01 if message.content == "first" else 0)


async def test_messages_of_a_client_keep_their_order(ada: Any, bob: Any, room: Room) -> None:
    """Though the first takes longer; another client does not wait for it."""
    async with use(Ordered), connect(ada) as one, connect(bob) as other:
        await one.join(room)
        await other.join(room)
        one.send("message", room="general", content="first", ref="f")
        one.send("message", room="general", content="second", ref="s")
        await other.message(room, "other")
        assert [(await one.next("message"))["content"] for _ in range(3)] == [
            "other",
            "first",
            "second",
        ]


async def test_a_repeated_message_is_checked_and_stored_once(ada: Any, room: Room) -> None:
    async with use(Filter), connect(ada) as client:
        await client.join(room)
        acks = [await client.message(room, "hi", nonce="n") for _ in range(2)]
        assert acks[0]["seq"] == acks[1]["seq"]
        assert len(heard) == 2


# The fields of a message.


class Location(msgspec.Struct):
    latitude: float
    label: str = ""


class Everywhere(Hooks):
    message_data = Location


class Private(Hooks):
    message_data = {"private": Location}


async def test_data_has_the_fields_of_its_struct(ada: Any, room: Room) -> None:
    """Others are left out, and a mistake is named by its path."""
    async with use(Everywhere), connect(ada) as client:
        await client.join(room)
        await client.message(room, "here", data={"latitude": 1.5, "more": True})
        assert (await client.next("message"))["data"] == {"latitude": 1.5, "label": ""}
        await client.message(room, "without")
        with pytest.raises(Refused) as caught:
            await client.message(room, "no", data={"latitude": "north"})
        assert caught.value.reply["path"] == "data.latitude"
        assert caught.value.code == "invalid_message"
    with in_sync(Everywhere), pytest.raises(CommandError) as error:
        await push.room(room).amessage("no", data={})
    assert error.value.path == "data.latitude"


async def test_a_kind_of_room_may_have_its_own_struct(ada: Any, room: Room, private: Room) -> None:
    async with use(Private), connect(ada) as client:
        await client.join(room)
        await client.message(room, "free", data={"x": 1})
    with in_sync(Private):
        assert await push.room(room).amessage("free", data={"x": 1})
        with pytest.raises(CommandError):
            await push.room(private).amessage("no", data={"x": 1})


# After a message is stored.


class Hearing(Hooks):
    def messages_stored(self, messages: Sequence[StoredMessage]) -> None:
        heard.append([(one.room, one.message.content) for one in messages])


class AsyncHearing(Hooks):
    async def messages_stored(self, messages: Sequence[StoredMessage]) -> None:
        heard.append([(one.room, one.message.content) for one in messages])


class Exiting(Hooks):
    """Calls `sys.exit()` in each hook, for the messages that say so."""

    accepts_unchecked = True

    async def before_message(self, message: NewMessage) -> None:
        heard.append("before")
        if message.content == "exit":
            sys.exit(1)

    async def messages_stored(self, messages: Sequence[StoredMessage]) -> None:
        heard.append([one.message.content for one in messages])
        if messages[0].message.content == "exit":
            sys.exit(1)


async def test_a_hook_that_exits_does_not_end_the_server(ada: Any, room: Room) -> None:
    """It has failed, as by any exception, and the next message has its hooks."""
    async with use(Exiting) as running, connect(ada) as client:
        await client.join(room)
        for text in ("exit", "hi"):
            await client.message(room, text)
            await eventually(lambda: running.after.is_idle)
    assert heard == ["before", ["exit"], "before", ["hi"]]


def test_a_hook_that_exits_does_not_end_a_process_that_pushes(room: Room) -> None:
    with in_sync(Exiting):
        push.room("general").message("exit", username="bot")
    assert heard == ["before", ["exit"]]
    assert Message.objects.count() == 1


class FailingToHear(Hooks):
    def messages_stored(self, messages: Sequence[StoredMessage]) -> None:
        heard.append(len(messages))
        raise ZeroDivisionError


def all_heard() -> list[str]:
    return [content for batch in heard for _, content in batch]


@pytest.mark.parametrize("kind", [Hearing, AsyncHearing])
async def test_each_new_message_is_told_once(kind: Any, ada: Any, room: Room) -> None:
    """Of clients and of the site's code; repeats, changes and deletions are not."""
    from realtime import moderation

    async with use(kind), connect(ada) as client:
        await client.join(room)
        client.send("message", room="general", content="a", nonce="1")
        client.send("message", room="general", content="a", nonce="1")
        ack = await client.message(room, "a", nonce="1")
        await push.room(room).amessage("b", username="CI", nonce="2")
        await push.room(room).amessage("b", username="CI", nonce="2")
        await moderation.adelete(ack["id"], by=None)
        await client.settled()
        assert sorted(all_heard()) == ["a", "b"]


@pytest.mark.parametrize("kind", [Hearing, AsyncHearing])
async def test_they_come_in_the_order_of_their_room(kind: Any, ada: Any, room: Room) -> None:
    unlimited = {"MESSAGES_PER_SECOND": 10_000, "MESSAGES_BURST": 10_000}
    async with use(kind, **unlimited), connect(ada) as client:
        await client.join(room)
        for number in range(700):
            client.send("message", room="general", content=str(number))
        await client.message(room, "last")
        await client.settled()
    assert all_heard() == [*map(str, range(700)), "last"]
    assert max(map(len, heard)) <= after.MESSAGES_AT_ONCE


def test_a_process_without_sockets_tells_at_the_commit(room: Room) -> None:
    """And nothing after a rollback."""
    with in_sync(Hearing):
        with transaction.atomic():
            push.room(room).message("a")
            assert heard == []
        assert all_heard() == ["a"]
        with transaction.atomic():
            push.room(room).message("b")
            transaction.set_rollback(True)
        assert all_heard() == ["a"]


def push_and_disconnect(room: Room, text: str) -> None:
    push.room(room).message(text)
    connections.close_all()


async def test_an_async_hook_is_told_by_sync_code(room: Room) -> None:
    with in_sync(AsyncHearing):
        await push.room(room).amessage("a")
        await asyncio.to_thread(push_and_disconnect, room, "b")
    assert all_heard() == ["a", "b"]


async def test_a_hook_that_fails_changes_nothing(
    ada: Any, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one is told all the same."""
    async with use(FailingToHear), connect(ada) as client:
        await client.join(room)
        await client.message(room, "a")
        await client.settled()
        await client.message(room, "b")
        await client.settled()
    with in_sync(FailingToHear):
        assert await push.room(room).amessage("c") is not None
    assert heard == [1, 1, 1]
    assert "messages_stored of the site failed" in caplog.text
    assert await Message.objects.acount() == 3


async def test_an_engine_that_stops_tells_what_waits(ada: Any, room: Room) -> None:
    async with use(AsyncHearing), connect(ada) as client:
        await client.join(room)
        await client.message(room, "a")
    assert all_heard() == ["a"]


async def test_a_hook_that_is_too_slow_loses_messages_and_says_so(
    ada: Any, room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The memory of the process is bounded."""
    monkeypatch.setattr(after, "WAITING_MESSAGES", 0)
    async with use(Hearing), connect(ada) as client:
        await client.join(room)
        await client.message(room, "a")
    assert heard == []
    assert "messages_stored is too slow" in caplog.text


# Occupied and vacated rooms.


class Lobby(Hooks):
    def room_occupied(self, room: str) -> None:
        heard.append(f"+{room}")

    async def room_vacated(self, room: str) -> None:
        heard.append(f"-{room}")


async def test_a_room_is_told_when_its_first_client_comes_and_its_last_one_goes(
    ada: Any, bob: Any, room: Room
) -> None:
    """Not for those in between, and not for a client that comes back soon."""
    async with clock() as moved, use(Lobby):
        async with connect(ada) as one, connect(bob) as other:
            await one.join(room)
            await moved.advance(1)
            assert heard == ["+general"]
            await other.join(room)
            await other.drop_connection()
            await moved.advance(10)
            assert heard == ["+general"]
            await one.drop_connection()
            await moved.advance(1)
            await one.resume()
            await moved.advance(10)
            assert heard == ["+general"]
        await moved.advance(4)
        assert heard == ["+general", "-general"]
        assert not await Occupancy.objects.aexists()


async def test_rooms_are_vacated_with_the_last_process(ada: Any, room: Room) -> None:
    """It tells so before it ends."""
    async with use(Lobby), connect(ada) as client:
        await client.join(room)
        async with asyncio.timeout(30):
            while not heard:
                await asyncio.sleep(0.01)
    assert heard == ["+general", "-general"]


async def test_what_a_killed_process_has_left_is_corrected(ada: Any, room: Room) -> None:
    """By the next pulse of any process."""
    await Occupancy.objects.acreate(room=room)
    async with clock() as moved, use(Lobby), connect(ada):
        await moved.advance(6)
        assert heard == ["-general"]


async def test_without_hooks_nothing_is_written(ada: Any, room: Room) -> None:
    async with clock() as moved, connect(ada) as client:
        await client.join(room)
        await moved.advance(6)
        assert not await Occupancy.objects.aexists()


class Feed(Hooks):
    def topic_occupied(self, topic: str) -> None:
        heard.append(f"+{topic}")

    async def topic_vacated(self, topic: str) -> None:
        heard.append(f"-{topic}")


async def test_a_topic_is_told_when_its_first_subscriber_comes_and_its_last_one_goes(
    ada: Any, bob: Any, room: Room
) -> None:
    """Rooms are not, without a hook for them; nor are topics without presence."""
    with registry.isolated():

        class FeedTopic(Topic):
            path = "feed/<slug:name>"
            presence = True

            def may_subscribe(self) -> bool:
                return True

        class PlainTopic(Topic):
            path = "plain"

            def may_subscribe(self) -> bool:
                return True

        async with clock() as moved, use(Feed):
            async with connect(ada) as one, connect(bob) as other:
                await one.join(room)
                await one.subscribe("plain")
                await one.subscribe("feed/a")
                await moved.advance(1)
                assert heard == ["+feed/a"]
                await other.subscribe("feed/a")
                await one.unsubscribe("feed/a")
                await moved.advance(10)
                assert heard == ["+feed/a"]
                await other.unsubscribe("feed/a")
                await moved.advance(1)
                assert heard == ["+feed/a", "-feed/a"]
                await other.subscribe("feed/b")
                await moved.advance(1)
            await moved.advance(4)
            assert heard == ["+feed/a", "-feed/a", "+feed/b", "-feed/b"]
            assert not await TopicOccupancy.objects.aexists()
            assert not await Occupancy.objects.aexists()


async def test_a_topic_of_a_killed_process_is_vacated(ada: Any, room: Room) -> None:
    """By the next pulse of any process."""
    await TopicOccupancy.objects.acreate(topic="feed/a")
    async with clock() as moved, use(Feed), connect(ada):
        await moved.advance(6)
        assert heard == ["-feed/a"]


# The class.


def test_without_hooks_nothing_is_checked() -> None:
    found = hooks()
    assert type(found) is Hooks
    assert not found.checks_messages
    assert not found.hears_messages


def test_only_what_is_overridden_is_called() -> None:
    assert Filter.is_overridden == {"before_message"}
    assert AsyncFilter.is_overridden == {"before_message"}
    assert Hearing.is_overridden == {"messages_stored"}
    assert Everywhere.is_overridden == frozenset()
    assert Everywhere().checks_messages


@pytest.mark.parametrize("name", ["nowhere.Hooks", "realtime.policy.Policy"])
def test_a_check_names_a_wrong_class(name: str) -> None:
    with override_settings(REALTIME={"HOOKS": name}):
        errors = [one for one in run_checks() if one.id == "realtime.E006"]
    assert len(errors) == 1
    assert "HOOKS" in errors[0].msg


# The page.


def classes_of_the_page() -> dict[str, Any]:
    space: dict[str, Any] = {"Message": Message}
    space["order"] = Group.objects.create(name="seven")
    for snippet in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(snippet, space)
    return space


async def test_the_examples_do_what_the_page_says(
    ada: Any, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = await sync_to_async(classes_of_the_page)()

    class Service:
        async def check(self, text: str) -> Any:
            return SimpleNamespace(is_allowed="bad" not in text, reason="Not like this.")

    space["moderation_service"] = Service()
    space["index_message"] = SimpleNamespace(enqueue=lambda *args: heard.append(args))
    for name in ("ChatHooks", "ModeratedHooks", "MapHooks", "SearchHooks"):
        monkeypatch.setitem(globals(), name, space[name])
    with in_sync(space["ChatHooks"]):
        assert (await push.room(room).amessage("damn")).content == "d***"
        with pytest.raises(CommandError, match="No advertising"):
            await push.room(room).amessage("casino")
    with in_sync(space["ModeratedHooks"]), pytest.raises(CommandError, match="Not like this"):
        await push.room(room).amessage("bad")
    with in_sync(space["MapHooks"]), pytest.raises(CommandError) as caught:
        await push.room(room).amessage("here", data={"latitude": "x", "longitude": 1})
    assert caught.value.path == "data.latitude"
    with in_sync(space["SearchHooks"]):
        message = await push.room(room).amessage("find me")
    assert heard == [("general", message.pk)]
    rows = await sync_to_async(list)(space["catch_up"](room, 1))
    assert [row.content for row in rows] == ["find me"]
    identity, policy = SimpleNamespace(user_pk=7), space["OrderPolicy"]()
    bound = SimpleNamespace(content_object=SimpleNamespace(customer_id=7), kind="private")
    assert policy.may_see(identity, bound, None)
    bound.content_object.customer_id = 8
    assert not policy.may_see(identity, bound, None)
    assert (space["room"].slug, space["room"].kind) == (f"group-{space['order'].pk}", "private")
    assert space["LobbyHooks"].is_overridden == {"room_occupied", "room_vacated"}
