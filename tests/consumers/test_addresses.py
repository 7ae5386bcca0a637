"""What moderators do by address: to guests who come back, and without telling who shares one."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.utils import timezone

from harness.client.encoding import Object
from harness.site import UNLIMITED
from realtime import moderation, testing
from realtime.consumers import ChatConsumer
from realtime.engine.engine import Engine
from realtime.models import Connection, LastAddress, Membership, Room
from realtime.store import presence
from realtime.store.moderation import actions as moderation_rows
from realtime.testing import Client, connect
from tests.consumers.test_names import written

HOME, ELSEWHERE = "203.0.113.5", "198.51.100.1"


@pytest.fixture
async def site(room: Room) -> AsyncIterator[Engine]:
    given = {"GUESTS": True, "TRUSTED_PROXIES": 1, "PRESENCE_GRACE_SECONDS": 0}
    async with testing.engine(**given, **UNLIMITED) as running:
        yield running


def of(address: str, **scope: Any) -> AbstractAsyncContextManager[Client]:
    headers = {"x-forwarded-for": address}
    return connect(application=ChatConsumer.as_asgi(), headers=headers, **scope)


async def user(name: str, room: Room | None = None) -> Any:
    made = await sync_to_async(get_user_model().objects.create_user)(name)
    if room is not None:
        await Membership.objects.acreate(room=room, user=made, role="owner")
    return made


async def judge(owner: Client, kind: str, guest: Client) -> Object:
    whom = guest.welcome["user_id"]
    return await owner.ask(
        kind, room="general", user_id=whom, address=True, reason="spam of Eve", seconds=600
    )


@pytest.mark.parametrize("kind", ["ban", "mute"])
async def test_nobody_else_who_is_there_is_hit(site: Engine, room: Room, kind: str) -> None:
    """The moderator would see who shares an address: neither a guest nor a user leaves."""
    owner, bob = await user("owner", room), await user("bob")
    async with (
        of(ELSEWHERE, user=owner) as mod,
        of(HOME) as eve,
        of(HOME) as other,
        of(HOME, user=bob) as friend,
    ):
        for socket in (mod, eve, other, friend):
            await socket.join("general")
        await written(eve.welcome["username"])
        assert (await judge(mod, kind, eve))["type"] == "done"
        await eve.next("removed" if kind == "ban" else "room")
        for socket in (other, friend):
            await socket.ask("join", room="general")  # which asks for its rights again
            said = await socket.ask("message", room="general", content="hi", nonce="n")
            assert said["type"] == "ack"


@pytest.mark.parametrize("kind", ["ban", "mute"])
async def test_a_guest_who_comes_back_by_another_name_is_hit(
    site: Engine, room: Room, kind: str
) -> None:
    """It is not told of whom the reason is; users of the address are let in."""
    owner, bob = await user("owner", room), await user("bob")
    async with of(ELSEWHERE, user=owner) as mod, of(HOME) as eve:
        await mod.join("general")
        await eve.join("general")
        await written(eve.welcome["username"])
        await judge(mod, kind, eve)
        async with of(HOME) as again, of(HOME, user=bob) as friend:
            reply = await again.ask("join", room="general")
            told = reply["message"] if kind == "ban" else reply["muted"]
            assert told.startswith("You are ")
            assert "Eve" not in told
            assert "muted" not in await friend.join("general")


async def test_the_sites_own_ban_of_an_address_hits_everybody(site: Engine, room: Room) -> None:
    bob = await user("bob")
    await sync_to_async(moderation.ban)(room, addresses={HOME}, reason="attack")
    async with of(HOME, user=bob) as friend:
        reply = await friend.ask("join", room="general")
        assert "attack" in reply["message"]


async def test_the_address_of_a_guest_who_has_left_is_known_for_a_while(
    site: Engine, room: Room
) -> None:
    """So the ban hits who comes back as somebody else."""
    owner = await user("owner", room)
    async with of(ELSEWHERE, user=owner) as mod:
        await mod.join("general")
        async with of(HOME) as eve:
            await eve.join("general")
            await eve.ask("message", room="general", content="hi", nonce="n")
            await written(eve.welcome["username"])
        while await Connection.objects.filter(user_key=eve.welcome["user_id"]).aexists():
            await mod.ask("ping")
        reply = await judge(mod, "ban", eve)
        assert (reply["type"], "note" in reply) == ("done", False)
        async with of(HOME) as again:
            assert (await again.ask("join", room="general"))["code"] == "permission_denied"


@pytest.mark.parametrize("end", ["stops", "dies"])
def test_addresses_outlive_the_process(database: str, settings: Any, end: str) -> None:
    """A guest is known by its last address also when the process that served it stops or dies."""
    settings.REALTIME = {"TRUSTED_PROXIES": 1}
    node, other = (presence.LiveNode(name, "host", 1, 60) for name in ("one", "two"))
    guest = Connection(id="c", node_id="one", user_key="guest:1", username="G", address=HOME)
    presence.rebuild(node, [guest], [])
    if end == "stops":
        presence.release(node)
    else:
        presence.reap("one", other, even_if_alive=True)
        presence.delete_node("one", other)
    assert not Connection.objects.exists()
    assert moderation_rows.addresses_of("guest:1") == {HOME}


async def test_a_ban_by_name_alone_says_so(site: Engine, room: Room) -> None:
    """Once the address is forgotten."""
    owner = await user("owner", room)
    async with of(ELSEWHERE, user=owner) as mod, of(HOME) as eve:
        await mod.join("general")
        await eve.join("general")
        await eve.ask("message", room="general", content="hi", nonce="n")
        await written(eve.welcome["username"])
        await Connection.objects.filter(user_key=eve.welcome["user_id"]).adelete()
        await LastAddress.objects.all().adelete()
        reply = await judge(mod, "ban", eve)
        assert (reply["type"], "user id only" in reply["note"]) == ("done", True)


@pytest.mark.django_db
def test_last_addresses_are_forgotten(settings: Any, database: str) -> None:
    """After their time, and at once where none is kept."""
    LastAddress.objects.create(user_key="guest:1", address=HOME, left_at=timezone.now())
    presence.delete_old_addresses()
    assert presence.last_addresses("guest:1") == [HOME]
    settings.REALTIME = {"LAST_ADDRESS_SECONDS": 0}
    assert presence.last_addresses("guest:1") == []
    presence.delete_old_addresses()
    assert not LastAddress.objects.exists()


async def test_a_muted_owner_changes_no_title(site: Engine, room: Room) -> None:
    owner = await user("owner", room)
    await sync_to_async(moderation.mute)(room, owner, seconds=600)
    async with of(ELSEWHERE, user=owner) as mod:
        await mod.join("general")
        refused = (await mod.ask("configure", room="general", title="Buy pills"))["code"]
        assert refused == "permission_denied"


@pytest.mark.parametrize("by", ["name", "address"])
async def test_who_is_muted_on_the_site_makes_no_room(room: Room, by: str) -> None:
    """Its title would be read by all."""
    ada = await user("ada")
    async with testing.engine(CREATE_ROOMS="users", TRUSTED_PROXIES=1, **UNLIMITED):
        whom = {"user": ada} if by == "name" else {"addresses": {HOME}}
        await sync_to_async(moderation.mute)(None, **whom)
        bob = await user("bob")
        async with of(ELSEWHERE, user=bob) as other, of(HOME, user=ada) as muted:
            assert (await other.ask("create", title="Tea"))["type"] == "room"
            assert (await muted.ask("create", title="Buy pills"))["code"] == "permission_denied"


async def test_signals_obey_slow_mode_and_read_only(site: Engine, room: Room) -> None:
    """Whoever may not write may not say it by a signal."""
    await Room.objects.filter(pk=room.pk).aupdate(slow_seconds=60)
    async with of(HOME) as eve, of(HOME) as again, of(ELSEWHERE) as other:
        for socket in (eve, again, other):
            await socket.join("general")
        eve.send("signal", room="general", data={"n": 1})
        assert (await other.next("signal"))["data"] == {"n": 1}
        for socket in (eve, again):
            refused = (await socket.ask("signal", room="general", data={}))["code"]
            assert refused == "rate_limited"
        assert (await eve.ask("message", room="general", content="a", nonce="n"))["type"] == "ack"
        refused = (await again.ask("message", room="general", content="a", nonce="n"))["code"]
        assert refused == "rate_limited"
    await Room.objects.filter(pk=room.pk).aupdate(slow_seconds=0, is_read_only=True)
    async with of(HOME) as eve:
        await eve.join("general")
        for kind, more in (("signal", {"data": {}}), ("typing", {})):
            assert (await eve.ask(kind, room="general", **more))["code"] == "permission_denied"
