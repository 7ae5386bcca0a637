"""What a consumer knows of its connection, sends, closes, and runs in the background."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pytest
from channels.routing import URLRouter
from django.urls import path

from harness.client.encoding import ENCODINGS
from harness.client.in_process import Socket
from harness.client.plain import PlainSocket
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.auth.guests import token_of
from realtime.consumers import (
    Command,
    CommandError,
    Consumer,
    Disconnect,
    ErrorCode,
    Outgoing,
    Reply,
    command,
)
from realtime.consumers import background as background_module
from realtime.consumers.topics.site_clients import subscribe
from realtime.engine.engine import Engine
from realtime.models import Entry, Room
from realtime.store.accounts.identity import Identity
from realtime.topics import Event, Topic
from realtime.topics.registry import registry
from realtime.wire.errors import CloseCode
from tests.consumers.test_frames import limited


class Told(Outgoing):
    text: str
    at: datetime | None = None


class Do(Command):
    what: str


class Doing(Consumer):
    """Does what a test says, for the command `do` and for a raw frame."""

    actions: Any = None

    @command
    async def do(self, command: Do) -> None:
        await self._do(command.what)

    async def on_text(self, text: str) -> None:
        await self._do(text)

    async def _do(self, name: str) -> None:
        result = self.actions[name](self)
        if asyncio.iscoroutine(result):
            await result


def doing(**actions: Any) -> Any:
    return type("Own", (Doing,), {"actions": actions}).as_asgi()  # type: ignore[attr-defined]


# The connection.


async def test_a_consumer_sees_the_request_of_its_client(engine: Engine) -> None:
    """The converted parameters of the route, the headers, the query, the subprotocol."""
    seen: list[Any] = []

    class Looking(Consumer):
        subprotocols = ("mine",)

        async def on_connect(self) -> None:
            seen.append(self.connection)

        async def on_text(self, text: str) -> None: ...

    application: Any = URLRouter([path("board/<int:pk>/<slug:name>/", Looking.as_asgi())])
    headers = [(b"x-device", b"7"), (b"x-many", b"a"), (b"x-many", b"b")]
    async with PlainSocket(
        application,
        "/board/7/red/?a=1&a=2&token=",
        headers=headers,
        subprotocols=["mine"],
    ):
        [connection] = seen
        assert connection.parameters == {"pk": 7, "name": "red"}
        assert (connection.path, connection.subprotocol) == ("/board/7/red/", "mine")
        assert (connection.headers["X-Device"], connection.headers["x-many"]) == ("7", "a, b")
        assert connection.headers.get("cookie") is None
        assert connection.query.getlist("a") == ["1", "2"]
        assert connection.identity.is_guest
        assert connection.peer_address == "192.0.2.1"
        assert connection.id in engine.connections


async def test_a_consumer_does_not_see_the_token_of_its_client(engine: Engine) -> None:
    """Not in the query, the headers or the subprotocol, from which a site may log."""
    seen: list[Any] = []

    class Looking(Consumer):
        async def on_connect(self) -> None:
            seen.append(self.connection)

        async def on_text(self, text: str) -> None: ...

    token = token_of(Identity("guest:" + "a" * 32, "Ada"))
    for offered, query in ([f"realtime.token.{token}"], ""), (None, f"?a=1&token={token}"):
        async with PlainSocket(Looking.as_asgi(), f"/ws{query}", subprotocols=offered):
            connection = seen.pop()
            told = f"{connection.query} {connection.headers} {connection.subprotocol}"
            assert token not in told
            assert connection.identity.username == "Ada"


# Sending.


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_data_and_structs_are_sent_in_the_clients_encoding(
    engine: Engine, encoding: str
) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    application = doing(
        dict=lambda self: self.send({"type": "told", "at": at, "sum": Decimal("1.20")}),
        event=lambda self: self.send(Told(text="hé", at=at)),
    )
    async with Socket(application=application, encoding=encoding) as socket:
        await socket.send("do", what="dict")
        assert await socket.receive() == {
            "type": "told",
            "at": "2026-01-02T03:04:05Z",
            "sum": "1.20",
        }
        await socket.send("do", what="event")
        assert await socket.receive() == {
            "type": "told",
            "text": "hé",
            "at": "2026-01-02T03:04:05Z",
        }


class Typed(Command):
    day: date
    at: datetime
    total: Decimal
    key: UUID
    data: bytes = b""


class TypedBack(Reply):
    day: date
    at: datetime
    total: Decimal
    key: UUID


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_typed_values_are_the_same_in_each_encoding(engine: Engine, encoding: str) -> None:
    """Dates, decimals and keys are text on the wire, and typed in the handler."""

    class Same(Consumer):
        @command
        async def typed(self, command: Typed) -> TypedBack:
            assert isinstance(command.total, Decimal)
            return TypedBack(day=command.day, at=command.at, total=command.total, key=command.key)

    given = {
        "day": "2026-01-02",
        "at": "2026-01-02T03:04:05Z",
        "total": "1.20",
        "key": "12345678-1234-5678-1234-567812345678",
    }
    async with Socket(application=Same.as_asgi(), encoding=encoding) as socket:
        reply = await socket.ask("typed", **given)
        assert reply == {"type": "typed_back", "ref": reply["ref"], **given}
        error = await socket.ask("typed", **given | {"total": "x"})
        assert (error["code"], error["path"]) == ("invalid_message", "total")


@pytest.mark.parametrize("data", ["text", 7, None, [1], b"x"])
async def test_a_client_of_the_protocol_gets_only_objects(engine: Engine, data: Any) -> None:
    """The exception says what to send."""
    async with Socket(application=doing(send=lambda self: self.send(data))) as socket:
        assert await socket.refused("do", what="send") == "internal"


async def test_a_raw_client_gets_text_bytes_and_data(engine: Engine) -> None:
    given = ["text", b"x", bytearray(b"y"), {"a": 1}, [1], Told(text="a"), 7, None]
    sent = ["text", b"x", b"y", '{"a":1}', "[1]", '{"type":"told","text":"a"}', "7", "null"]
    application = doing(send=lambda self: [self.send(one) for one in given])
    async with PlainSocket(application) as socket:
        await socket.send("send")
        assert [await socket.receive() for _ in sent] == sent


async def test_a_client_that_takes_nothing_is_closed_as_slow(
    engine: Engine, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox of a raw client is bounded as any other."""
    limited(settings, OUTBOX_FRAMES=10)

    def flood(self: Consumer) -> None:
        self.outbox._pause()  # as the server does when the socket is full
        for _ in range(20):
            self.send("x")

    async with PlainSocket(doing(flood=flood)) as socket:
        await socket.send("flood")
        assert await socket.closed() == CloseCode.SLOW


