"""Raw consumers: frames of clients that do not speak protocol v1."""

import asyncio
import json
import time
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from harness.client.in_process import Socket
from harness.client.plain import PlainSocket
from harness.waiting import eventually
from realtime.consumers import (
    Command,
    CommandError,
    Consumer,
    Cost,
    Disconnect,
    Done,
    ErrorCode,
    command,
    frames,
)
from realtime.engine.engine import EVERYONE, Engine, user_topic
from realtime.wire.errors import CloseCode
from realtime.wire.events import Notice
from tests.consumers.test_frames import limited
from tests.consumers.test_sign_in import strict, token_for

__all__ = ["strict"]

TEXTS = ["hé", "", "x" * 60_000, '{"type":"ping"}', "\0", "7"]


class Echo(Consumer):
    """Sends back what it gets."""

    async def on_text(self, text: str) -> str:
        return text

    async def on_bytes(self, data: bytes) -> bytes:
        return data


class OnlyText(Consumer):
    async def on_text(self, text: str) -> Any:
        match text:
            case "none":
                return None
            case "data":
                return {"a": [1, None]}
            case "bytes":
                return b"\x00\xff"
            case "refuse":
                raise CommandError(ErrorCode.PERMISSION_DENIED, "No.", path="a.b")
            case "raise":
                raise ValueError("secret")
            case "end":
                raise Disconnect(4400, "Later.")
        return text


@pytest.mark.parametrize("text", TEXTS)
async def test_text_and_bytes_are_sent_back(engine: Engine, text: str) -> None:
    """There is no welcome and no subprotocol: the first frame is the answer."""
    async with PlainSocket(Echo.as_asgi()) as socket:
        assert socket.subprotocol is None
        assert await socket.ask(text) == text
        assert await socket.ask(text.encode()) == text.encode()
        assert socket.waiting == 0


async def test_replies_may_be_text_bytes_data_or_nothing(engine: Engine) -> None:
    async with PlainSocket(OnlyText.as_asgi()) as socket:
        await socket.send("none")
        assert await socket.ask("data") == '{"a":[1,null]}'
        assert await socket.ask("bytes") == b"\x00\xff"


async def test_a_refusal_is_sent_as_json_text(engine: Engine) -> None:
    async with PlainSocket(OnlyText.as_asgi()) as socket:
        error = json.loads(await socket.ask("refuse"))
        assert error == {
            "type": "error",
            "code": "permission_denied",
            "message": "No.",
            "retryable": False,
            "path": "a.b",
        }
        assert await socket.ask("x") == "x"


