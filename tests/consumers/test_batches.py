"""Batch handlers: a list of commands or frames at once, in order, and none of them lost."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from harness.client.encoding import ENCODINGS, decode, encode
from harness.client.in_process import Socket
from harness.client.plain import PlainSocket
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.consumers import (
    Command,
    CommandError,
    Consumer,
    Cost,
    Disconnect,
    Done,
    ErrorCode,
    Reply,
    command,
    frames,
)
from realtime.consumers.handlers import MOST
from realtime.engine.engine import Engine
from realtime.models import Room
from realtime.wire.errors import CloseCode
from tests.consumers.test_frames import limited

LONG = 30.0
"""Much longer than a test, so that only the number ends a batch."""


class Value(Command):
    number: int


class Flush(Command):
    """Another command."""


Seen = list[list[int]]


def upper(batch: int = 3, within: float = LONG, **hooks: Any) -> Any:
    """A raw consumer that notes its batches in `seen`, and answers in capitals."""

    class Upper(Consumer):
        seen: list[list[str]]

        @frames(batch=batch, within=within)
        async def on_text(self, texts: list[str]) -> list[str]:
            self.seen.append(texts)
            return [text.upper() for text in texts]

    return type("Own", (Upper,), {"seen": [], **hooks})


def values(
    seen: Seen,
    answer: Callable[[list[Value]], Any] = lambda commands: None,
    *,
    batch: int = 3,
    within: float = LONG,
    cost: Cost | None = None,
) -> Any:
    """A consumer that notes its batches in `seen`, and answers as `answer` says."""

    class Values(Consumer):
        @command(batch=batch, within=within, cost=cost)
        async def value(self, commands: list[Value]) -> Any:
            seen.append([command.number for command in commands])
            result = answer(commands)
            return await result if asyncio.iscoroutine(result) else result

        @command
        async def flush(self, command: Flush) -> Done:
            seen.append([])
            return Done()

    return Values


def each_done(commands: list[Value]) -> list[Any]:
    return [Done(note=str(command.number)) for command in commands]


# Gathering.


async def test_a_full_batch_is_handled_at_once(engine: Engine) -> None:
    """In the order of arrival; the replies are in that order too."""
    consumer = upper()
    async with PlainSocket(consumer.as_asgi()) as socket:
        for text in "abcdefg":
            await socket.send(text)
        assert [await socket.receive() for _ in range(6)] == list("ABCDEF")
        assert consumer.seen == [["a", "b", "c"], ["d", "e", "f"]]
        assert socket.waiting == 0


async def test_a_batch_is_handled_in_time_after_its_first_item(engine: Engine) -> None:
    """However many follow, and the next batch begins with the next item."""
    consumer = upper(batch=1000, within=0.2)
    async with PlainSocket(consumer.as_asgi()) as socket:
        began = time.monotonic()
        for _ in range(8):
            await socket.send("a")
            await asyncio.sleep(0.05)  # the client's own pace
        assert await socket.receive() == "A"
        assert await socket.ask("b") == "A"
        assert time.monotonic() - began > 0.2
        await eventually(lambda: sum(map(len, consumer.seen)) == 9)
        assert 2 <= len(consumer.seen) <= 4
        assert all(consumer.seen)


async def test_a_single_item_waits_no_longer_than_said(engine: Engine) -> None:
    async with PlainSocket(upper(batch=50, within=0.1).as_asgi()) as socket:
        began = time.monotonic()
        assert await socket.ask("a") == "A"
        assert 0.08 < time.monotonic() - began < 5


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_replies_to_commands_have_their_refs_and_are_sent_together(
    engine: Engine, encoding: str
) -> None:
    """One frame, where the encoding has frames of several objects."""
    application = values([], each_done).as_asgi()
    async with Socket(application=application, encoding=encoding) as socket:
        before = len(socket.frames)
        for number in range(3):
            await socket.send("value", number=number, ref=number)
        found = [await socket.receive() for _ in range(3)]
        assert found == [{"type": "done", "note": str(one), "ref": one} for one in range(3)]
        assert len(socket.frames) - before == (3 if encoding == "json" else 1)


@pytest.mark.parametrize("encoding", ["ndjson", "msgpack"])
async def test_one_frame_may_fill_several_batches(engine: Engine, encoding: str) -> None:
    seen: Seen = []
    application = values(seen, each_done, within=0.05).as_asgi()
    async with Socket(application=application, encoding=encoding) as socket:
        parts: Any = [encode(encoding, {"type": "value", "number": one}) for one in range(8)]
        await socket.raw(b"".join(parts) if encoding == "msgpack" else "\n".join(parts))
        notes = [(await socket.receive())["note"] for _ in range(8)]
        assert notes == [str(one) for one in range(8)]
        assert seen == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_another_command_is_handled_after_what_came_before_it(engine: Engine) -> None:
    """It ends the batch; a ping does not."""
    seen: Seen = []
    async with Socket(application=values(seen, each_done).as_asgi()) as socket:
        await socket.send("value", number=1)
        assert (await socket.ask("ping"))["type"] == "pong"
        assert seen == []
        await socket.ask("flush")
        await socket.send("value", number=2)
        await socket.ask("auth", name="Grace")
        assert seen == [[1], [], [2]]


async def test_text_and_bytes_keep_their_order(engine: Engine) -> None:
    order: list[Any] = []

    class Mixed(Consumer):
        @frames(batch=10, within=LONG)
        async def on_text(self, texts: list[str]) -> None:
            order.append(texts)

        async def on_bytes(self, data: bytes) -> bytes:
            order.append(data)
            return data

    async with PlainSocket(Mixed.as_asgi()) as socket:
        await socket.send("a")
        await socket.send("b")
        await socket.ask(b"c")
        assert order == [["a", "b"], b"c"]


async def test_a_batch_may_be_answered_by_one_frame(engine: Engine) -> None:
    class Joined(Consumer):
        @frames(batch=3, within=LONG)
        async def on_text(self, texts: list[str]) -> str:
            return ",".join(texts)

    async with PlainSocket(Joined.as_asgi()) as socket:
        for text in "ab":
            await socket.send(text)
        assert await socket.ask("c") == "a,b,c"


async def test_a_client_is_read_again_after_a_slow_batch(engine: Engine) -> None:
    """The watchdog stops reading while a handler takes long, also one that no frame has begun."""

    async def slowly(commands: list[Value]) -> list[Any]:
        await eventually(lambda: bool(intake._pauses))
        return each_done(commands)

    async with Socket(application=values([], slowly, within=0.01).as_asgi()) as socket:
        [connection] = engine.connections.values()
        assert connection.intake is not None
        intake = connection.intake
        await socket.ask("value", number=1)
        await eventually(lambda: not intake._pauses)


# Errors.


async def test_a_refused_batch_is_refused_to_each(engine: Engine) -> None:
    def refuse(commands: list[Value]) -> None:
        raise CommandError(ErrorCode.PERMISSION_DENIED, "No.")

    async with Socket(application=values([], refuse).as_asgi()) as socket:
        for number in range(3):
            await socket.send("value", number=number, ref=number)
        found = [await socket.receive() for _ in range(3)]
        assert [(one["code"], one["ref"]) for one in found] == [
            ("permission_denied", number) for number in range(3)
        ]


async def test_one_command_of_a_batch_may_be_refused(engine: Engine) -> None:
    def odd_only(commands: list[Value]) -> list[Any]:
        refusal = CommandError(ErrorCode.PERMISSION_DENIED, "No.", path="number")
        return [Done() if one.number % 2 else refusal for one in commands]

    async with Socket(application=values([], odd_only).as_asgi()) as socket:
        for number in range(3):
            await socket.send("value", number=number, ref=number)
        found = {one["ref"]: one for one in [await socket.receive() for _ in range(3)]}
        assert [found[one]["type"] for one in range(3)] == ["error", "done", "error"]
        assert found[0]["path"] == "number"


async def test_a_reply_that_cannot_be_encoded_leaves_each_command_with_one_answer(
    engine: Engine,
) -> None:
    """Also those that the same batch has refused."""

    class Answer(Reply):
        value: Any

    def answer(commands: list[Value]) -> list[Any]:
        return [Answer(value=1), CommandError("bad", "Bad."), Answer(value=object())]

    async with Socket(application=values([], answer).as_asgi()) as socket:
        for number in range(3):
            await socket.send("value", number=number, ref=number)
        await socket.all("error", 3)
        await socket.settled()
        errors = [one for one in socket.seen if one["type"] == "error"]
        assert [(one["ref"], one["code"]) for one in errors] == [(n, "internal") for n in range(3)]


WRONG: dict[str, Callable[[list[Value]], Any]] = {
    "an exception": lambda commands: 1 / 0,
    "too few replies": lambda commands: [Done()],
    "one reply": lambda commands: Done(),
    "no reply at all, but text": lambda commands: ["a", "b", "c"],
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_batch_that_fails_is_answered_to_each(engine: Engine, name: str) -> None:
    """Five of them in a row end the connection."""
    async with Socket(application=values([], WRONG[name]).as_asgi()) as socket:
        for number in range(15):
            await socket.send("value", number=number, ref=number)
        assert (await socket.ended())[1] == CloseCode.TOO_MANY_ERRORS
        errors = [one for one in socket.seen if one["type"] == "error"]
        assert [(one["code"], one["ref"]) for one in errors] == [
            ("internal", number) for number in range(15)
        ]


async def test_a_batch_that_hangs_is_cancelled_and_answered_to_each(
    engine: Engine, settings: Settings
) -> None:
    limited(settings, HANDLER_SECONDS=0.5)

    async def hang(commands: list[Value]) -> None:
        await asyncio.sleep(3600)

    async with Socket(application=values([], hang, batch=2).as_asgi()) as socket:
        await socket.send("value", number=1, ref=1)
        await socket.send("value", number=2, ref=2)
        found = [await socket.receive() for _ in range(2)]
        assert [(one["code"], one["ref"]) for one in found] == [
            ("unavailable", 1),
            ("unavailable", 2),
        ]
        assert (await socket.ask("flush"))["type"] == "done"


async def test_each_command_is_paid_for_when_it_arrives(engine: Engine, settings: Settings) -> None:
    """One beyond the allowance is refused at once, and is in no batch."""
    limited(settings, ACTS_PER_MINUTE=2)
    seen: Seen = []
    async with Socket(application=values(seen, each_done, cost=Cost("act")).as_asgi()) as socket:
        await socket.send("value", number=1, ref=1)
        await socket.send("value", number=2, ref=2)
        assert await socket.refused("value", number=3) == "rate_limited"
        assert seen == []
        await socket.ask("flush")
        assert seen == [[1, 2], []]


async def test_an_invalid_command_is_refused_alone(engine: Engine) -> None:
    seen: Seen = []
    async with Socket(application=values(seen, each_done).as_asgi()) as socket:
        await socket.send("value", number=1)
        assert await socket.refused("value", number="x") == "invalid_message"
        await socket.send("value", number=2)
        await socket.ask("value", number=3)
        assert seen == [[1, 2, 3]]


# Ends.


async def test_what_is_gathered_when_the_client_leaves_is_handled(engine: Engine) -> None:
    """Before the consumer hears of the end."""
    order: list[Any] = []

    async def on_disconnect(self: Any) -> None:
        order.append((list(self.seen), self.connection.phase.name))

    consumer = upper(on_disconnect=on_disconnect)
    async with PlainSocket(consumer.as_asgi()) as socket:
        await socket.send("a")
        await socket.send("b")
    await eventually(lambda: bool(order))
    assert order == [([["a", "b"]], "CLOSED")]


async def test_what_is_gathered_when_the_server_shuts_down_is_handled(engine: Engine) -> None:
    consumer = upper()
    async with PlainSocket(consumer.as_asgi()) as socket:
        await socket.send("a")
        await eventually(lambda: bool(gathered(engine)))
        stopping = asyncio.create_task(engine.stop())
        assert await socket.closed() == CloseCode.SHUTDOWN
        await socket.communicator.send_input({"type": "websocket.disconnect", "code": 4001})
        await stopping
    assert consumer.seen == [["a"]]


async def test_what_is_gathered_when_the_task_is_cancelled_is_handled(engine: Engine) -> None:
    consumer = upper()
    socket = PlainSocket(consumer.as_asgi())
    await socket.__aenter__()
    await socket.send("a")
    await eventually(lambda: bool(gathered(engine)))
    socket.communicator.future.cancel()
    await asyncio.wait([socket.communicator.future])
    assert consumer.seen == [["a"]]
    assert engine.connections == {}
    await eventually(lambda: not any("Inbox" in repr(one) for one in asyncio.all_tasks()))


async def test_a_batch_that_is_being_handled_is_cancelled_with_the_task(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says that, and how many items it had; nothing is held."""
    cancelled: list[int] = []

    async def hang(commands: list[Value]) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(len(commands))
            raise

    seen: Seen = []
    socket = Socket(application=values(seen, hang, batch=2).as_asgi())
    await socket.open()
    await socket.send("value", number=1)
    await socket.send("value", number=2)
    await eventually(lambda: bool(seen))
    socket.communicator.future.cancel()
    await asyncio.wait([socket.communicator.future])
    assert cancelled == [2]
    assert "a batch of 2 was cancelled" in caplog.text
    assert engine.connections == {}
    assert engine.watchdog._since == {}