class Moved(Event):
    cell: int


async def test_a_consumer_publishes_to_a_topic(engine: Engine) -> None:
    """The event is stored as any that the site publishes."""
    with registry.isolated():

        class BoardTopic(Topic):
            path = "published-board"
            events: ClassVar[Any] = [Moved]
            keep = timedelta(days=1)

            def may_subscribe(self) -> bool:
                return True

        application = doing(publish=lambda self: self.publish(BoardTopic(), Moved(cell=4)))
        async with PlainSocket(application) as socket:
            await socket.send("publish")
            stored = Entry.objects.filter(log__name="published-board")
            deadline = asyncio.get_running_loop().time() + 10
            while not (found := [one async for one in stored.values("type", "data")]):
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.01)
    assert [one["type"] for one in found] == ["moved"]


async def test_a_consumer_of_this_package_is_told_how_its_client_subscribes(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """`subscribe` is for consumers of Channels."""
    application = doing(subscribe=lambda self: subscribe(self, "board"))
    async with PlainSocket(application) as socket:
        assert "internal" in str(await socket.ask("subscribe"))
    assert "derive the consumer from `realtime.consumers.Subscribing`" in caplog.text


# Closing.


@pytest.mark.parametrize("code", [1000, 4400, 4999, CloseCode.KICKED])
async def test_a_consumer_closes_its_connection(engine: Engine, code: int) -> None:
    application = doing(close=lambda self: self.close(code, "Bye."))
    async with Socket(application=application) as socket:
        await socket.send("do", what="close")
        told, closed = await socket.ended()
        assert (told["code"], closed, told["reason"]) == (code, code, "Bye.")
    async with PlainSocket(application) as plain:
        await plain.send("close")
        assert (await plain.closed(), plain.reason) == (code, "Bye.")


@pytest.mark.parametrize(("code", "raw"), [(1003, False), (4600, True), (3001, True), (0, False)])
async def test_a_code_that_is_not_for_sites_is_refused(
    engine: Engine, code: int, raw: bool
) -> None:
    application = doing(close=lambda self: self.close(code))
    async with Socket(application=application) as socket:
        assert await socket.refused("do", what="close") == "internal"
    async with PlainSocket(application) as plain:
        await plain.send("close")
        if raw:
            assert await plain.closed() == code
        else:
            assert "internal" in str(await plain.receive())


@pytest.mark.parametrize("reason", ["é" * 200, "x" * 124, "😀" * 31, "😀" * 40])
async def test_a_long_reason_is_cut_for_the_close_frame(engine: Engine, reason: str) -> None:
    """Servers raise an error for more than 123 bytes; the event before it has all of them."""
    application = doing(close=lambda self: self.close(4400, reason))
    async with PlainSocket(application) as plain:
        await plain.send("close")
        assert await plain.closed() == 4400
        assert 100 < len(plain.reason.encode()) <= 123
        assert reason.startswith(plain.reason)
    async with Socket(application=application) as socket:
        await socket.send("do", what="close")
        assert (await socket.expect("disconnect"))["reason"] == reason


# In the background.


class Ticking(Consumer):
    """Counts until its connection closes."""

    ended: list[str]

    async def on_connect(self) -> None:
        self.spawn(self.tick())

    async def on_text(self, text: str) -> str:
        return text

    async def on_disconnect(self) -> None:
        self.ended.append("disconnect")

    async def tick(self) -> None:
        number = 0
        try:
            while True:
                self.send(str(number := number + 1))
                await asyncio.sleep(0.01)
        finally:
            await asyncio.sleep(0)
            self.ended.append("tick")


async def test_what_runs_in_the_background_ends_with_the_connection(engine: Engine) -> None:
    """It has ended when the consumer hears of the end."""
    consumer = type("Own", (Ticking,), {"ended": []})
    async with PlainSocket(consumer.as_asgi()) as socket:  # type: ignore[attr-defined]
        assert [await socket.receive() for _ in range(3)] == ["1", "2", "3"]
    await eventually(lambda: len(consumer.ended) == 2)  # type: ignore[attr-defined]
    assert consumer.ended == ["tick", "disconnect"]  # type: ignore[attr-defined]


async def test_what_ends_by_itself_is_forgotten(engine: Engine) -> None:
    async def once(self: Any) -> None:
        self.send("done")

    application = doing(spawn=lambda self: self.spawn(once(self)))
    async with PlainSocket(application) as socket:
        for _ in range(20):
            assert await socket.ask("spawn") == "done"
        [connection] = engine.connections.values()
        consumer: Any = connection.events
        await eventually(lambda: not consumer._background._tasks)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("odd"), CloseCode.INTERNAL),
        (CommandError(ErrorCode.UNAVAILABLE, "No."), CloseCode.INTERNAL),
        (Disconnect(4400, "Enough."), 4400),
    ],
)
async def test_an_exception_in_the_background_closes_the_connection(
    engine: Engine, caplog: pytest.LogCaptureFixture, error: Exception, code: int
) -> None:
    async def fail() -> None:
        raise error

    async with Socket(application=doing(spawn=lambda self: self.spawn(fail()))) as socket:
        await socket.send("do", what="spawn")
        assert (await socket.ended())[1] == code
    assert ("a background task failed" in caplog.text) == (code == CloseCode.INTERNAL)
    assert ("ValueError: odd" in caplog.text) == isinstance(error, ValueError)


