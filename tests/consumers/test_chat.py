"""Running a room over the wire: what moderators do reaches open sockets at once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from harness.client.encoding import Object
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import moderation, push, testing
from realtime.engine.bus.notes import Revalidate
from realtime.engine.engine import Engine
from realtime.models import Connection, Log, Membership, Message, Report, Room, Sanction
from realtime.store.rooms import access
from realtime.testing import Client, connect
from realtime.wire.errors import Disconnect
from realtime.wire.events import timestamp


@sync_to_async
def make(room: Room, user: Any, role: str = "member") -> None:
    Membership.objects.create(room=room, user=user, role=role)


@pytest.fixture
def owner(room: Room, ada: Any) -> Any:
    Membership.objects.create(room=room, user=ada, role="owner")
    return ada


async def say(socket: Client, content: str, room: str = "general") -> Object:
    reply = await socket.ask("message", room=room, content=content, nonce=content)
    assert reply["type"] == "ack", reply
    return reply


async def connected(number: int) -> None:
    """Wait until so many connections stand in the tables."""
    async with asyncio.timeout(30):
        while await sync_to_async(Connection.objects.count)() != number:
            pass


def remove_untold(room: Room) -> None:
    """As somebody does in SQL."""
    for rows in (Membership.objects.filter(room=room), Log.objects.filter(room=room)):
        rows._raw_delete(rows.db)
    rooms = Room.objects.filter(pk=room.pk)
    rooms._raw_delete(rooms.db)


def now(seconds: int) -> str:
    return timestamp(timezone.now() + timedelta(seconds=seconds))


def heard(items: list[Object]) -> list[str]:
    return [item["content"] for item in items if item["type"] == "message"]


# Putting out and keeping quiet.


@pytest.mark.parametrize("kind", ["kick", "ban"])
async def test_who_is_put_out_hears_nothing_more(
    engine: Engine, room: Room, owner: Any, kind: str
) -> None:
    """At once, with the reason; and cannot come back."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        await guest.join("general")
        done = await mod.ask(kind, room="general", user_id=guest.user_id, reason="spam")
        assert done["type"] == "done"
        told = await guest.next("removed", room="general")
        assert told["code"] == "permission_denied"
        assert "spam" in told["message"]
        await say(mod, "among us")
        assert heard(await guest.settled()) == []
        assert (await guest.ask("message", room="general", content="a"))["code"] == "not_joined"
        assert (await guest.ask("history", room="general"))["code"] == "not_joined"
        assert (await guest.ask("join", room="general"))["code"] == "permission_denied"


async def test_a_kick_is_over_after_a_minute(engine: Engine, room: Room, owner: Any) -> None:
    """A user loses the place and its role with it."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        await mod.ask("kick", room="general", user_id=guest.user_id)
        assert (await guest.ask("join", room="general"))["code"] == "permission_denied"
        await sync_to_async(Sanction.objects.update)(ends_at=timezone.now())
        await guest.join("general")


async def test_a_ban_can_be_lifted(engine: Engine, room: Room, owner: Any) -> None:
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        await mod.ask("ban", room="general", user_id=guest.user_id)
        assert (await guest.ask("join", room="general"))["code"] == "permission_denied"
        await mod.ask("unban", room="general", user_id=guest.user_id)
        await guest.join("general")


async def test_a_ban_may_be_of_the_address_as_well(engine: Engine, room: Room, owner: Any) -> None:
    """A guest who takes another name is the same visitor."""
    here = {"client": ["8.8.4.4", 1]}
    async with connect(owner, **here) as mod, connect(**here) as guest:
        await mod.join("general")
        await guest.join("general")
        await connected(2)
        await mod.ask("ban", room="general", user_id=guest.user_id, address=True)
        async with connect(**here) as again, connect(client=["8.8.8.8", 1]) as another:
            assert (await again.ask("join", room="general"))["code"] == "permission_denied"
            await another.join("general")
        await say(mod, "moderators are spared")


async def test_who_is_muted_is_told_and_may_listen(engine: Engine, room: Room, owner: Any) -> None:
    """And is told when it is over."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        joined = await guest.join("general")
        assert (joined["role"], joined["rights"]) == ("guest", ["post", "signal"])
        await mod.ask("mute", room="general", user_id=guest.user_id, reason="loud")
        told = await guest.next("room")
        assert (told["rights"], "loud" in told["muted"]) == ([], True)
        for kind, more in (("message", {"content": "a"}), ("signal", {"data": {}}), ("typing", {})):
            reply = await guest.ask(kind, room="general", **more)
            assert (reply["code"], "loud" in reply["message"]) == ("permission_denied", True)
        await say(mod, "can you hear me?")
        await guest.next("message", content="can you hear me?")
        await mod.ask("unmute", room="general", user_id=guest.user_id)
        assert (await guest.next("room"))["rights"] == ["post", "signal"]
        await say(guest, "yes")


