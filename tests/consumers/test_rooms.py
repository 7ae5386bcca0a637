"""The commands of rooms: what each does, what each refuses, and who hears of it."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, OperationalError
from pytest_django.fixtures import Settings

from harness.client.encoding import ENCODINGS, Object
from harness.client.in_process import Socket
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import push, testing
from realtime.consumers.chat import joining as module
from realtime.engine.delivery import withholding
from realtime.engine.delivery.withholding import Withheld
from realtime.engine.engine import Engine
from realtime.models import Membership, Message, Room
from realtime.policy import Policy
from realtime.store import presence
from realtime.store.logs import LogMark
from realtime.store.messages import history
from realtime.store.messages.drafts import Draft
from realtime.store.outbox.room_numbering import append as append_drafts
from realtime.store.rooms import access
from realtime.store.rooms.access import AccessRequest, AccessResult
from realtime.testing import Client, connect
from tests.engine import log


def contents(item: Object) -> list[str]:
    return [message["content"] for message in item["messages"]]


@sync_to_async
def append(room: Room, *contents: str) -> None:
    log.append(room.pk, *contents)


async def say(socket: Client, *contents: str) -> None:
    for content in contents:
        reply = await socket.ask("message", room="general", content=content)
        assert reply["type"] == "ack", reply


# Joining.


async def test_a_client_is_told_if_joining_again_ends_its_membership_of_the_room(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rights have changed during each attempt; it would wait for events that never come."""
    attach = module.attach

    async def changed(*args: Any, **options: Any) -> Any:
        caught = await attach(*args, **options)
        [connection] = engine.connections.values()
        connection.events.on_rights_changed()
        return caught

    async with connect() as socket:
        await socket.join("general")
        with monkeypatch.context() as patch:
            patch.setattr(module, "attach", changed)
            assert (await socket.ask("join", room="general"))["code"] == "unavailable"
        removed = [one for one in socket.arrived if one["type"] == "removed"]
        assert [(one["room"], one["code"]) for one in removed] == [("general", "unavailable")]
        await socket.join("general")
        await say(socket, "a")
        assert (await socket.next("message"))["content"] == "a"


async def test_a_join_brings_the_state_of_the_room(engine: Engine, room: Room) -> None:
    """Messages, position, epoch, who is there and what one is."""
    await append(room, "a", "b")
    async with connect() as socket:
        told = await socket.join("general")
        assert contents(told) == ["a", "b"]
        assert (told["through"], told["has_more"], told["recovered"]) == (2, False, False)
        assert (told["role"], told["count"]) == ("guest", 1)
        assert told["members"] == [
            {"user_id": socket.welcome["user_id"], "username": socket.welcome["username"]}
        ]
        assert len(told["epoch"]) == 8


async def test_a_join_may_want_less_history(engine: Engine, room: Room) -> None:
    """As much as asked for, and whether there is more."""
    await append(room, *"abc")
    async with connect() as socket:
        told = await socket.join("general", history=2)
        assert (contents(told), told["has_more"]) == (["b", "c"], True)
        told = await socket.join("general", history=0)
        assert (contents(told), told["has_more"], told["through"]) == ([], True, 3)


async def test_a_resume_brings_only_what_was_missed(engine: Engine, room: Room) -> None:
    """And says that nothing is missing."""
    await append(room, *"abc")
    async with connect() as socket:
        epoch = (await socket.join("general"))["epoch"]
    async with connect() as socket:
        told = await socket.join("general", since={"seq": 1, "epoch": epoch})
        assert (contents(told), told["recovered"], told["through"]) == (["b", "c"], True, 3)
        told = await socket.join("general", since={"seq": 1, "epoch": "other"})
        assert (contents(told), told["recovered"]) == (["a", "b", "c"], False)


async def test_joining_a_joined_room_refreshes_it_and_tells_nobody(
    engine: Engine, room: Room
) -> None:
    """And every later event still comes once."""
    async with connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        await one.next("joined", user_id=other.welcome["user_id"])
        await other.join("general")
        await say(one, "a")
        await other.next("message", content="a")
        assert [item["type"] for item in await one.settled()].count("joined") == 0
        assert [item["content"] for item in other.arrived if item["type"] == "message"] == ["a"]