async def test_a_task_that_a_consumer_cancels_closes_nothing(engine: Engine) -> None:
    async def wait() -> None:
        await asyncio.sleep(3600)

    application = doing(
        cancel=lambda self: self.spawn(wait()).cancel(), say=lambda self: self.send("x")
    )
    async with PlainSocket(application) as socket:
        await socket.send("cancel")
        assert await socket.ask("say") == "x"


async def test_a_task_that_ignores_its_cancellation_holds_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "STOP_SECONDS", 0.05)
    free = asyncio.Event()

    async def stubborn() -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    async with PlainSocket(doing(spawn=lambda self: self.spawn(stubborn()))) as socket:
        await socket.send("spawn")
        await asyncio.sleep(0.01)
    await eventually(lambda: not engine.connections)
    assert "1 background tasks ignore their cancellation" in caplog.text
    free.set()


async def test_nothing_runs_in_the_background_of_a_closed_connection(engine: Engine) -> None:
    raised: list[str] = []

    class Late(Consumer):
        async def on_text(self, text: str) -> None: ...

        async def on_disconnect(self) -> None:
            try:
                self.spawn(asyncio.sleep(0))
            except RuntimeError as error:
                raised.append(str(error))

    async with PlainSocket(Late.as_asgi()):
        pass
    await eventually(lambda: bool(raised))
    assert raised == ["The connection is closed: nothing can run in its background."]


@pytest.mark.parametrize("work", [5, test_nothing_runs_in_the_background_of_a_closed_connection])
async def test_only_a_coroutine_can_run_in_the_background(
    engine: Engine, caplog: pytest.LogCaptureFixture, work: Any
) -> None:
    """A function that was not called is the likely mistake."""
    async with Socket(application=doing(spawn=lambda self: self.spawn(work))) as socket:
        assert await socket.refused("do", what="spawn") == "internal"
    assert "call the function first" in caplog.text