async def test_five_exceptions_in_a_row_end_the_connection(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The client hears `internal` each time, and nothing of the exception."""
    async with PlainSocket(OnlyText.as_asgi()) as socket:
        for _ in range(4):
            assert json.loads(await socket.ask("raise"))["code"] == "internal"
        assert await socket.ask("x") == "x"
        for _ in range(5):
            told = await socket.ask("raise")
            assert json.loads(told)["code"] == "internal"
            assert "secret" not in str(told)
        assert await socket.closed() == CloseCode.TOO_MANY_ERRORS
        assert socket.reason == "Too many commands in a row have failed."
    assert "ValueError: secret" in caplog.text


async def test_a_close_has_a_code_and_a_reason_and_no_frame(engine: Engine) -> None:
    async with PlainSocket(OnlyText.as_asgi()) as socket:
        await socket.send("end")
        assert await socket.closed() == 4400
        assert socket.reason == "Later."


async def test_a_frame_of_the_wrong_kind_ends_the_connection(engine: Engine) -> None:
    """Nobody handles it, and a client that is not told would wait for ever."""
    async with PlainSocket(OnlyText.as_asgi()) as socket:
        await socket.send(b"x")
        assert await socket.closed() == CloseCode.TOO_MANY_ERRORS
        assert socket.reason == "This connection takes only text frames."


@pytest.mark.parametrize("frame", ["x" * 65_537, "é" * 32_769, b"x" * 65_537])
async def test_a_frame_that_is_too_large_ends_the_connection(engine: Engine, frame: Any) -> None:
    async with PlainSocket(Echo.as_asgi()) as socket:
        await socket.send(frame)
        assert await socket.closed() == CloseCode.TOO_MANY_ERRORS
        assert socket.reason == "A frame may have at most 65536 bytes."


async def test_a_client_beyond_its_allowance_is_read_more_slowly(
    engine: Engine, settings: Settings
) -> None:
    """Nothing is refused or lost, and others do not wait."""
    limited(settings, COMMANDS_PER_SECOND=50, COMMANDS_BURST=10)
    async with PlainSocket(Echo.as_asgi()) as socket, PlainSocket(Echo.as_asgi()) as other:
        began = time.monotonic()
        for number in range(30):
            await socket.send(str(number))
        assert await other.ask("x") == "x"
        assert [await socket.receive() for _ in range(30)] == [str(one) for one in range(30)]
        assert time.monotonic() - began > 0.3


async def test_bytes_are_paid_for(engine: Engine, settings: Settings) -> None:
    limited(settings, RECEIVE_BYTES_PER_SECOND=20_000, RECEIVE_BYTES_BURST=10_000)
    async with PlainSocket(Echo.as_asgi()) as socket:
        began = time.monotonic()
        for _ in range(2):
            await socket.ask(b"x" * 14_000)
        assert time.monotonic() - began > 0.15


async def test_frames_may_cost_nothing_or_more(engine: Engine, settings: Settings) -> None:
    limited(settings, COMMANDS_PER_SECOND=1, COMMANDS_BURST=1)

    class Free(Consumer):
        @frames(cost=Cost("command", 0))
        async def on_text(self, text: str) -> str:
            return text

    async with PlainSocket(Free.as_asgi()) as socket:
        began = time.monotonic()
        for _ in range(50):
            await socket.ask("x")
        assert time.monotonic() - began < 10


async def test_a_raw_client_needs_an_identity(strict: Engine) -> None:
    """It cannot sign in by a first message, so it is told at once; nothing is held for it."""
    async with PlainSocket(Echo.as_asgi()) as socket:
        assert await socket.closed() == CloseCode.UNAUTHENTICATED
        assert socket.reason == "Sign in first."
    await eventually(lambda: strict.admission.unauthenticated == 0)
    assert strict.connections == {}


async def test_a_raw_client_is_closed_when_its_token_expires(strict: Engine, ada: Any) -> None:
    """Without a warning before, which it could not act on."""
    token = token_for(ada, 1)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    async with PlainSocket(Echo.as_asgi(), headers=headers) as socket:
        assert await socket.ask("x") == "x"
        [connection] = strict.connections.values()
        assert connection.identity.username == "ada"
        assert await socket.closed() == CloseCode.EXPIRED


async def test_a_raw_client_is_closed_when_its_user_is_deactivated(
    strict: Engine, ada: Any
) -> None:
    headers = [(b"authorization", f"Bearer {token_for(ada)}".encode())]
    async with PlainSocket(Echo.as_asgi(), headers=headers) as socket:
        assert await socket.ask("x") == "x"
        ada.is_active = False
        await ada.asave()
        assert await socket.closed() in (CloseCode.EXPIRED, CloseCode.KICKED)


async def test_a_foreign_origin_is_refused(engine: Engine) -> None:
    socket = PlainSocket(Echo.as_asgi(), headers=[(b"origin", b"https://evil.example")])
    is_open, _ = await socket.communicator.connect(timeout=30)
    assert not is_open


async def test_what_pushes_and_notices_say_does_not_reach_a_raw_client(engine: Engine) -> None:
    """But a close does."""
    async with PlainSocket(Echo.as_asgi()) as socket, Socket() as other:
        await eventually(lambda: len(engine.connections) == 2)
        [connection] = [one for one in engine.connections.values() if not one.codec.is_protocol]
        for topic in (EVERYONE, engine.topic, user_topic(connection.identity.user_id)):
            engine.hub.send_event(topic, Notice(text="Hello.", level="info"))
        await other.expect("notice")
        assert await socket.ask("x") == "x"
        connection.close(Disconnect(CloseCode.KICKED))
        assert await socket.closed() == CloseCode.KICKED


async def test_a_shutdown_closes_raw_clients(engine: Engine) -> None:
    async with PlainSocket(Echo.as_asgi()) as socket:
        await socket.ask("x")
        stopping = asyncio.create_task(engine.stop())
        assert await socket.closed() == CloseCode.SHUTDOWN
        await socket.communicator.send_input({"type": "websocket.disconnect", "code": 4001})
        await stopping


async def test_an_unused_subprotocol_is_not_answered(engine: Engine) -> None:
    """Not even one of the protocol: the consumer has no commands of its own."""
    offered = ["realtime.v1.json", "mine"]
    async with PlainSocket(Echo.as_asgi(), subprotocols=offered) as socket:
        assert socket.subprotocol is None
        assert await socket.ask('{"type":"ping"}') == '{"type":"ping"}'


async def test_an_own_subprotocol_is_answered(engine: Engine) -> None:
    class Mine(Echo):
        subprotocols = ("mine.v2", "mine.v1")

        async def on_connect(self) -> None:
            self.send(self.connection.subprotocol)

    offered = ["other", "mine.v1", "mine.v2"]
    async with PlainSocket(Mine.as_asgi(), subprotocols=offered) as socket:
        assert (socket.subprotocol, await socket.receive()) == ("mine.v1", "mine.v1")


class Shout(Command):
    text: str


class Both(Echo):
    """Commands for clients of the protocol, raw frames for others."""

    @command
    async def shout(self, command: Shout) -> Done:
        return Done(note=command.text.upper())


async def test_the_subprotocol_decides_where_a_consumer_has_both(engine: Engine) -> None:
    async with Socket(application=Both.as_asgi()) as socket:
        assert (await socket.ask("shout", text="a"))["note"] == "A"
        assert (await socket.ask("ping"))["type"] == "pong"
        await socket.raw(b"x")
        assert (await socket.receive())["code"] == "invalid_json"
    async with PlainSocket(Both.as_asgi()) as plain:
        shout = '{"type":"shout","text":"a"}'
        assert await plain.ask(shout) == shout


async def test_a_handler_that_hangs_is_cancelled(engine: Engine, settings: Settings) -> None:
    """The client is told, and its next frame is handled."""
    limited(settings, HANDLER_SECONDS=0.5)

    class Hangs(Consumer):
        async def on_text(self, text: str) -> str:
            if text == "hang":
                await asyncio.sleep(3600)
            return text

    async with PlainSocket(Hangs.as_asgi()) as socket:
        assert json.loads(await socket.ask("hang"))["code"] == "unavailable"
        assert await socket.ask("x") == "x"


async def test_a_start_that_hangs_or_refuses_ends_the_connection(
    engine: Engine, settings: Settings
) -> None:
    limited(settings, HANDLER_SECONDS=0.5)

    class Hangs(Echo):
        async def on_connect(self) -> None:
            await asyncio.sleep(3600)

    class Refuses(Echo):
        async def on_connect(self) -> None:
            raise Disconnect(4900, "Not today.")

    async with PlainSocket(Hangs.as_asgi()) as socket:
        assert await socket.closed() == CloseCode.INTERNAL
    async with PlainSocket(Refuses.as_asgi()) as socket:
        assert (await socket.closed(), socket.reason) == (4900, "Not today.")