async def test_a_last_batch_that_fails_or_ends_leaves_nothing(engine: Engine) -> None:
    """Five failures and a `Disconnect` in it have no connection to close any more."""

    def end(commands: list[Value]) -> None:
        raise Disconnect(4400)

    for answer in (end, WRONG["an exception"]):
        seen: Seen = []
        socket = Socket(application=values(seen, answer).as_asgi())
        await socket.open()
        await socket.send("value", number=1)
        await socket.close()
        await socket.communicator.wait()
        assert seen == [[1]]
        assert engine.connections == {}


@pytest.mark.parametrize(
    ("code", "is_handled"),
    [
        (CloseCode.KICKED, False),
        (CloseCode.EXPIRED, False),
        (CloseCode.UNAUTHENTICATED, False),
        (4900, False),
        (CloseCode.SILENT, True),
        (CloseCode.SLOW, True),
    ],
)
async def test_a_batch_of_a_connection_that_the_site_ends_is_dropped(
    engine: Engine, code: int, is_handled: bool
) -> None:
    """Its user may not be here any more; one that the network ends has sent it in time."""
    ended: list[int] = []

    async def on_disconnect(self: Any) -> None:
        ended.append(1)

    consumer = upper(on_disconnect=on_disconnect)
    async with PlainSocket(consumer.as_asgi()) as socket:
        await socket.send("a")
        await eventually(lambda: bool(gathered(engine)))
        [connection] = engine.connections.values()
        connection.close(Disconnect(code))
        assert await socket.closed() == code
    await eventually(lambda: bool(ended))
    assert consumer.seen == ([["a"]] if is_handled else [])


