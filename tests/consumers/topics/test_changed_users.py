"""A user that changes or leaves while its commands are under way: who decides, and who calls."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from harness.client.in_process import Socket
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.auth import tickets
from realtime.engine.engine import Engine
from realtime.store.accounts.identity import Identity
from realtime.testing import connect
from realtime.topics import Command, Topic, command
from realtime.wire.errors import CloseCode, Disconnect
from tests.consumers.topics.shop import Shop

THREADS = {"DB_THREADS": 2, **UNLIMITED}


class Say(Command):
    """Whether the handler sees a member of the staff."""


@pytest.fixture
async def staff(ada: Any) -> Any:
    ada.is_staff = True
    await ada.asave()
    return ada


@pytest.fixture
def topics(shop: Shop) -> Any:
    """One topic for the staff, and one for all; the question waits while its gate is closed."""

    class DeskTopic(Topic):
        path = "desk/<slug:part>"
        part: str

        def may_subscribe(self) -> bool:
            is_staff = bool(self.identity.user.is_staff)
            shop.asked.append([self.part])
            shop.asking.wait(self.part)
            return is_staff or self.part == "open"

        @command
        async def say(self, command: Say) -> Any:
            return shop.Paid(total=int(self.identity.user.is_staff))

    shop.asking.open.clear()
    return DeskTopic


async def lose_staff(engine: Engine, user: Any) -> None:
    """Give the connection the user that is no longer one of the staff."""
    user.is_staff = False
    await user.asave()
    fresh = await type(user).objects.aget(pk=user.pk)
    [connection] = engine.connections.values()
    connection.events.on_user_changed(Identity.of(fresh))


def copy(user: Any) -> Any:
    return type(user).objects.aget(pk=user.pk)


async def test_a_subscription_is_not_of_the_user_before_a_change(
    database: Any, shop: Shop, topics: Any, staff: Any
) -> None:
    async with testing.engine(**THREADS) as engine, connect(await copy(staff)) as socket:
        socket.send("subscribe", topic="desk/a", ref=1)
        await eventually(lambda: shop.asked == [["a"]])
        await lose_staff(engine, staff)
        shop.asking.open.set()
        assert (await socket.next())["code"] == "unknown_topic"
        assert shop.asked == [["a"], ["a"]]


@pytest.mark.parametrize(
    ("part", "outcome"), [("a", {"code": "unknown_topic"}), ("open", {"data": {"total": 0}})]
)
async def test_a_call_is_not_of_the_user_before_a_change(
    database: Any, shop: Shop, topics: Any, staff: Any, part: str, outcome: Any
) -> None:
    async with testing.engine(**THREADS) as engine, connect(await copy(staff)) as socket:
        socket.send("call", topic=f"desk/{part}", name="say", ref=1)
        await eventually(lambda: shop.asked == [[part]])
        await lose_staff(engine, staff)
        shop.asking.open.set()
        told = await socket.next()
        assert {name: told.get(name) for name in outcome} == outcome


async def test_a_call_under_way_keeps_its_user(
    database: Any, shop: Shop, order: Any, ada: Any, bob: Any
) -> None:
    """Also one that waits: it is not executed for the user of a later `auth`."""
    first, again = [await sync_to_async(tickets.issue)(bob) for _ in range(2)]
    async with testing.engine(**THREADS), connect(ada) as socket:
        slow = {"topic": order.name, "name": "slow_async", "data": {"name": "a"}}
        socket.send("call", **slow, ref=1)
        socket.send("call", topic=order.name, name="cancel", ref=2)
        await eventually(lambda: shop.gate.begun == ["a"])
        refused = await socket.ask("auth", token=first)
        assert (refused["code"], refused["message"]) == (
            "permission_denied",
            "Wait for the replies to your calls first.",
        )
        shop.gate.open.set()
        await socket.next("result", ref=2)
        assert [one.identity.user_id for one in shop.instances] == [str(ada.pk)]
        assert (await socket.ask("auth", token=again))["user_id"] == str(bob.pk)


async def test_no_call_begins_once_the_site_has_sent_the_user_away(
    database: Any, shop: Shop, order: Any, ada: Any
) -> None:
    async with testing.engine(**THREADS) as engine:
        socket = Socket(user=ada)  # it does not answer the close
        await socket.open()
        for name in ("a", "b", "c"):
            data = {"name": name}
            await socket.send("call", topic=order.name, name="slow_async", data=data)
        await eventually(lambda: shop.gate.begun == ["a"])
        [connection] = engine.connections.values()
        asked = len(shop.asked)
        connection.close(Disconnect(CloseCode.KICKED, "Bye."))
        consumer: Any = connection.events
        shop.gate.open.set()
        await eventually(lambda: len(consumer._calls._queue._calls) == 0)
        assert (shop.gate.begun, len(shop.asked)) == (["a"], asked)
