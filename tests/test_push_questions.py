"""Questions to one client: asked in any process, answered once, by that client only."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connections, transaction
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

import realtime
from harness.services import free_port
from harness.settings import layers
from harness.site import UNLIMITED, Sites
from harness.waiting import eventually
from realtime import push, testing
from realtime.consumers import Consumer, Reply, command
from realtime.engine.bus.publisher import publisher
from realtime.engine.connections.questions import MOST
from realtime.engine.engine import Engine
from realtime.errors import CommandError, RealtimeError
from realtime.testing import Client, connect
from realtime.topics import Event
from realtime.topics.structs import InvalidEvent
from realtime.wire.commands import Command
from tests.store.conftest import emptied
from tests.test_push import stop_publisher


class Confirm(msgspec.Struct):
    text: str


class Confirmed(msgspec.Struct):
    is_sure: bool
    fee: Decimal = Decimal(0)


class Renamed(Event, name="site.confirm"):
    text: str


QUESTION = Confirm(text="Delete it?")


@pytest.fixture(scope="module")
def url(sites: Sites) -> str:
    return sites.database_url("sqlite")


@pytest.fixture
def site(url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with emptied(url, django_db_blocker):
        yield


@pytest.fixture
async def engine(site: None) -> AsyncIterator[Engine]:
    async with testing.engine(GUESTS=True, **UNLIMITED) as running:
        yield running
    assert len(running.questions) == 0


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[Client]:
    async with connect() as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert len(publisher.answers) == 0


def target(client: Client) -> push.ConnectionTarget:
    return push.connection(client.connection)


async def refused(asking: Any) -> RealtimeError:
    with pytest.raises(RealtimeError) as caught:
        await asking
    return caught.value


# What is asked and answered.


async def test_a_client_answers(client: Client) -> None:
    client.answer(Confirm, lambda question: {"is_sure": question.text == "Delete it?"})
    assert await target(client).ask(QUESTION) == {"is_sure": True}


async def test_an_answer_may_be_a_struct_on_both_sides(client: Client) -> None:
    client.answer(Confirm, lambda _: Confirmed(is_sure=True, fee=Decimal("1.50")))
    answer = await target(client).ask(QUESTION, reply=Confirmed)
    assert answer == Confirmed(is_sure=True, fee=Decimal("1.50"))


@pytest.mark.parametrize("encoding", ["json", "ndjson", "msgpack"])
async def test_each_encoding_carries_a_question(engine: Engine, encoding: str) -> None:
    async with connect(encoding=encoding) as client:
        asking = asyncio.create_task(target(client).ask(Renamed(text="é?"), timeout=7))
        question = await client.next("ask")
        client.send("answer", ref=question["ref"], data={"text": "é", "list": [1, None]})
        assert await asking == {"text": "é", "list": [1, None]}
        assert question["name"] == "site.confirm"
        assert question["data"] == {"text": "é?"}
        assert question["timeout"] == 7
        assert len(question["ref"]) == 32


async def test_sync_code_asks_from_a_thread(client: Client) -> None:
    client.answer(Confirm, lambda _: {"is_sure": False})
    asked = asyncio.to_thread(target(client).ask_and_wait, QUESTION, reply=Confirmed)
    assert await asked == Confirmed(is_sure=False)


async def test_async_code_asks_in_a_loop_of_its_own(client: Client) -> None:
    """As an async view does under `async_to_sync`."""
    client.answer(Confirm, lambda _: {"is_sure": True})
    found: list[Any] = []

    def work() -> None:
        found.append(asyncio.run(target(client).ask(QUESTION)))

    thread = threading.Thread(target=work)
    thread.start()
    await eventually(lambda: found)
    thread.join()
    assert found == [{"is_sure": True}]


async def test_an_answer_without_data_is_empty(client: Client) -> None:
    client.answer(Confirm, lambda _: None)
    assert await target(client).ask(QUESTION) == {}


async def test_the_page_says_how_to_ask(client: Client) -> None:
    page = (Path(realtime.__file__).parent.parent / "docs/push.md").read_text()
    [snippet] = [one for one in re.findall(r"```python\n(.*?)```", page, re.S) if ".ask(" in one]
    space: dict[str, Any] = {"__name__": __name__}
    exec(snippet, space)
    client.answer("confirm", lambda question: {"is_sure": question["text"] == "Delete all files?"})
    assert await space["is_confirmed"](client.connection)
    assert not await space["is_confirmed"]("nobody.1")


# What goes wrong.


async def test_a_client_may_refuse(client: Client) -> None:
    def refuse(_: Confirm) -> None:
        raise CommandError("busy", "I am on the phone.")

    client.answer(Confirm, refuse)
    error = await refused(target(client).ask(QUESTION))
    assert (error.code, error.message, error.outcome) == ("busy", "I am on the phone.", "refused")


async def test_the_first_answer_counts(client: Client) -> None:
    asking = asyncio.create_task(target(client).ask(QUESTION))
    ref = (await client.next("ask"))["ref"]
    client.send("answer", ref=ref, data={"number": 1})
    reply = await client.ask("answer", ref=ref, data={"number": 2})
    assert reply["code"] == "conflict"
    assert await asking == {"number": 1}


async def test_another_connection_cannot_answer(client: Client) -> None:
    """Not even the same user with the right `ref`."""
    async with connect(token=client.welcome["guest_token"]) as other:
        asking = asyncio.create_task(target(client).ask(QUESTION))
        ref = (await client.next("ask"))["ref"]
        reply = await other.ask("answer", ref=ref, data={"by": "other"})
        assert reply["code"] == "conflict"
        client.send("answer", ref=ref, data={"by": "client"})
        assert await asking == {"by": "client"}


async def test_the_end_of_the_connection_is_told_at_once(client: Client) -> None:
    asking = asyncio.create_task(target(client).ask(QUESTION, timeout=600))
    await client.next("ask")
    await client.drop_connection()
    error = await refused(asking)
    assert (error.code, error.outcome) == ("gone", "unknown")


@pytest.mark.parametrize("number", ["999999", "x"])
async def test_a_connection_that_does_not_exist_is_gone(client: Client, number: str) -> None:
    node = client.connection.partition(".")[0]
    error = await refused(push.connection(f"{node}.{number}").ask(QUESTION, timeout=600))
    assert (error.code, error.outcome) == ("gone", "not_sent")


async def test_a_connection_of_a_process_that_cannot_exist_is_gone(client: Client) -> None:
    """Without a shared layer, this process is the only one."""
    error = await refused(push.connection("other.1").ask(QUESTION, timeout=600))
    assert (error.code, error.outcome) == ("gone", "not_sent")


async def test_no_answer_is_a_timeout_and_a_late_one_is_refused(client: Client) -> None:
    error = await refused(target(client).ask(QUESTION, timeout=0.05))
    assert (error.code, error.outcome) == ("timeout", "unknown")
    ref = (await client.next("ask"))["ref"]
    await eventually(lambda: not len(Engine.here().questions))  # type: ignore[union-attr]
    assert (await client.ask("answer", ref=ref))["code"] == "conflict"


async def test_sync_code_has_a_timeout_too(client: Client) -> None:
    asking = asyncio.to_thread(target(client).ask_and_wait, QUESTION, timeout=0.05)
    assert (await refused(asking)).code == "timeout"
    await eventually(lambda: not len(Engine.here().questions))  # type: ignore[union-attr]


async def test_an_asker_that_is_cancelled_waits_no_longer(client: Client) -> None:
    asking = asyncio.create_task(target(client).ask(QUESTION))
    ref = (await client.next("ask"))["ref"]
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    client.send("answer", ref=ref)
    assert await client.settled() == []


async def test_an_answer_of_another_class_is_an_error(client: Client) -> None:
    client.answer(Confirm, lambda _: {"is_sure": "perhaps"})
    error = await refused(target(client).ask(QUESTION, reply=Confirmed))
    assert error.code == "invalid_answer"
    assert "is_sure" in error.message


async def test_a_large_answer_is_refused_and_the_question_stays_open(client: Client) -> None:
    asking = asyncio.create_task(target(client).ask(QUESTION))
    ref = (await client.next("ask"))["ref"]
    reply = await client.ask("answer", ref=ref, data={"text": "x" * 10_000})
    assert reply["code"] == "too_large"
    client.send("answer", ref=ref, code="too_large")
    assert (await refused(asking)).code == "too_large"


async def test_a_connection_has_a_bounded_number_of_questions(client: Client) -> None:
    asking = [asyncio.create_task(target(client).ask(QUESTION)) for _ in range(MOST)]
    questions = [await client.next("ask") for _ in asking]
    error = await refused(target(client).ask(QUESTION))
    assert (error.code, error.outcome) == ("limit_exceeded", "not_sent")
    for question in questions:
        client.send("answer", ref=question["ref"])
    assert await asyncio.gather(*asking) == [{}] * MOST


async def test_a_process_has_a_bounded_number_of_questions(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.engine.bus.answers.MOST", 0)
    assert (await refused(target(client).ask(QUESTION))).code == "limit_exceeded"


async def test_a_raw_client_cannot_be_asked(engine: Engine) -> None:
    class Raw(Consumer):
        async def on_text(self, text: str) -> str:
            return self.id

    async with connect(application=Raw.as_asgi(), encoding="json") as client:
        pass
    async with connect(application=Raw.as_asgi(), subprotocols=[]) as client:
        client.send_frame("who am I")
        name = await client.next()
        error = await refused(push.connection(str(name)).ask(QUESTION))
        assert (error.code, error.outcome) == ("unsupported", "not_sent")


# What is asked in a wrong way.


@pytest.mark.parametrize("timeout", [0, -1, 3601, float("nan")])
async def test_a_wrong_timeout_is_refused(client: Client, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be above 0"):
        await target(client).ask(QUESTION, timeout=timeout)


async def test_a_question_is_a_struct(client: Client) -> None:
    with pytest.raises(TypeError, match=r"msgspec\.Struct"):
        await target(client).ask({"text": "x"})  # type: ignore[call-overload]


async def test_a_question_with_a_wrong_field_is_not_sent(client: Client) -> None:
    with pytest.raises(InvalidEvent, match="text"):
        await target(client).ask(Confirm(text=1))  # type: ignore[arg-type]


async def test_sync_code_in_a_loop_is_refused(client: Client) -> None:
    with pytest.raises(RuntimeError, match="in async code"):
        target(client).ask_and_wait(QUESTION)


async def test_a_question_inside_a_transaction_is_refused(client: Client) -> None:
    def work() -> None:
        with transaction.atomic(), pytest.raises(RuntimeError, match="transaction is open"):
            target(client).ask_and_wait(QUESTION)
        connections.close_all()  # those of this thread

    await asyncio.to_thread(work)
    assert await client.settled() == []


async def test_a_command_cannot_wait_for_its_own_client(engine: Engine) -> None:
    class Own(Command):
        pass

    class Asks(Consumer):
        @command
        async def own(self, command: Own) -> None:
            error = await refused(push.connection(self.id).ask(QUESTION))
            assert (error.code, error.outcome) == ("own_connection", "not_sent")
            assert "self.spawn" in error.message
            self.spawn(self.beside())

        async def beside(self) -> None:
            self.send(await push.connection(self.id).ask(QUESTION))

    async with connect(application=Asks.as_asgi()) as client:
        client.answer(Confirm, lambda _: {"type": "own"})
        client.send("own")
        assert await client.next("own")


async def test_a_command_in_a_thread_cannot_wait_for_its_own_client(engine: Engine) -> None:
    """It is told why at once, and not after the time of the question."""

    class Own(Command):
        pass

    class Told(Reply):
        code: str

    class Asks(Consumer):
        @command
        def own(self, command: Own) -> Told:
            with pytest.raises(RealtimeError) as caught:
                push.connection(self.id).ask_and_wait(QUESTION)
            return Told(code=caught.value.code)

    async with connect(application=Asks.as_asgi()) as client:
        client.send("own")
        assert (await client.next("told"))["code"] == "own_connection"


# A process that serves no sockets, and does not reach those that do.


@pytest.fixture
def no_server(site: None, settings: Settings) -> Iterator[Settings]:
    settings.CHANNEL_LAYERS = {}
    publisher.reset()
    yield settings
    stop_publisher("flush")


async def test_without_a_shared_layer_a_worker_hears_why_at_once(no_server: Settings) -> None:
    error = await refused(push.connection("abc.1").ask(QUESTION, timeout=600))
    assert (error.code, error.outcome) == ("unavailable", "not_sent")
    assert "CHANNEL_LAYERS" in error.message
    error = await refused(asyncio.to_thread(push.connection("abc.1").ask_and_wait, QUESTION))
    assert error.code == "unavailable"


async def test_a_worker_without_redis_hears_so(no_server: Settings) -> None:
    no_server.CHANNEL_LAYERS = {
        "default": layers("pubsub", f"redis://127.0.0.1:{free_port()}", "x")
    }
    error = await refused(push.connection("abc.1").ask(QUESTION, timeout=60))
    assert (error.code, error.outcome) == ("unavailable", "not_sent")


async def test_a_server_without_redis_hears_so(site: None, settings: Settings) -> None:
    """Of a client at another process; its own clients are asked past the layer."""
    settings.CHANNEL_LAYERS = {"default": layers("pubsub", f"redis://127.0.0.1:{free_port()}", "x")}
    async with testing.engine(GUESTS=True, **UNLIMITED), connect() as client:
        error = await refused(push.connection("abc.1").ask(QUESTION, timeout=60))
        assert error.code == "unavailable"
        client.answer(Confirm, lambda _: {"is_sure": True})
        assert await target(client).ask(QUESTION) == {"is_sure": True}