async def test_a_batch_that_is_due_after_the_user_was_sent_away_is_dropped(engine: Engine) -> None:
    """While the close is under way, the handler is not called by its time either."""
    consumer = upper(within=0.05)
    async with PlainSocket(consumer.as_asgi()) as socket:
        await socket.send("a")
        await eventually(lambda: bool(gathered(engine)))
        [connection] = engine.connections.values()
        connection.close(Disconnect(CloseCode.KICKED))
        await eventually(lambda: not gathered(engine))
        assert await socket.closed() == CloseCode.KICKED
    assert consumer.seen == []


def gathered(engine: Engine) -> list[Any]:
    """What the consumers of all connections have gathered."""
    consumers: list[Any] = [one.events for one in engine.connections.values()]
    batches = [one._lifecycle._frames._batch for one in consumers]
    return [item for batch in batches if batch is not None for item in batch.items]


# Floods.


async def test_a_flood_keeps_its_order_and_is_held_back_by_a_slow_handler(engine: Engine) -> None:
    """No more than one batch is held, whatever the client has sent."""
    largest = 0
    got: list[int] = []

    async def slowly(commands: list[Value]) -> list[Any]:
        nonlocal largest
        largest = max(largest, len(commands), len(gathered(engine)))
        await asyncio.sleep(0.001)
        got.extend(one.number for one in commands)
        return each_done(commands)

    application = values([], slowly, batch=50, within=0.01).as_asgi()
    async with Socket(application=application, encoding="ndjson") as socket:
        for first in range(0, 5000, 100):
            lines = [{"type": "value", "number": one} for one in range(first, first + 100)]
            await socket.raw("\n".join(map(json.dumps, lines)))
        await eventually(lambda: len(got) == 5000, 30)
        assert got == list(range(5000))
        assert largest <= 50
        notes: list[str] = []
        while len(notes) < 5000:
            frame = await socket._next_frame(15)
            notes += [one["note"] for one in decode("ndjson", frame)]
        assert notes == [str(one) for one in range(5000)]