async def test_what_concerns_one_is_no_question_for_all(
    engine: Engine, room: Room, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one user who comes and goes for good would keep a large room busy."""
    asked: list[str] = []
    real = access.all_rights

    def all_rights(asks: Any) -> Any:
        found = list(asks)
        asked.extend(ask.identity.user_id for ask in found)
        return real(found)

    monkeypatch.setattr(access, "all_rights", all_rights)
    async with connect(owner) as mod, connect() as guest, connect() as other:
        for socket in (mod, guest, other):
            await socket.join("general")
        await mod.ask("mute", room="general", user_id=guest.user_id)
        await guest.next("room")
        await say(other, "a")
        assert asked == [guest.user_id]
        await mod.ask("configure", room="general", read_only=True)
        for socket in (guest, other):
            await socket.next("room")
        await say(mod, "b")
        assert sorted(asked[1:]) == sorted([mod.user_id, guest.user_id, other.user_id])


async def test_a_mute_ends_by_itself(engine: Engine, room: Room, owner: Any) -> None:
    """On the second, and whoever was muted is told so."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        await guest.join("general")
        await mod.ask("mute", room="general", user_id=guest.user_id, seconds=1)
        assert (await guest.next("room"))["muted_until"] <= now(seconds=1)
        assert (await guest.ask("message", room="general", content="a"))[
            "code"
        ] == "permission_denied"
        assert (await guest.next("room"))["rights"] == ["post", "signal"]
        await say(guest, "again")


async def test_who_is_muted_deletes_nothing(engine: Engine, room: Room, owner: Any) -> None:
    """Not even what is their own; and is told why."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        await guest.join("general")
        ack = await say(guest, "mine")
        await mod.ask("mute", room="general", user_id=guest.user_id, reason="loud")
        await guest.next("room")
        reply = await guest.ask("delete", room="general", id=ack["id"])
        assert (reply["code"], "loud" in reply["message"]) == ("permission_denied", True)


async def test_of_two_mutes_the_longer_one_is_told(engine: Engine, room: Room, owner: Any) -> None:
    """One of the room for a minute, one of the site for good."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        await guest.join("general")
        await mod.ask("mute", room="general", user_id=guest.user_id, seconds=60, reason="short")
        assert "muted_until" in await guest.next("room")
        await moderation.amute(None, guest.user_id, reason="long")
        told = await guest.next("room")
        assert ("long" in told["muted"], "muted_until" in told) == (True, False)


async def test_nobody_is_judged_by_their_equals(
    engine: Engine, room: Room, owner: Any, bob: Any
) -> None:
    """Nor by members, nor by themselves; moderators are by owners."""
    await make(room, bob, "moderator")
    async with connect(owner) as top, connect(bob) as mod, connect() as guest:
        for socket in (top, mod, guest):
            await socket.join("general")
        for kind in ("kick", "ban", "mute", "unban", "unmute"):
            for judge, user in ((guest, mod), (mod, top), (mod, mod), (top, top)):
                code = (await judge.ask(kind, room="general", user_id=user.user_id))["code"]
                assert code == "permission_denied"
        assert (await top.ask("kick", room="general", user_id=mod.user_id))["type"] == "done"
        assert (await mod.ask("join", room="general"))["code"] == "permission_denied"


@pytest.mark.parametrize(
    ("right", "judges"),
    [("moderate_room", ["owner"]), ("change_room", []), ("view_room", ["moderator", "owner"])],
)
async def test_staff_are_judged_by_their_rights(
    engine: Engine, room: Room, owner: Any, bob: Any, right: str, judges: list[str]
) -> None:
    """Who may moderate or manage all rooms is as high as a room's own, without a place there."""
    staff = await sync_to_async(get_user_model().objects.create_user)("staff", is_staff=True)
    permission = await sync_to_async(Permission.objects.get)(codename=right)
    await sync_to_async(staff.user_permissions.add)(permission)
    await make(room, bob, "moderator")
    done = []
    for role, user in (("moderator", bob), ("owner", owner)):
        async with connect(user) as judge:
            await judge.join("general")
            reply = await judge.ask("ban", room="general", user_id=str(staff.pk))
            done += [role] if reply["type"] == "done" else []
    assert done == judges


@pytest.mark.parametrize("kind", ["kick", "ban", "unban", "mute", "unmute"])
async def test_who_is_not_there_is_not_judged(
    engine: Engine, room: Room, owner: Any, bob: Any, kind: str
) -> None:
    """A guest must have been seen; a user may be named in any spelling, and is one user."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        for nobody in ("987654", "x", "guest:", "guest:0f3a", "guest:0f3a 5b", "site:1"):
            reply = await mod.ask(kind, room="general", user_id=nobody)
            assert (reply["code"], reply["message"]) == ("unknown_user", "There is no such user.")
        assert not await sync_to_async(Sanction.objects.exists)()
        for spelling in (guest.user_id, str(bob.pk), f"0{bob.pk}", f" {bob.pk}"):
            done = await mod.ask(kind, room="general", user_id=spelling)
            assert done["type"] == "done"
        own = (await mod.ask(kind, room="general", user_id=f"0{owner.pk}"))["code"]
        assert own == "permission_denied"
    keys = await sync_to_async(list)(Sanction.objects.values_list("user_key", flat=True))
    assert set(keys) == ({guest.user_id, str(bob.pk)} if "un" not in kind else set())


async def test_who_has_gone_can_still_be_judged(engine: Engine, room: Room, owner: Any) -> None:
    """By what was said here, and by what is in force here already."""
    async with connect(owner) as mod:
        await mod.join("general")
        async with connect() as guest, connect() as silent:
            await guest.join("general")
            await say(guest, "spam")
            await mod.ask("ban", room="general", user_id=silent.user_id)
        await connected(1)
        for kind, one in (("ban", guest), ("unban", silent), ("unban", guest)):
            reply = await mod.ask(kind, room="general", user_id=one.user_id)
            assert reply["type"] == "done"
        assert not await sync_to_async(Sanction.objects.exists)()


async def test_to_appoint_somebody_does_not_tell_who_exists(
    engine: Engine, room: Room, owner: Any, bob: Any
) -> None:
    async with connect(owner) as top:
        await top.join("general")
        replies = [
            await top.ask("appoint", room="general", user_id=user_id, role="member")
            for user_id in (str(bob.pk), "987654", "x")
        ]
    assert len({(reply["code"], reply["message"]) for reply in replies}) == 1


async def test_acts_of_moderation_have_an_allowance(room: Room, owner: Any, bob: Any) -> None:
    """Their own: what is written in the room is not taken from it."""
    limits = {**UNLIMITED, "ACTS_PER_MINUTE": 7}
    async with testing.engine(GUESTS=True, **limits), connect(owner) as top:
        await top.join("general")
        said = await say(top, "hello")
        whom = {"user_id": str(bob.pk)}
        await top.ask("block", **whom)
        await top.ask("delete", id=said["id"], room="general")
        await top.ask("configure", room="general", slow_seconds=0)
        await top.ask("appoint", room="general", role="member", **whom)
        for kind in ("ban", "unban", "mute"):
            await top.ask(kind, room="general", **whom)
        for kind in ("kick", "unmute"):
            reply = await top.ask(kind, room="general", **whom)
            assert (reply["code"], reply["retry_after"] > 1) == ("rate_limited", True)
        await say(top, "still here")


async def test_reports_have_an_allowance(room: Room) -> None:
    limits = {**UNLIMITED, "REPORTS_PER_MINUTE": 3}
    async with testing.engine(GUESTS=True, **limits), connect() as guest:
        await guest.join("general")
        for _ in range(3):
            said = await say(guest, "hello")
            reply = await guest.ask("report", room="general", id=said["id"])
            assert reply["type"] == "done"
        reply = await guest.ask("report", room="general", id=said["id"])
        assert (reply["code"], reply["retry_after"] > 1) == ("rate_limited", True)


async def test_a_moderator_who_is_one_no_more_can_do_nothing(
    engine: Engine, room: Room, owner: Any, bob: Any
) -> None:
    """Told with the new rights."""
    await make(room, bob, "moderator")
    async with connect(owner) as top, connect(bob) as mod, connect() as guest:
        for socket in (top, mod, guest):
            await socket.join("general")
        await top.ask("appoint", room="general", user_id=mod.user_id, role="member")
        assert (await mod.next("room"))["role"] == "member"
        code = (await mod.ask("kick", room="general", user_id=guest.user_id))["code"]
        assert code == "permission_denied"


async def test_a_room_can_be_made_slow_and_read_only(
    engine: Engine, room: Room, owner: Any
) -> None:
    """All who are there are told; moderators may speak on."""
    async with connect(owner) as mod, connect() as guest:
        await mod.join("general")
        await guest.join("general")
        await mod.ask("configure", room="general", slow_seconds=60)
        assert (await guest.next("room"))["slow_seconds"] == 60
        await say(guest, "first")
        reply = await guest.ask("message", room="general", content="second", nonce="second")
        assert reply["code"] == "rate_limited"
        assert 50 < reply["retry_after"] <= 60
        assert (await say(guest, "first"))["seq"] == 1
        await say(mod, "a")
        await say(mod, "b")
        await mod.ask("configure", room="general", read_only=True, slow_seconds=0)
        told = await guest.next("room", slow_seconds=None)
        assert (told["read_only"], told["rights"]) == (True, [])
        assert (await guest.ask("message", room="general", content="a"))[
            "code"
        ] == "permission_denied"
        await say(mod, "c")


async def test_only_the_owner_names_a_room(engine: Engine, room: Room, owner: Any) -> None:
    async with connect(owner) as top, connect() as guest:
        await top.join("general")
        await guest.join("general")
        assert (await guest.ask("configure", room="general", title="Mine"))[
            "code"
        ] == "permission_denied"
        await top.ask("configure", room="general", title="Ours")
        assert (await guest.next("room"))["title"] == "Ours"


async def test_a_room_that_is_gone_is_not_configured(
    engine: Engine, room: Room, owner: Any
) -> None:
    """Also while its moderator has not heard of that."""
    async with connect(owner) as top:
        await top.join("general")
        await sync_to_async(remove_untold)(room)
        assert (await top.ask("configure", room="general", title="Ours"))["code"] == "unknown_room"
        assert (await top.ask("ping"))["type"] == "pong"


# Messages.


async def test_a_deleted_message_is_gone_everywhere(engine: Engine, room: Room, owner: Any) -> None:
    """For who is there, who comes, who comes back and who looks back; its place stays."""
    async with connect(owner) as mod, connect() as guest:
        start = await mod.join("general")
        await guest.join("general")
        ack = await say(guest, "secret")
        await mod.ask("delete", room="general", id=ack["id"])
        told = (await guest.next("changed"))["message"]
        assert (told["deleted"], told["seq"], "content" in told) == (True, 1, False)
        page = await mod.ask("history", room="general")
        async with connect() as late:
            since = {"seq": start["through"], "epoch": start["epoch"]}
            joined, resumed = await late.join("general"), await late.join("general", since=since)
        for reply in (page, joined, resumed):
            assert [state["deleted"] for state in reply["messages"]] == [True]
            assert [state.get("content") for state in reply["messages"]] == [None]
        assert (await sync_to_async(Message.objects.get)()).content == ""


async def test_one_deletes_ones_own_messages_only(engine: Engine, room: Room) -> None:
    async with connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        ack = await say(one, "mine")
        assert (await other.ask("delete", room="general", id=ack["id"]))[
            "code"
        ] == "permission_denied"
        assert (await other.ask("delete", room="general", id=10**9))["code"] == "unknown_message"
        assert (await one.ask("delete", room="general", id=ack["id"]))["type"] == "done"


async def test_a_message_of_another_room_is_none_of_this(
    engine: Engine, room: Room, owner: Any
) -> None:
    """A moderator's power ends at the door."""
    other = await sync_to_async(Room.objects.create)(slug="other")
    message = await push.room(other).amessage("theirs")
    assert message is not None
    async with connect(owner) as mod:
        await mod.join("general")
        assert (await mod.ask("delete", room="general", id=message.pk))["code"] == "unknown_message"
        assert (await mod.ask("report", room="general", id=message.pk))["code"] == "unknown_message"


async def test_a_message_can_be_reported(engine: Engine, room: Room) -> None:
    async with connect() as one, connect() as other:
        await one.join("general")
        await other.join("general")
        ack = await say(one, "rude")
        done = await other.ask("report", room="general", id=ack["id"], reason="rude")
        assert done["type"] == "done"
    report = await sync_to_async(Report.objects.get)()
    assert (report.reporter, report.message_id) == (other.user_id, ack["id"])


# Rooms.


async def test_an_invited_user_is_told_and_may_enter(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    await make(private, ada, "owner")
    async with connect(ada) as top, connect(bob) as guest:
        await top.join("secret")
        assert (await guest.ask("join", room="secret"))["code"] == "unknown_room"
        assert (await top.ask("invite", room="secret", username="nobody"))["code"] == "unknown_user"
        await top.ask("invite", room="secret", username="bob")
        told = await guest.next("invited")
        assert (told["room"], told["username"]) == ("secret", "ada")
        await guest.join("secret")
        assert (await guest.ask("invite", room="secret"))["code"] == "permission_denied"


async def test_an_invitation_is_a_key_for_whoever_has_it(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    """Users only, until it is made void."""
    await make(private, ada, "owner")
    async with connect(ada) as top, connect(bob) as other, connect() as guest:
        await top.join("secret")
        key = (await top.ask("invite", room="secret"))["invitation"]
        assert (await guest.ask("accept", invitation=key))["code"] == "permission_denied"
        await top.ask("invite", room="secret", void=True)
        assert (await other.ask("accept", invitation=key))["code"] == "permission_denied"
        key = (await top.ask("invite", room="secret"))["invitation"]
        reply = await other.ask("accept", invitation=key)
        assert (reply["type"], reply["room"], reply["role"]) == ("room", "secret", "member")
        await other.join("secret")


async def test_who_leaves_for_good_cannot_come_back(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    await make(private, ada, "owner")
    await make(private, bob)
    async with connect(bob) as member:
        await member.join("secret")
        assert (await member.ask("leave", room="secret"))["type"] == "left"
        await member.join("secret")
        assert (await member.ask("leave", room="secret", for_good=True))["type"] == "left"
        assert (await member.ask("join", room="secret"))["code"] == "unknown_room"


async def test_a_room_is_passed_on(engine: Engine, room: Room, owner: Any, bob: Any) -> None:
    await make(room, bob)
    async with connect(owner) as top, connect(bob) as next_one:
        await top.join("general")
        await next_one.join("general")
        code = (await top.ask("leave", room="general", for_good=True))["code"]
        assert code == "permission_denied"
        await top.ask("appoint", room="general", user_id=next_one.user_id, role="owner")
        assert (await next_one.next("room"))["rights"] == ["post", "signal", "moderate", "manage"]
        assert (await top.next("room"))["role"] == "moderator"


async def test_two_users_talk_in_a_room_of_their_own(engine: Engine, ada: Any, bob: Any) -> None:
    """Which nobody else sees."""
    async with connect(ada) as one, connect(bob) as other, connect() as guest:
        reply = await one.ask("direct", username="bob")
        slug = reply["room"]
        assert (reply["type"], reply["kind"]) == ("room", "direct")
        assert reply["rights"] == ["post", "signal"]
        assert (await other.next("invited"))["room"] == slug
        assert (await other.ask("direct", user_id=one.user_id))["room"] == slug
        await one.join(slug)
        await other.join(slug)
        await say(one, "psst", slug)
        await other.next("message", content="psst")
        assert (await guest.ask("join", room=slug))["code"] == "unknown_room"
        assert (await guest.ask("direct", username="bob"))["code"] == "permission_denied"
        assert (await one.ask("direct", username="nobody"))["code"] == "unknown_user"


async def direct_room(one: Client, other: Client) -> str:
    """Both are in it, and have said something."""
    slug = str((await one.ask("direct", user_id=other.user_id))["room"])
    for socket in (one, other):
        await socket.join(slug)
        await say(socket, "hello", slug)
    await other.settled()
    return slug


@pytest.mark.parametrize("by", ["the blocked one", "the one who blocks"])
async def test_a_block_closes_a_direct_room_for_both(
    engine: Engine, ada: Any, bob: Any, by: str
) -> None:
    """Also on sockets that are in it; and nobody is told who closed it."""
    async with connect(ada) as one, connect(bob) as other:
        slug = await direct_room(one, other)
        assert (await one.ask("block", user_id=other.user_id))["type"] == "done"
        socket = other if by == "the blocked one" else one
        state = await socket.next("room", room=slug)
        assert (state["rights"], "block" in str(state)) == ([], False)
        assert (await socket.ask("message", room=slug, content="again"))[
            "code"
        ] == "permission_denied"
        assert "conversation is closed" in str(socket.arrived[-1])
        for kind in ("typing", "signal"):
            fields = {"data": {}} if kind == "signal" else {}
            socket.send(kind, room=slug, ref="no", **fields)
            assert (await socket.next("error", ref="no"))["code"] == "permission_denied"
        assert (await socket.join(slug))["rights"] == []
        assert (await socket.ask("direct", user_id=_other(socket, one, other)))["rights"] == []
        await one.ask("block", user_id=other.user_id, on=False)
        assert (await socket.next("room", room=slug))["rights"] == ["post", "signal"]
        await say(socket, "at last", slug)


def _other(socket: Client, one: Client, other: Client) -> str:
    return str((one if socket is other else other).user_id)


async def test_no_direct_room_is_opened_with_who_has_blocked_one(
    engine: Engine, ada: Any, bob: Any
) -> None:
    """What is said is what is said of a user who does not exist."""
    async with connect(ada) as one, connect(bob) as other:
        await one.ask("block", user_id=other.user_id)
        replies = [
            await other.ask("direct", **whom)
            for whom in ({"user_id": one.user_id}, {"username": "ada"}, {"username": "nobody"})
        ]
        told = {(reply["code"], reply["message"]) for reply in replies}
        assert [code for code, _ in told] == ["unknown_user"]
        assert (await one.ask("direct", username="bob"))["code"] == "permission_denied"
        assert await one.settled() == []
        assert not await sync_to_async(Room.objects.filter(kind="direct").exists)()


async def test_who_leaves_a_direct_room_for_good_is_not_brought_back(
    engine: Engine, ada: Any, bob: Any
) -> None:
    """Neither by the other one nor by a message; only by an own `direct`."""
    async with connect(ada) as one, connect(bob) as other:
        slug = await direct_room(one, other)
        assert (await one.ask("leave", room=slug, for_good=True))["type"] == "left"
        assert (await other.next("room", room=slug))["rights"] == []
        assert (await other.ask("message", room=slug, content="come back"))[
            "code"
        ] == "permission_denied"
        assert (await other.ask("direct", user_id=one.user_id))["rights"] == []
        assert (await one.ask("join", room=slug))["code"] == "unknown_room"
        assert not [item for item in one.arrived if item["type"] == "invited"]
        assert (await one.ask("direct", user_id=other.user_id))["room"] == slug
        assert (await other.next("room", room=slug))["rights"] == ["post", "signal"]
        await say(other, "welcome", slug)


@pytest.mark.parametrize("answer", ["message", "accepted", "declined", "blocked"])
async def test_a_stranger_opens_a_request(engine: Engine, ada: Any, bob: Any, answer: str) -> None:
    """Which ends by an answer, by accepting it, by leaving it and by a block."""
    async with connect(ada) as one, connect(bob) as other:
        slug = (await one.ask("direct", user_id=other.user_id))["room"]
        assert (await other.next("invited", room=slug))["request"] is True
        assert (await other.join(slug))["request"] is True
        assert "request" not in await one.join(slug)
        match answer:
            case "message":
                await say(other, "hello", slug)
            case "blocked":
                await other.ask("block", user_id=one.user_id)
            case _:
                is_accepted = answer == "accepted"
                await other.ask("membership", room=slug, accepted=is_accepted)
        if answer == "declined":
            assert (await other.next("removed", room=slug))["code"] == "unknown_room"
        else:
            assert "request" not in await other.join(slug)
        rights = [] if answer in ("declined", "blocked") else ["post", "signal"]
        assert (await one.join(slug))["rights"] == rights


async def test_who_shares_a_private_room_opens_no_request(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    for user in (ada, bob):
        await make(private, user)
    async with connect(ada) as one, connect(bob) as other:
        await one.ask("direct", user_id=other.user_id)
        assert "request" not in await other.next("invited")


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_place_that_is_given_makes_nobody_known(
    engine: Engine, ada: Any, bob: Any, settings: Any, is_known: bool
) -> None:
    """Not before the stranger has written in that room: anybody gives places by name."""
    settings.REALTIME = {**settings.REALTIME, "CREATE_ROOMS": "users"}
    async with connect(ada) as one, connect(bob) as other:
        slug = (await one.ask("create", title="Trap", kind="private"))["room"]
        await one.join(slug)
        await one.ask("invite", room=slug, username="bob")
        await other.join(slug)
        if is_known:
            await say(other, "hello", slug)
        direct = (await one.ask("direct", user_id=other.user_id))["room"]
        assert (await other.join(direct)).get("request", False) is not is_known


async def test_a_place_is_not_given_to_who_left_or_blocked(
    engine: Engine, private: Room, ada: Any, bob: Any
) -> None:
    """It reads as for a user who does not exist; an invitation still works: it is their own act."""
    await make(private, ada, "owner")
    async with connect(ada) as top, connect(bob) as other:
        await top.join("secret")
        key = (await top.ask("invite", room="secret"))["invitation"]
        refusals = []

        async def invite(name: str) -> None:
            reply = await top.ask("invite", room="secret", username=name)
            refusals.append((reply["code"], reply["message"]))

        await invite("nobody")
        await other.ask("block", user_id=top.user_id)
        await invite("bob")
        await other.ask("block", user_id=top.user_id, on=False)
        assert (await top.ask("invite", room="secret", username="bob"))["type"] == "done"
        await other.join("secret")
        await other.ask("leave", room="secret", for_good=True)
        await invite("bob")
        assert {code for code, _ in refusals} == {"unknown_user"}
        assert len(refusals) == 3
        assert len(set(refusals)) == 1
        assert (await other.ask("accept", invitation=key))["type"] == "room"


async def test_a_block_list_is_its_users_own(
    engine: Engine, ada: Any, bob: Any, settings: Any
) -> None:
    """It takes users and guests in one spelling, has a bound, and tells of nobody who exists."""
    settings.REALTIME = {**settings.REALTIME, "BLOCKS_PER_USER": 3}
    async with connect(ada) as one, connect(bob) as other, connect() as guest:
        for user_id in (other.user_id, f" 0{other.user_id}", guest.user_id, "987654"):
            assert (await one.ask("block", user_id=user_id))["type"] == "done"
        listed = [other.user_id, guest.user_id, "987654"]
        assert (await one.ask("block"))["user_ids"] == listed
        assert (await other.ask("block"))["user_ids"] == []
        assert (await one.ask("block", user_id="12345"))["code"] == "limit_exceeded"
        assert (await one.ask("block", user_id=one.user_id))["code"] == "invalid_message"
        for nobody in ("x", "guest:", "guest:a b", "guest:" + "a" * 140, "-", "1e3"):
            assert (await one.ask("block", user_id=nobody))["code"] == "unknown_user"
        assert (await guest.ask("block", user_id=other.user_id))["code"] == "permission_denied"
        assert (await guest.ask("block"))["user_ids"] == []


async def test_a_room_is_made_by_who_may(engine: Engine, ada: Any, settings: Any) -> None:
    """Nobody but staff unless the site says so."""
    async with connect(ada) as socket:
        assert (await socket.ask("create", title="Tea"))["code"] == "permission_denied"
        settings.REALTIME = {**settings.REALTIME, "CREATE_ROOMS": "users"}
        reply = await socket.ask("create", title="Tea", kind="private")
        assert (reply["type"], reply["role"], reply["kind"]) == ("room", "owner", "private")
        await socket.join(reply["room"])


# From anywhere.


async def test_the_site_itself_can_moderate(engine: Engine, room: Room, ada: Any, bob: Any) -> None:
    """From any thread; the admin's log says by whom."""
    async with connect(bob) as member, connect() as guest:
        await member.join("general")
        await guest.join("general")
        ack = await say(guest, "rude")
        await moderation.adelete(ack["id"], by=ada)
        await member.next("changed")
        await moderation.amute(room, guest.user_id, by=ada)
        await guest.next("room")
        await moderation.akick(room, bob, by=ada)
        await member.next("removed", room="general")
    assert await sync_to_async(LogEntry.objects.filter(user=ada).count)() == 3


@pytest.mark.parametrize("by_address", [False, True])
async def test_who_is_banned_from_the_site_is_closed(
    engine: Engine, room: Room, bob: Any, by_address: bool
) -> None:
    """With the reason, not to come back; nor does a new connection stay."""
    async with connect(bob, client=["8.8.4.4", 1]) as member:
        if by_address:
            await moderation.aban(None, addresses={"8.8.4.4"}, reason="spam")
        else:
            await moderation.aban(None, bob, reason="spam")
        told = await member.next("disconnect")
        code = (await member.closed()).code
        assert (code, told["reconnect"], "spam" in told["reason"]) == (4503, False, True)
    with pytest.raises(Disconnect, match="4503"):
        async with connect(bob, client=["8.8.4.4", 1]):
            pass


async def test_a_ban_while_somebody_comes_is_found_by_the_next_pulse(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between asking whether there are any, and being where notes arrive."""
    real = Engine.open

    def open_late(self: Engine, connection: Any) -> None:
        self.hub.publish("everyone", Revalidate("site", ""))
        real(self, connection)

    assert not engine.revalidator.site_sanctions.are_any
    monkeypatch.setattr(Engine, "open", open_late)
    async with connect() as guest:
        ban = Sanction(kind="ban", user_key=guest.user_id)
        await Sanction.objects.abulk_create([ban])
        engine.revalidator.tick()
        assert (await guest.closed()).code == 4503


async def test_who_is_muted_on_the_site_is_so_in_every_room(
    engine: Engine, room: Room, bob: Any
) -> None:
    """At once, also a guest; and until it is lifted."""
    async with connect(bob) as member, connect() as guest:
        for socket in (member, guest):
            await socket.join("general")
            await moderation.amute(None, socket.user_id)
            assert (await socket.next("room"))["rights"] == []
            await moderation.aunmute(None, socket.user_id)
            assert (await socket.next("room"))["rights"] == ["post", "signal"]


async def test_a_mute_on_the_site_may_get_another_end(engine: Engine, room: Room) -> None:
    """Who is under it hears of that at once, and speaks again on the second."""
    async with connect() as guest:
        await guest.join("general")
        await moderation.amute(None, guest.user_id)
        assert "muted_until" not in await guest.next("room")
        await moderation.amute(None, guest.user_id, seconds=60, reason="calm down")
        told = await guest.next("room")
        assert "calm down" in told["muted"]
        assert now(55) < told["muted_until"] <= now(60)


async def test_who_is_muted_on_the_site_while_entering_is_so_inside(
    engine: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided before the mute does not hold; no room has a change of rights to show."""
    is_decided, may_enter, real = asyncio.Event(), asyncio.Event(), engine.hub.open_room

    async def open_room(*args: Any, **options: Any) -> Any:
        is_decided.set()
        await may_enter.wait()
        return await real(*args, **options)

    monkeypatch.setattr(engine.hub, "open_room", open_room)
    async with connect() as guest:
        guest.send("join", room="general")
        await is_decided.wait()
        await moderation.amute(None, guest.user_id)
        [watched] = engine.revalidator._tracked.values()
        await eventually(lambda: watched.sanctions)
        may_enter.set()
        assert "post" not in (await guest.next("joined"))["rights"]


async def test_a_mute_that_nobody_told_of_is_found_by_the_first_look(
    engine: Engine, room: Room
) -> None:
    """Before it nothing is known to compare with."""
    async with connect() as guest:
        await guest.join("general")
        mute = Sanction(kind="mute", user_key=guest.user_id)
        await Sanction.objects.abulk_create([mute])
        for one in engine.revalidator._tracked.values():
            one.due_at = 0  # its turn
        engine.revalidator.tick()
        assert (await guest.next("room"))["rights"] == []


async def test_a_ban_that_nobody_told_of_is_found_by_the_pulse(engine: Engine, room: Room) -> None:
    """A guest's, too."""
    async with connect() as guest:
        ban = Sanction(kind="ban", user_key=guest.user_id)
        await sync_to_async(Sanction.objects.bulk_create)([ban])
        for one in engine.revalidator._tracked.values():
            one.due_at = 0  # its turn
        engine.revalidator.tick()
        assert (await guest.closed()).code == 4503


@pytest.mark.parametrize("address", ["10.0.0.1", "nowhere", ""])
async def test_an_address_that_may_be_a_proxys_is_not_banned(engine: Engine, address: str) -> None:
    with pytest.raises(ValueError, match=r"proxy|address"):
        await moderation.aban(None, addresses={address} - {""})