async def test_a_room_that_does_not_exist_is_unknown(engine: Engine) -> None:
    """The error names the room."""
    async with connect() as socket:
        error = await socket.ask("join", room="nowhere")
        assert (error["code"], error["room"]) == ("unknown_room", "nowhere")


async def test_a_private_room_does_not_exist_for_others(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    """The same answer as for no room at all, word for word; a member gets in."""
    await sync_to_async(Membership.objects.create)(room=private, user=ada, role="owner")
    async with connect(ada) as member, connect(bob) as other, connect() as guest:
        assert (await member.join("secret"))["role"] == "owner"
        for socket in (other, guest):
            hidden = await socket.ask("join", room="secret")
            nothing = await socket.ask("join", room="nowhere")
            for error in (hidden, nothing):
                error.pop("ref")
                error.pop("room")
            assert hidden == nothing
            for kind in ("message", "signal", "typing", "history", "presence", "read", "leave"):
                fields: Object = {"content": "x", "data": {}, "seq": 1}
                assert (await socket.ask(kind, room="secret", **fields))["code"] == "not_joined"


async def test_a_user_becomes_a_member_and_a_guest_does_not(
    engine: Engine, room: Room, ada: Any
) -> None:
    """By entering a public room."""
    async with connect(ada) as user, connect() as guest:
        assert (await user.join("general"))["role"] == "member"
        assert (await guest.join("general"))["role"] == "guest"
    users = await sync_to_async(list)(Membership.objects.values_list("user__username", flat=True))
    assert users == ["ada"]


async def test_many_rooms_can_be_joined_at_once(engine: Engine, room: Room) -> None:
    """One reply each, in order; one that fails stops no other."""
    await sync_to_async(Room.objects.create)(slug="other")
    async with connect() as socket:
        rooms = [{"room": "general"}, {"room": "nowhere"}, {"room": "other", "history": 1}]
        socket.send("joins", rooms=rooms, ref=7)
        items = [await socket.next() for _ in range(3)]
        assert [(item["type"], item["room"], item["ref"]) for item in items] == [
            ("joined", "general", 7),
            ("error", "nowhere", 7),
            ("joined", "other", 7),
        ]


async def test_the_number_of_rooms_is_bounded(
    engine: Engine, room: Room, settings: Settings
) -> None:
    """A joined one may still be refreshed, and leaving makes room."""
    settings.REALTIME = {**settings.REALTIME, "ROOMS_PER_CONNECTION": 1}
    await sync_to_async(Room.objects.create)(slug="other")
    async with connect() as socket:
        await socket.join("general")
        assert (await socket.ask("join", room="other"))["code"] == "limit_exceeded"
        await socket.join("general")
        await socket.ask("leave", room="general")
        await socket.join("other")


# Leaving.


async def test_who_has_left_hears_nothing_more(engine: Engine, room: Room) -> None:
    """The others hear that they left; the room is no longer theirs to use."""
    async with connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        await one.next("joined", user_id=other.welcome["user_id"])
        await other.settled()
        reply = await other.ask("leave", room="general")
        assert (reply["type"], reply["user_id"]) == ("left", other.welcome["user_id"])
        await one.next("left", user_id=other.welcome["user_id"])
        await say(one, "a")
        assert await other.settled() == []
        assert (await other.ask("leave", room="general"))["code"] == "not_joined"


async def test_who_disconnects_is_told_to_have_left_after_the_grace(
    engine: Engine, room: Room, settings: Settings
) -> None:
    """Not at once: a reload would flap."""
    settings.REALTIME = {**settings.REALTIME, "PRESENCE_GRACE_SECONDS": 0.01}
    async with connect() as one:
        await one.join("general")
        async with connect() as other:
            await other.join("general")
            await one.next("joined", user_id=other.welcome["user_id"])
        await one.next("left", user_id=other.welcome["user_id"])


# Messages.


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_message_is_acknowledged_and_comes_to_everybody(
    engine: Engine, room: Room, encoding: str
) -> None:
    """The sender included, with all that was said, stored before it is told."""
    async with connect(encoding=encoding) as one, connect(encoding=encoding) as other:
        await one.join("general")
        await other.join("general")
        data = {"mood": ["😀", 1, 2.5, None, True]}
        ack = await one.ask("message", room="general", content="hi", nonce="n", data=data)
        assert (ack["type"], ack["seq"], ack["nonce"]) == ("ack", 1, "n")
        row = await sync_to_async(Message.objects.get)()
        assert (row.pk, row.seq, row.content, row.data) == (ack["id"], 1, "hi", data)
        for socket in (one, other):
            [event] = [await socket.next("message") for _ in range(1)]
            assert (event["seq"], event["id"]) == (1, ack["id"])
            assert (event["content"], event["data"], event["nonce"]) == ("hi", data, "n")
            assert event["user_id"] == one.welcome["user_id"]
            assert event["username"] == one.welcome["username"]
            assert event["created_at"] == ack["created_at"]


async def test_a_message_without_ref_and_nonce_is_not_acknowledged(
    engine: Engine, room: Room
) -> None:
    """The event is answer enough; no made nonce goes out."""
    async with connect() as socket:
        await socket.join("general")
        socket.send("message", room="general", content="hi")
        event = await socket.next("message")
        assert "nonce" not in event
        assert [item["type"] for item in await socket.settled()].count("ack") == 0


async def test_the_same_nonce_is_one_message(engine: Engine, room: Room) -> None:
    """Every repeat is answered with the first one's ack; another user's nonce is another."""
    async with connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        acks = [
            await one.ask("message", room="general", content=content, nonce="n")
            for content in ("first", "again")
        ]
        assert acks[0]["id"] == acks[1]["id"]
        assert (await other.ask("message", room="general", content="x", nonce="n"))["seq"] == 2
    assert await sync_to_async(Message.objects.count)() == 2


async def test_many_messages_may_be_on_their_way(engine: Engine, room: Room) -> None:
    """One client pipelines; acks and events come in order, also beyond the bound in flight."""
    async with connect() as socket:
        await socket.join("general")
        for number in range(150):
            socket.send("message", room="general", content=str(number), ref=number)
        acks = [await socket.next("ack") for _ in range(150)]
        assert [ack["ref"] for ack in acks] == list(range(150))
        assert [ack["seq"] for ack in acks] == list(range(1, 151))
        told = [item["content"] for item in [await socket.next("message") for _ in range(150)]]
        assert told == [str(number) for number in range(150)]


async def test_messages_in_flight_are_bounded(
    engine: Engine, room: Room, settings: Settings
) -> None:
    """The next frame is only read when one has landed."""
    settings.REALTIME = {**settings.REALTIME, "MESSAGES_IN_FLIGHT": 3}
    gate, write = asyncio.Event(), engine.db.write
    waiting: list[int] = []

    async def slow(function: Any, *args: Any) -> Any:
        waiting.append(len(args[0]))
        await gate.wait()
        return await write(function, *args)

    async with connect() as socket:
        await socket.join("general")
        engine.writer._db.write = slow  # type: ignore[method-assign,assignment]
        for number in range(10):
            socket.send("message", room="general", content=str(number), ref=number)
        await eventually(lambda: waiting)
        for _ in range(50):
            await asyncio.sleep(0)
        assert engine.writer.waiting == 3
        gate.set()
        assert [(await socket.next("ack"))["ref"] for _ in range(10)] == list(range(10))


BAD = {
    "empty": ({"content": ""}, "invalid_message"),
    "only spaces": ({"content": " \n\u3000"}, "invalid_message"),
    "too long": ({"content": "x" * 4001}, "too_large"),
    "a made nonce": ({"content": "hi", "nonce": "~1"}, "invalid_message"),
    "an empty nonce": ({"content": "hi", "nonce": ""}, "invalid_message"),
    "a long nonce": ({"content": "hi", "nonce": "x" * 65}, "invalid_message"),
    "data that is a list": ({"content": "hi", "data": []}, "invalid_message"),
    "a huge integer": ({"content": "hi", "data": {"n": 2**53}}, "invalid_message"),
    "large data": ({"content": "hi", "data": {"n": "x" * 8192}}, "too_large"),
    "NUL": ({"content": "a\x00b"}, "invalid_message"),
    "no room": ({"content": "hi", "room": "other"}, "not_joined"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_message_is_refused_and_not_stored(
    engine: Engine, room: Room, name: str
) -> None:
    """A typed error for each; the connection stays in the room."""
    fields, code = BAD[name]
    async with connect() as socket:
        await socket.join("general")
        assert (await socket.ask("message", **{"room": "general"} | fields))["code"] == code
        assert await sync_to_async(Message.objects.count)() == 0
        await say(socket, "fine")


async def test_data_may_stand_without_text(engine: Engine, room: Room) -> None:
    """A picture needs no words."""
    async with connect() as socket:
        await socket.join("general")
        reply = await socket.ask("message", room="general", content="", data={"image": 7})
        assert reply["type"] == "ack"


async def test_a_room_that_was_deleted_takes_no_messages(engine: Engine, room: Room) -> None:
    """The sender hears that there is no such room, and stays connected."""
    async with connect() as socket:
        await socket.join("general")
        await sync_to_async(room.delete)()
        assert (await socket.ask("message", room="general", content="hi"))["code"] == "unknown_room"
        assert (await socket.ask("ping"))["type"] == "pong"


# Rights.


async def test_a_revoked_member_may_do_nothing_more(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    """Told at once, by the change itself: also who is silent hears nothing more."""
    for user in (ada, bob):
        await sync_to_async(Membership.objects.create)(room=private, user=user)
    async with connect(ada) as stays, connect(bob) as goes:
        await stays.join("secret")
        await goes.join("secret")
        await sync_to_async(lambda: Membership.objects.get(user=bob).delete())()
        assert (await goes.next("removed"))["code"] == "unknown_room"
        reply = await stays.ask("message", room="secret", content="among us")
        assert reply["type"] == "ack"
        assert [item["type"] for item in await goes.settled()].count("message") == 0
        assert (await goes.ask("message", room="secret", content="hi"))["code"] == "not_joined"
        assert (await goes.ask("join", room="secret"))["code"] == "unknown_room"


@pytest.mark.parametrize("stays", [True, False])
async def test_a_member_gets_nothing_while_a_policy_takes_long(
    room: Room, settings: Settings, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """It may be that its right has ended. One that may stay gets everything in the end."""
    monkeypatch.setattr(withholding, "WITHHOLD_SECONDS", 0)
    async with testing.engine(
        DB_THREADS=2, GUESTS=True, POLICY=f"{__name__}.SlowPolicy", **UNLIMITED
    ) as engine:
        SlowPolicy.gate.set()
        SlowPolicy.may = True
        async with connect() as socket:
            await socket.join("general")
            SlowPolicy.gate.clear()
            SlowPolicy.may = stays
            await sync_to_async(history.change_rights)([room.pk])
            lane = engine.hub.rooms[0].lane(next(iter(engine.connections.values())).codec)
            await eventually(lambda: isinstance(next(iter(lane.outboxes.values())), Withheld))
            for text in ("a", "b"):
                await sync_to_async(push.room("general").message)(text)
            await eventually(lambda: lane.position == 2)
            await asyncio.sleep(0)
            assert [one for one in socket.arrived if one["type"] == "message"] == []
            SlowPolicy.gate.set()
            if stays:
                found = [(await socket.next("message"))["content"] for _ in range(2)]
                assert found == ["a", "b"]
            else:
                await socket.next("removed")
                assert not [one for one in await socket.settled() if one["type"] == "message"]


class SlowPolicy(Policy):
    """Takes as long as a test wants."""

    gate = threading.Event()
    may = True

    def may_see(self, *args: Any) -> bool:
        self.gate.wait(10)
        return self.may


async def test_a_member_leaves_if_a_policy_is_broken(
    room: Room, settings: Settings, engine: Engine
) -> None:
    """It would get nothing, and would not know why."""
    async with connect() as socket:
        await socket.join("general")
        settings.REALTIME = {**settings.REALTIME, "POLICY": f"{__name__}.BrokenPolicy"}
        await sync_to_async(history.change_rights)([room.pk])
        assert (await socket.next("removed"))["code"] == "unavailable"


class BrokenPolicy(Policy):
    """Fails."""

    def may_see(self, *args: Any) -> bool:
        raise ZeroDivisionError


async def test_a_policy_decides_command_by_command(
    engine: Engine, room: Room, settings: Settings
) -> None:
    """Who may not post may still read, and hears why."""
    settings.REALTIME = {**settings.REALTIME, "POLICY": "tests.consumers.test_rooms.ReadOnly"}
    await append(room, "a")
    async with connect() as socket:
        told = await socket.join("general")
        assert (contents(told), told["has_more"]) == ([], False)
        fields: Object = {"room": "general", "content": "hi", "data": {}}
        for kind in ("message", "signal", "typing", "history"):
            assert (await socket.ask(kind, **fields))["code"] == "permission_denied"
        assert (await socket.ask("presence", room="general"))["type"] == "presence"


class ReadOnly(Policy):
    """May enter, and nothing else."""

    def may_see(self, *args: Any) -> bool:
        return True

    may_join = may_see

    def may_post(self, *args: Any) -> bool:
        return False

    may_read_history = may_signal = may_post


# History.


async def test_history_pages_back_to_the_beginning(engine: Engine, room: Room) -> None:
    """Ascending pages, without a hole and without an overlap."""
    await append(room, *[str(number) for number in range(25)])
    async with connect() as socket:
        await socket.join("general", history=0)
        found: list[str] = []
        before, has_more = None, True
        while has_more:
            fields = {} if before is None else {"before": before}
            page = await socket.ask("history", room="general", limit=10, **fields)
            found = contents(page) + found
            before, has_more = page["messages"][0]["seq"], page["has_more"]
        assert found == [str(number) for number in range(25)]


async def test_history_after_a_position_brings_what_changed(engine: Engine, room: Room) -> None:
    """Page by page, each with the position it reaches."""
    await append(room, *"abcde")
    async with connect() as socket:
        epoch = (await socket.join("general"))["epoch"]
        page = await socket.ask("history", room="general", after=1, limit=2)
        assert (contents(page), page["through"], page["has_more"]) == (["b", "c"], 3, True)
        page = await socket.ask("history", room="general", after=3, limit=10)
        assert (contents(page), page["through"], page["has_more"]) == (["d", "e"], 5, False)
        assert page["epoch"] == epoch
        page = await socket.ask("history", room="general", after=5)
        assert (contents(page), page["through"]) == ([], 5)


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_no_page_is_larger_than_a_frame_may_be(
    engine: Engine, room: Room, encoding: str
) -> None:
    """256 KiB at most, and paging goes on where it stopped, in both directions."""
    texts = [f"{number}" + "😀" * 3990 for number in range(40)]
    await append(room, *texts)
    async with Socket(encoding=encoding) as socket:  # it keeps frames
        told = await socket.join("general", history=100)
        assert told["has_more"] is True
        assert contents(told) == texts[-len(told["messages"]) :]
        after, found = 0, list[str]()
        while after < 40:
            page = await socket.ask("history", room="general", after=after, limit=100)
            assert page["has_more"] is (page["through"] < 40)
            found += contents(page)
            after = page["through"]
        assert found == texts
        before, found = 41, []
        while len(found) < 40:
            page = await socket.ask("history", room="general", before=before, limit=100)
            found = contents(page) + found
            before = page["messages"][0]["seq"]
            assert page["has_more"] is (before > 1)
        assert found == texts
        sizes = [
            len(frame if isinstance(frame, bytes) else frame.encode()) for frame in socket.frames
        ]
        assert max(sizes) <= 256 * 1024


async def test_history_that_was_purged_cannot_be_continued(engine: Engine, room: Room) -> None:
    """The client joins again; paging back simply ends."""
    await append(room, *"abcde")
    await sync_to_async(log.purge)(room.pk, 3)
    async with connect() as socket:
        await socket.join("general")
        page = await socket.ask("history", room="general", before=6)
        assert (contents(page), page["has_more"]) == (["d", "e"], False)
        told = await socket.ask("history", room="general", after=1)
        assert (told["type"], told["seq"]) == ("resync", 5)
        assert (await socket.ask("message", room="general", content="hi"))["code"] == "not_joined"
        assert contents(await socket.join("general")) == ["d", "e"]


# What is not stored.


@pytest.mark.parametrize("kind", ["typing", "signal"])
async def test_the_others_hear_what_is_not_stored(engine: Engine, room: Room, kind: str) -> None:
    """Not the one who says it, and nobody outside of the room."""
    async with connect() as one, connect() as other, connect() as outside:
        await one.join("general")
        await other.join("general")
        fields = {"data": {"x": 1}} if kind == "signal" else {}
        one.send(kind, room="general", **fields)
        told = await other.next(kind)
        assert (told["room"], told["user_id"]) == ("general", one.welcome["user_id"])
        assert told.get("data") == fields.get("data")
        assert [item["type"] for item in await one.settled()].count(kind) == 0
        assert await outside.settled() == []
    assert await sync_to_async(Message.objects.count)() == 0


async def test_presence_counts_users_and_their_connections(
    engine: Engine, room: Room, ada: Any
) -> None:
    """Two tabs are one user; a guest is another."""
    async with connect(ada) as one, connect(ada) as two, connect() as guest:
        for socket in (one, two, guest):
            await socket.join("general")
        async with asyncio.timeout(30):
            while True:
                told = await one.ask("presence", room="general")
                members = {item["username"]: item["connections"] for item in told["members"]}
                if members == {"ada": 2, guest.welcome["username"]: 1}:
                    break
        assert told["count"] == 2


async def test_a_read_mark_moves_forward_only(engine: Engine, room: Room, ada: Any) -> None:
    """Never back, never beyond the end of the log; a guest has none, and hears no error."""
    await append(room, *"abc")
    async with connect(ada) as socket, connect() as guest:
        await socket.join("general")
        await guest.join("general")
        for seq, expected in ((2, 2), (1, 2), (9, 2), (3, 3)):
            socket.send("read", room="general", seq=seq)
            await socket.ask("ping")
            mark = await sync_to_async(Membership.objects.get)(user=ada)
            assert mark.read_seq == expected
        guest.send("read", room="general", seq=1)
        assert "error" not in [item["type"] for item in await guest.settled()]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("message", {"content": "hi"}),
        ("history", {}),
        ("typing", {}),
        ("signal", {"data": {}}),
        ("presence", {}),
        ("read", {"seq": 1}),
        ("leave", {}),
    ],
)
async def test_outside_of_a_room_nothing_can_be_done_in_it(
    engine: Engine, room: Room, kind: str, fields: Object
) -> None:
    """A public one neither: join first."""
    async with connect() as socket:
        assert (await socket.ask(kind, room="general", **fields))["code"] == "not_joined"


async def test_a_database_that_fails_is_unavailable_for_now(engine: Engine, room: Room) -> None:
    """The client may try again; the connection stays."""

    async def away(*args: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    async with connect() as socket:
        await socket.join("general")
        read = engine.db.read
        engine.db.read = away  # type: ignore[method-assign,assignment]
        error = await socket.ask("history", room="general")
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        assert "unexpectedly" not in error["message"]
        engine.db.read = read  # type: ignore[method-assign]
        assert (await socket.ask("history", room="general"))["type"] == "history"


async def test_an_earlier_position_is_a_gap_a_client_can_fill(engine: Engine, room: Room) -> None:
    """A message stored by other code is told with the next one, in order."""
    async with connect() as socket:
        await socket.join("general")
        draft = Draft(room_id=room.pk, content="untold", sender="7", username="ada")
        await sync_to_async(append_drafts)([draft])
        await say(socket, "told")
        told = [item["content"] for item in [await socket.next("message") for _ in range(2)]]
        assert told == ["untold", "told"]


async def present(engine: Engine, room: Room, number: int) -> None:
    """Wait until so many users are in a room."""
    async with asyncio.timeout(30):
        while (await engine.db.read(presence.members, room.pk, 9))[1] != number:
            await asyncio.sleep(0.01)


async def test_who_is_sent_out_to_join_again_is_not_present_meanwhile(
    engine: Engine, room: Room, ada: Any
) -> None:
    """A restored log ends every subscription to its room, and with it the presence."""
    async with connect(ada) as socket:
        await socket.join("general")
        await present(engine, room, 1)
        known = await engine.db.read(history.mark, room.pk)
        await engine.db.write(history.renew_epoch, room.pk, known.epoch)
        topic = engine.hub.room(room.pk)
        assert topic is not None
        await engine.hub.follower.catch_up(topic)
        assert (await socket.next("resync"))["epoch"] == topic.position.epoch
        await present(engine, room, 0)
        assert (await socket.join("general"))["epoch"] == topic.position.epoch


# What changes while somebody enters.


async def test_rights_that_are_taken_while_somebody_enters_keep_them_out(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked before, attached after: nothing of the room may be told, then or later."""
    entering, going_on = asyncio.Event(), asyncio.Event()
    real = module.attach

    async def attach(*args: Any, **kwargs: Any) -> Any:
        entering.set()
        await going_on.wait()
        return await real(*args, **kwargs)

    def revoke() -> dict[str, LogMark]:
        Room.objects.filter(pk=room.pk).update(kind=Room.Kind.PRIVATE)
        history.change_rights([room.pk])
        return {history.room_key(room.pk): history.mark(room.pk)}

    async with connect() as watcher, connect() as late:
        await watcher.join("general")
        monkeypatch.setattr(module, "attach", attach)
        late.send("join", room="general", ref="j")
        await entering.wait()
        engine.hub.recheck(await sync_to_async(revoke)())
        going_on.set()
        assert (await late.next("error", ref="j"))["code"] == "unknown_room"
        await push.room("general").amessage("secret")
        assert [item["type"] for item in await late.settled()] == []
        topic = engine.hub.room(room.pk)
        assert topic is not None
        assert late.welcome["connection"] not in topic.members


async def test_a_row_that_was_deleted_meanwhile_is_unavailable_for_now(
    engine: Engine, room: Room, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an unexpected error: the client tries again, and learns then what is gone."""

    def gone(*args: Any) -> Any:
        raise IntegrityError("violates foreign key constraint")

    def none_found(asked: Iterable[AccessRequest]) -> dict[AccessRequest, AccessResult]:
        return {ask: IntegrityError("violates foreign key constraint") for ask in asked}

    async with connect(ada) as socket:
        await socket.join("general")
        monkeypatch.setattr(access, "mark_read", gone)
        assert (await socket.ask("read", room="general", seq=1))["code"] == "unavailable"
        monkeypatch.setattr(access, "enter_all", none_found)
        assert (await socket.ask("join", room="general"))["code"] == "unavailable"
        socket.send("joins", rooms=[{"room": "general"}, {"room": "two"}], ref="j")
        told = [item for item in await socket.settled() if item.get("ref") == "j"]
        assert [(item["room"], item["code"]) for item in told] == [
            ("general", "unavailable"),
            ("two", "unavailable"),
        ]


async def test_each_room_of_many_is_answered_also_where_the_database_fails(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the room, so that a client knows which to ask for again."""
    real = access.enter_all

    def enter_all(asked: Iterable[AccessRequest]) -> dict[AccessRequest, AccessResult]:
        if any(ask.slug == "two" for ask in asked):
            raise OperationalError("no answer within 5 s")
        return real(asked)

    monkeypatch.setattr(access, "enter_all", enter_all)
    async with connect() as socket:
        targets = [{"room": slug} for slug in ("general", "two", "three")]
        socket.send("joins", rooms=targets, ref="j")
        told = [item for item in await socket.settled() if item.get("ref") == "j"]
        assert [(item["room"], item.get("code")) for item in told] == [
            ("general", None),
            ("two", "unavailable"),
            ("three", "unknown_room"),
        ]
