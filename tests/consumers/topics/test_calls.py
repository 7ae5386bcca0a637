"""Calls to topics through a socket: their order, their answers, and handlers that misbehave."""

import asyncio
from concurrent import futures
from contextlib import AsyncExitStack
from typing import Any

import pytest

from harness.client.encoding import ENCODINGS
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.consumers.topics import call_queue
from realtime.engine.database import executor
from realtime.engine.engine import Engine
from realtime.hooks import Hooks, NewMessage
from realtime.models import Membership
from realtime.testing import connect
from realtime.topics import Command, Topic, command
from realtime.topics.registry import registry
from tests.consumers.failures import FAILURES
from tests.consumers.topics.shop import Shop

THREADS = {"DB_THREADS": 2, "GUESTS": True, **UNLIMITED}


class Checked(Hooks):
    def before_message(self, message: NewMessage) -> None:
        """Change nothing, in a thread."""


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_call_is_answered_with_what_its_handler_returns(
    engine: Engine, shop: Shop, order: Any, ada: Any, encoding: str
) -> None:
    async with connect(ada, encoding=encoding) as socket:
        data = {"reason": "late", "seats": [1, 2]}
        told = await socket.ask("call", topic=f"order/0{order.pk}", name="cancel", data=data)
        assert (told["type"], told["topic"]) == ("result", order.name)
        assert (told["name"], told["data"]) == ("paid", {"total": 2 + order.pk})
        told = await socket.ask("call", topic=order.name, name="quiet")
        assert (told["name"], told["data"]) == ("done", {})
        shop.gate.open.set()
        told = await socket.ask("call", topic=order.name, name="slow_async", data={"name": "a"})
        assert told["data"] == {"total": 2}


async def test_an_instance_is_made_for_each_call_with_its_client(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        for _ in range(2):
            await socket.ask("call", topic=order.name, name="cancel")
    one, other = shop.instances
    assert one is not other
    assert [one.identity.user_id, other.identity.user_id] == [str(ada.pk)] * 2


async def test_the_topic_of_a_call_is_resolved_once(
    engine: Engine, shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []
    resolve = registry.resolve

    def counted(name: str, *args: Any) -> Topic:
        resolved.append(name)
        return resolve(name, *args)

    monkeypatch.setattr(registry, "resolve", counted)
    async with connect(ada) as socket:
        for name in ("cancel", "costly", "quiet"):
            assert (await socket.ask("call", topic=order.name, name=name))["type"] == "result"
        assert resolved == [order.name] * 3
        assert (await socket.ask("call", topic="no/such", name="quiet"))["code"] == "unknown_topic"


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"name": "cancle"}, "unknown_type", "name"),
        ({"name": "cancel", "data": {"seats": [1, "x"]}}, "invalid_message", "data.seats[1]"),
        ({"name": "slow"}, "invalid_message", "data.name"),
        ({"name": "cancel", "data": {"reason": None}}, "invalid_message", "data.reason"),
        ({"name": "refuse"}, "permission_denied", "data.pk"),
    ],
)
async def test_a_wrong_call_is_refused_with_the_path_of_the_field(
    engine: Engine, shop: Shop, order: Any, ada: Any, fields: Any, code: str, path: str
) -> None:
    async with connect(ada) as socket:
        error = await socket.ask("call", topic=order.name, **fields)
        assert (error["type"], error["code"], error["path"]) == ("error", code, path)
        assert (error["topic"], "outcome" in error) == (order.name, False)
    if fields["name"] == "cancle":
        assert "'cancel'" in error["message"]
    assert shop.instances == []