async def test_a_flood_of_tiny_frames_leaves_others_their_turn(engine: Engine) -> None:
    async with PlainSocket(upper(batch=50).as_asgi()) as flood, Socket() as other:
        for _ in range(5000):
            await flood.send("x")
        began = time.monotonic()
        await other.ask("ping")
        assert time.monotonic() - began < 5
        assert flood.waiting < 5000
        for _ in range(5000):
            assert await flood.receive() == "X"


@pytest.fixture
async def threaded(room: Room) -> AsyncIterator[Engine]:
    """An engine with threads of its own."""
    async with testing.engine(GUESTS=True, DB_THREADS=2, CALL_THREADS=1, **UNLIMITED) as running:
        yield running


async def test_a_batch_handler_may_be_a_plain_function(threaded: Engine) -> None:
    class Upper(Consumer):
        @frames(batch=3, within=LONG)
        def on_text(self, texts: list[str]) -> list[str]:
            time.sleep(0.01)
            return [text.upper() for text in texts]

    async with PlainSocket(Upper.as_asgi()) as socket:
        for text in "abc":
            await socket.send(text)
        assert [await socket.receive() for _ in range(3)] == ["A", "B", "C"]
        await socket.send("d")
    assert threaded.connections == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"batch": -1}, "batch=-1 is not possible: write a number from 1 to 1000."),
        ({"batch": MOST + 1}, "write a number from 1 to 1000."),
        ({"batch": 5, "within": 0}, "within=0 is not possible: write seconds, above 0"),
        ({"batch": 5, "within": float("nan")}, "within=nan is not possible"),
        ({"batch": 5, "within": 61}, "above 0 and at most 60."),
    ],
)
def test_a_batch_that_is_not_possible_is_told(given: dict[str, Any], told: str) -> None:
    for decorator in (command, frames):
        with pytest.raises(ValueError, match="is not possible") as raised:
            decorator(**given)
        assert told in str(raised.value)