async def test_nothing_begins_in_the_background_while_that_ends(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """As in the `finally` of what is cancelled: it would run on without its connection."""
    begun: list[str] = []

    class Restarting(Consumer):
        async def on_text(self, text: str) -> None: ...

        async def on_connect(self) -> None:
            self.spawn(self.tick())

        async def tick(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.spawn(self.again())

        async def again(self) -> None:
            begun.append("again")
            await asyncio.Event().wait()

    async with PlainSocket(Restarting.as_asgi()):
        pass
    await eventually(lambda: not engine.connections)
    assert "nothing can run in its background" in caplog.text
    assert begun == []
    assert not any("again" in repr(task) for task in asyncio.all_tasks())


# Threads.


@pytest.fixture
async def threaded(room: Room) -> AsyncIterator[Engine]:
    """An engine with threads of its own."""
    async with testing.engine(GUESTS=True, DB_THREADS=2, CALL_THREADS=2, **UNLIMITED) as running:
        yield running


class InThread(Consumer):
    """Plain functions: they do not run in the event loop."""

    @command
    def do(self, command: Do) -> TypedBack | None:
        self.on_text(command.what)
        return None

    def on_text(self, text: str) -> str:
        assert threading.current_thread() is not threading.main_thread()
        match text:
            case "send":
                self.send({"type": "told", "text": "first"})
            case "close":
                self.close(4400)
            case "raise":
                raise ValueError("odd")
            case "refuse":
                raise CommandError(ErrorCode.PERMISSION_DENIED, "No.")
            case "models":
                return str(Room.objects.count())
        return "last"

    def on_bytes(self, data: bytes) -> bytes:
        return data[::-1]


async def test_a_plain_function_runs_in_a_thread(threaded: Engine) -> None:
    """What it sends comes before what it returns; its errors are those of any handler."""
    async with PlainSocket(InThread.as_asgi()) as socket:
        for _ in range(20):
            assert await socket.ask("send") == '{"type":"told","text":"first"}'
            assert await socket.receive() == "last"
        assert await socket.ask(b"ab") == b"ba"
        assert await socket.ask("models") == "1"
        assert "internal" in str(await socket.ask("raise"))
        assert "permission_denied" in str(await socket.ask("refuse"))
        await socket.send("close")
        assert await socket.closed() == 4400


async def test_a_plain_function_handles_a_command(threaded: Engine) -> None:
    async with Socket(application=InThread.as_asgi()) as socket:
        await socket.send("do", what="send")
        assert (await socket.receive())["text"] == "first"
        assert await socket.refused("do", what="raise") == "internal"


async def test_a_plain_function_cannot_start_a_coroutine(
    threaded: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what to write, and nothing is left unawaited."""

    class Spawns(Consumer):
        def on_text(self, text: str) -> None:
            self.spawn(asyncio.sleep(0))

    async with PlainSocket(Spawns.as_asgi()) as socket:
        assert "internal" in str(await socket.ask("x"))
    assert "spawn() needs an async handler: write `async def`." in caplog.text


async def test_plain_functions_that_hang_starve_nobody(threaded: Engine, settings: Any) -> None:
    """The reads of the engine have threads of their own; those who wait are told.

    What has begun in one of the two threads cannot be interrupted: its outcome is not known.
    """
    limited(settings, HANDLER_SECONDS=0.6)
    free = threading.Event()

    class Hangs(Consumer):
        def on_text(self, text: str) -> str:
            free.wait(20)
            return text

    sockets = [PlainSocket(Hangs.as_asgi()) for _ in range(4)]
    try:
        for socket in sockets:
            await socket.__aenter__()
            await socket.send("x")
        async with Socket() as other:
            await other.join("general")  # reads the database
            errors = [json.loads(await socket.receive()) for socket in sockets]
        assert {one["code"] for one in errors} == {"unavailable"}
        assert [one.get("outcome") for one in errors] == ["unknown", "unknown", None, None]
    finally:
        free.set()
        for socket in sockets:
            await socket.communicator.disconnect(timeout=30)


async def test_a_plain_function_sees_the_transaction_of_a_test(engine: Engine) -> None:
    """Under `realtime.testing.engine` it runs in Django's own thread."""

    class Counting(Consumer):
        def on_text(self, text: str) -> str:
            return str(Room.objects.count())

    async with PlainSocket(Counting.as_asgi()) as socket:
        assert await socket.ask("x") == "1"