async def test_a_refusal_of_a_handler_keeps_its_fields(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        error = await socket.ask("call", topic=order.name, name="refuse")
        assert (error["message"], error["retry_after"]) == ("It is paid.", 3)


async def test_a_handler_that_fails_is_internal_and_five_in_a_row_close(
    engine: Engine, shop: Shop, order: Any, ada: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(ada) as socket:
        for _ in range(4):
            error = await socket.ask("call", topic=order.name, name="break")
            assert (error["code"], "ZeroDivision" in error["message"]) == ("internal", False)
        assert "ZeroDivisionError" in caplog.text
        await socket.ask("call", topic=order.name, name="refuse")  # starts the count again
        for _ in range(5):
            assert (await socket.ask("call", topic=order.name, name="break"))["code"] == "internal"
        assert (await socket.closed()).code == 4511


@pytest.mark.parametrize(
    ("broken", "told"),
    [(asyncio.CancelledError(), "nothing has cancelled it"), (SystemExit(1), "sys.exit()")],
)
async def test_a_handler_that_raises_what_is_no_failure_has_failed(
    engine: Engine,
    shop: Shop,
    order: Any,
    ada: Any,
    caplog: pytest.LogCaptureFixture,
    broken: Any,
    told: str,
) -> None:
    """It is no shutdown of the server, and must not cause one."""
    shop.broken = broken
    async with connect(ada) as socket:
        error = await socket.ask("call", topic=order.name, name="break")
        assert (error["code"], "outcome" in error) == ("internal", False)
    assert told in caplog.text


async def test_five_calls_that_fail_at_once_close_the_connection(
    engine: Engine, shop: Shop, ada: Any
) -> None:
    """Each is answered, or the close comes first."""

    class Fail(Command):
        pass

    class FailingTopic(Topic):
        path = "failing/<int:pk>"

        def may_subscribe(self) -> bool:
            return True

        @command
        async def fail(self, command: Fail) -> None:
            await asyncio.sleep(0)
            raise ZeroDivisionError

    async with connect(ada) as socket:
        for number in range(8):
            socket.send("call", topic=f"failing/{number}", name="fail", ref=number)
        assert (await socket.closed()).code == 4511
        refs = [one["ref"] for one in socket.arrived if one["type"] == "error"]
        assert len(refs) == len(set(refs)) >= 5


@pytest.mark.parametrize(("broken", "code"), FAILURES)
async def test_only_a_database_that_is_away_is_unavailable(
    engine: Engine, shop: Shop, order: Any, ada: Any, broken: Exception, code: str
) -> None:
    shop.broken = broken
    async with connect(ada) as socket:
        error = await socket.ask("call", topic=order.name, name="break")
        assert (error["code"], error["retryable"]) == (code, code == "unavailable")


async def test_a_reply_that_is_too_large_is_refused(
    engine: Engine, shop: Shop, order: Any, ada: Any
) -> None:
    async with connect(ada) as socket:
        fields = {"topic": order.name, "name": "fill"}
        told = await socket.ask("call", **fields, data={"characters": 250_000})
        assert len(told["data"]["text"]) == 250_000
        error = await socket.ask("call", **fields, data={"characters": 300_000})
        assert error["code"] == "too_large"


async def test_a_large_reply_costs_more(shop: Shop, order: Any, ada: Any) -> None:
    """As a page of history does: each 32 KiB are one more command."""
    limits = {"COMMANDS_BURST": 10, "COMMANDS_PER_SECOND": 0.001}
    fields = {"topic": order.name, "name": "fill", "data": {"characters": 250_000}}
    async with testing.engine(**limits), connect(ada) as socket:
        for kind in ("result", "result", "error"):
            told = await socket.ask("call", **fields)
            assert told["type"] == kind
        assert told["code"] == "rate_limited"


async def test_a_command_may_cost_more(shop: Shop, order: Any, ada: Any) -> None:
    async with testing.engine(ACTS_PER_MINUTE=60), connect(ada) as socket:
        for _ in range(2):
            told = await socket.ask("call", topic=order.name, name="costly")
            assert told["type"] == "result"
        error = await socket.ask("call", topic=order.name, name="costly")
        assert (error["code"], error["retryable"]) == ("rate_limited", True)


async def test_another_allowance_pays_alone(shop: Shop, order: Any, ada: Any) -> None:
    """Also where the usual one is used up; a call that is refused costs as usual."""
    limits = {"COMMANDS_BURST": 2, "COMMANDS_PER_SECOND": 0.001, "ACTS_PER_MINUTE": 60}
    async with testing.engine(**limits), connect(ada) as socket:
        told = await socket.ask("call", topic=order.name, name="costly")
        assert told["type"] == "result"
        error = await socket.ask("call", topic=order.name, name="costlier")
        assert error["code"] == "unknown_type"
        error = await socket.ask("call", topic=order.name, name="quiet")
        assert error["code"] == "rate_limited"


async def test_calls_to_one_topic_are_executed_in_their_order(
    shop: Shop, order: Any, ada: Any
) -> None:
    """Sync and async ones, while other commands of the connection go on."""
    async with testing.engine(**THREADS), connect(ada) as socket:
        for number, kind in enumerate(("slow", "slow_async", "slow")):
            data = {"name": str(number)}
            socket.send("call", topic=order.name, name=kind, data=data, ref=number)
        await eventually(lambda: shop.gate.begun == ["0"])
        assert (await socket.ask("ping"))["type"] == "pong"
        assert shop.gate.begun == ["0"]
        shop.gate.open.set()
        results = [await socket.next("result") for _ in range(3)]
        assert [one["ref"] for one in results] == [0, 1, 2]
        assert shop.gate.begun == ["0", "1", "2"]


async def test_slow_calls_hold_up_no_reads_and_no_permissions(
    shop: Shop, order: Any, private: Any, ada: Any, bob: Any
) -> None:
    """Four connections have a call in each of the four threads; all the rest goes on."""
    await Membership.objects.acreate(room=private, user=bob)
    async with testing.engine(**THREADS), AsyncExitStack() as stack:
        users = (ada, ada, bob, bob, ada)
        sockets = [await stack.enter_async_context(connect(user)) for user in users]
        for number, socket in enumerate(sockets[:4]):
            data = {"name": str(number)}
            socket.send("call", topic=order.name, name="slow", data=data)
        await eventually(lambda: len(shop.gate.begun) == 4)
        assert (await sockets[4].ask("history", topic=order.name))["type"] == "history"
        assert (await sockets[4].ask("subscribe", topic="news"))["type"] == "subscribed"
        assert (await sockets[4].ask("join", room="nowhere"))["code"] == "unknown_room"
        shop.gate.open.set()


async def test_slow_calls_of_one_user_leave_threads_for_others_and_for_hooks(
    shop: Shop, order: Any, private: Any, ada: Any, bob: Any
) -> None:
    """Over all connections of the user; guests of one address are one user."""
    await Membership.objects.acreate(room=private, user=bob)
    hooks = f"{__name__}.Checked"
    async with (
        testing.engine(**THREADS, HOOKS=hooks),
        connect(bob) as other,
        AsyncExitStack() as stack,
    ):
        sockets = [await stack.enter_async_context(connect(ada)) for _ in range(5)]
        for number, socket in enumerate(sockets):
            data = {"name": str(number)}
            socket.send("call", topic=order.name, name="slow", data=data)
        await eventually(lambda: len(shop.gate.begun) == 2)
        told = await other.ask("call", topic=order.name, name="quiet")
        assert told["type"] == "result"
        await other.ask("join", room=private.slug)
        told = await other.ask("message", room=private.slug, content="hi", nonce="1")
        assert told["type"] == "ack"
        assert len(shop.gate.begun) == 2
        shop.gate.open.set()
        for socket in sockets:
            await socket.next("result")


async def test_a_call_that_takes_too_long_has_an_unknown_outcome(
    shop: Shop, order: Any, ada: Any
) -> None:
    """One behind it was not executed, and never is."""
    settings = {**THREADS, "HANDLER_SECONDS": 0.3}
    async with testing.engine(**settings), connect(ada) as socket:
        for name in ("a", "b"):
            socket.send("call", topic=order.name, name="slow", data={"name": name}, ref=name)
        first, second = [await socket.next("error") for _ in range(2)]
        assert (first["ref"], first["code"], first["outcome"]) == ("a", "unavailable", "unknown")
        assert (second["ref"], second["code"], "outcome" in second) == ("b", "unavailable", False)
        shop.gate.open.set()
        told = await socket.ask("call", topic=order.name, name="slow", data={"name": "c"})
        assert told["type"] == "result"
        assert shop.gate.begun == ["a", "c"]


async def test_an_async_handler_that_takes_too_long_is_cancelled(
    shop: Shop, order: Any, ada: Any
) -> None:
    settings = {**THREADS, "HANDLER_SECONDS": 0.2}
    async with testing.engine(**settings), connect(ada) as socket:
        error = await socket.ask("call", topic=order.name, name="slow_async", data={"name": "a"})
        assert (error["code"], error["outcome"]) == ("unavailable", "unknown")
        shop.gate.open.set()
        told = await socket.ask("call", topic=order.name, name="slow_async", data={"name": "b"})
        assert told["type"] == "result"


async def test_more_calls_than_may_wait_are_refused_at_once(
    shop: Shop, order: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "CALLS_WAITING", 2)
    async with testing.engine(CALL_THREADS=1, **THREADS) as engine, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connect(ada)) for _ in range(4)]
        for number, socket in enumerate(sockets):
            data = {"name": str(number)}
            socket.send("call", topic=order.name, name="slow", data=data)
            waiting = min(number, 2)
            await eventually(lambda: shop.gate.begun)
            await eventually(
                lambda waiting=waiting: engine.db._fair_pool("call").waiting == waiting
            )
        error = await sockets[3].next("error")
        assert (error["code"], error["retry_after"], "outcome" in error) == (
            "unavailable",
            1,
            False,
        )
        shop.gate.open.set()
        for socket in sockets[:3]:
            await socket.next("result")


async def test_a_closed_connection_leaves_its_waiting_calls(
    shop: Shop, order: Any, ada: Any
) -> None:
    async with testing.engine(**THREADS):
        async with connect(ada) as socket:
            for name in ("a", "b"):
                socket.send("call", topic=order.name, name="slow", data={"name": name})
            await eventually(lambda: shop.gate.begun == ["a"])
        shop.gate.open.set()
        async with connect(ada) as socket:
            await socket.ask("call", topic=order.name, name="slow", data={"name": "c"})
    assert shop.gate.begun == ["a", "c"]


@pytest.mark.parametrize("error", [asyncio.CancelledError, futures.CancelledError])
async def test_a_handler_in_a_thread_that_raises_a_cancellation_has_failed(
    database: Any, shop: Shop, ada: Any, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    """It keeps no slot: the next calls are executed."""
    monkeypatch.setattr(call_queue, "IN_FLIGHT", 1)

    class Give(Command):
        """A call that gives up."""

    class GiveTopic(Topic):
        path = "give"

        def may_subscribe(self) -> bool:
            return True

        @command
        def give(self, command: Give) -> None:
            raise error

    async with testing.engine(**THREADS), connect(ada) as socket:
        for _ in range(2):
            assert (await socket.ask("call", topic="give", name="give"))["code"] == "internal"
