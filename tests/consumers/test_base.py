"""One connection's life: decoding, errors, limits, identity, and always cleaning up."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from harness.client.conversation import Closed
from harness.client.encoding import ENCODINGS, encode
from harness.client.in_process import Socket
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.auth.guests import token_of
from realtime.consumers import Consumer, RoomConsumer, command, heartbeat, lifecycle
from realtime.consumers.authentication import Login
from realtime.engine.connections import admission
from realtime.engine.delivery import registry
from realtime.engine.engine import EVERYONE, Engine
from realtime.models import Room
from realtime.store.accounts.identity import Identity
from realtime.wire.commands import Command, Ping, Pong
from realtime.wire.errors import CloseCode, CommandError, Disconnect, ErrorCode


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_the_first_frame_says_who_one_is(engine: Engine, encoding: str) -> None:
    """A guest gets a name, a token to come back with, and the limits."""
    async with Socket(encoding=encoding) as socket:
        told = socket.welcome
        assert told["user_id"].startswith("guest:")
        assert told["username"]
        assert told["guest_token"]
        assert told["connection"].startswith(f"{engine.node.id}.")
        assert (told["protocol"], told["heartbeat"]) == ("realtime.v1", 20)
        assert told["limits"]["frame_bytes"] == 64 * 1024
        assert (told["limits"]["rooms"], told["limits"]["topics"]) == (100, 100)
        assert (await socket.ask("ping", t=7))["t"] == 7


async def test_the_plainest_client_is_understood(engine: Engine) -> None:
    """No subprotocol, no ref: still a welcome and a pong."""
    socket = Socket()
    socket.communicator.scope["subprotocols"] = []
    assert await socket.communicator.connect() == (True, None)
    await socket.expect("welcome")
    await socket.send("ping")
    pong = await socket.expect("pong")
    assert pong.keys() == {"type", "server_time"}
    await socket.close()


async def test_unknown_subprotocols_are_passed_over(engine: Engine) -> None:
    """The first one known here is taken, in the client's order."""
    socket = Socket(encoding="msgpack")
    socket.communicator.scope["subprotocols"] = ["chat", "realtime.v1.msgpack", "realtime.v1.json"]
    async with socket:
        assert isinstance(socket.frames[0], bytes)


# Bad frames.

BAD = {
    "not JSON": ("{", "invalid_json"),
    "nothing": ("", "invalid_json"),
    "a number": ("7", "invalid_message"),
    "a list": ("[]", "invalid_message"),
    "no type": ("{}", "invalid_message"),
    "an unknown type": ('{"type":"fly"}', "unknown_type"),
    "a missing field": ('{"type":"join"}', "invalid_message"),
    "a wrong type": ('{"type":"join","room":7}', "invalid_message"),
    "a key twice": ('{"type":"ping","type":"ping"}', "invalid_message"),
    "too deep": ('{"type":"ping","t":' + "[" * 5000 + "]" * 5000 + "}", "invalid_message"),
    "NUL": ('{"type":"join","room":"a\\u0000"}', "invalid_message"),
    "a huge ref": ('{"type":"ping","ref":18446744073709551616}', "invalid_message"),
    "too long": ('{"type":"ping","t":"' + "x" * 65536 + '"}', "too_large"),
    "too many bytes": ('{"type":"ping","t":"' + "😀" * 16384 + '"}', "too_large"),
    "bytes": (b'{"type":"ping"}', "invalid_json"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_frame_is_answered_and_the_connection_stays(engine: Engine, name: str) -> None:
    """A typed error for each, and the next command works."""
    frame, code = BAD[name]
    async with Socket() as socket:
        await socket.raw(frame)
        assert (await socket.receive())["code"] == code
        assert (await socket.ask("ping"))["type"] == "pong"


async def test_an_error_names_what_it_answers(engine: Engine) -> None:
    """The `ref` and room of a command that could not be decoded, where they can be read."""
    async with Socket() as socket:
        await socket.raw('{"type":"join","ref":"r","room":"general","history":1000}')
        error = await socket.receive()
        assert (error["code"], error["ref"], error["room"]) == ("invalid_message", "r", "general")
        assert (error["retryable"], bool(error["message"])) == (False, True)


async def test_five_bad_frames_in_a_row_end_the_connection(engine: Engine) -> None:
    """Each is answered, then an in-band `disconnect`, then the close."""
    async with Socket() as socket:
        for _ in range(5):
            await socket.raw("{")
        told, code = await socket.ended()
        assert code == told["code"] == CloseCode.TOO_MANY_ERRORS
        assert told["reconnect"] is False
        assert [item["type"] for item in socket.seen[1:]] == ["error"] * 5 + ["disconnect"]


async def test_a_good_frame_resets_the_count(engine: Engine) -> None:
    """Only frames in a row count, and a refused command is a good frame."""
    async with Socket() as socket:
        for _ in range(3):
            for _ in range(4):
                await socket.raw("{")
            assert await socket.refused("leave", room="nowhere") == "not_joined"
        assert (await socket.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("encoding", ["ndjson", "msgpack"])
async def test_several_commands_in_a_frame_are_answered_in_order(
    engine: Engine, encoding: str
) -> None:
    """A bad one among them fails alone."""
    async with Socket(encoding=encoding) as socket:
        commands = [{"type": "ping", "ref": 1}, {"type": "fly"}, {"type": "ping", "ref": 2}]
        parts = [encode(encoding, command) for command in commands]
        joined = b"".join(parts) if encoding == "msgpack" else "\n".join(parts)  # type: ignore[arg-type]
        await socket.raw(joined)
        items = [await socket.receive() for _ in range(3)]
        assert [item["type"] for item in items] == ["pong", "error", "pong"]


# What goes wrong inside.


class Odd(RoomConsumer):
    """Raises for a `ping` what the test wants."""

    raises: Exception = ValueError("odd")

    async def handle(self, command: Command) -> None:
        if isinstance(command, Ping):
            raise self.raises
        await super().handle(command)


def raising(error: Exception) -> Any:
    return type("Raising", (Odd,), {"raises": error}).as_asgi()  # type: ignore[attr-defined]


async def test_a_handler_that_raises_is_answered(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """With `internal` and the ref; the log has the exception, the client has nothing of it."""
    async with Socket(application=raising(ValueError("secret"))) as socket:
        await socket.send("ping", ref="r")
        error = await socket.expect("error")
        assert (error["code"], error["ref"], error["retryable"]) == ("internal", "r", False)
        assert "secret" not in str(error)
        await socket.join("general")
    assert "ValueError: secret" in caplog.text


async def test_a_handler_that_raises_a_cancellation_by_itself_has_failed(engine: Engine) -> None:
    """As it does if it awaits a task that was cancelled; that is no shutdown."""

    class Cancelled(Consumer):
        @command
        async def ping(self, command: Ping) -> None:
            task = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(task.cancel)
            await task

    async with Socket(application=Cancelled.as_asgi()) as socket:
        for _ in range(2):
            assert await socket.refused("ping") == "internal"


class Stop(BaseException):
    """An exception that no `except Exception` catches."""


@pytest.mark.parametrize("kind", [SystemExit, Stop])
async def test_a_handler_that_exits_does_not_end_the_server(
    engine: Engine, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    class Exiting(Consumer):
        @command
        async def ping(self, command: Ping) -> None:
            raise kind(1)

        async def work(self) -> None:
            raise kind(2)

        @command
        async def pong(self, command: Pong) -> None:
            self.spawn(self.work())

        async def on_disconnect(self) -> None:
            raise kind(3)

    async with Socket(application=Exiting.as_asgi()) as socket:
        assert await socket.refused("ping") == "internal"
        await socket.send("pong")
        assert await socket.closed() == CloseCode.INTERNAL
    await eventually(lambda: not engine.connections)
    assert "on_disconnect() of the consumer failed" in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, Stop])
async def test_a_connection_that_exits_at_its_begin_is_closed_and_released(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    """Also where no command is executed, as while the client is identified."""

    async def identify(*args: Any) -> None:
        raise kind

    class Exiting(Consumer):
        async def on_connect(self) -> None:
            raise kind

    async with Socket(application=Exiting.as_asgi()) as socket:
        assert await socket.closed() == CloseCode.INTERNAL
    monkeypatch.setattr(lifecycle, "identify_client", identify)
    socket = Socket(application=Exiting.as_asgi())
    await socket.communicator.send_input({"type": "websocket.connect"})
    await socket.communicator.wait()  # raises what the application has raised
    assert engine.connections == {}


async def test_an_end_that_the_consumer_delays_takes_no_longer_than_a_command(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging(Consumer):
        async def on_disconnect(self) -> None:
            await asyncio.Event().wait()

    async with testing.engine(GUESTS=True, HANDLER_SECONDS=0.1, **UNLIMITED):
        async with Socket(application=Hanging.as_asgi()) as socket:
            pass
        await asyncio.wait_for(socket.communicator.future, 5)
    assert "on_disconnect() of the consumer takes too long" in caplog.text


async def test_five_commands_in_a_row_that_raise_end_their_connection_and_leave_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    """Told and closed with 4511, a log line a second, no member, no connection, no task."""
    application = raising(ValueError("secret"))
    tasks = len(asyncio.all_tasks())
    for _ in range(20):
        socket = Socket(application=application)
        await socket.open()
        await socket.join("general")
        for _ in range(5):
            await socket.send("ping")
        told, code = await socket.ended()
        assert code == told["code"] == CloseCode.TOO_MANY_ERRORS
        assert told["reason"] == "Too many commands in a row have failed."
        assert [one["code"] for one in socket.seen if one["type"] == "error"] == ["internal"] * 5
        assert "secret" not in str(socket.seen)
        await socket.communicator.wait()
    assert engine.connections == {}
    [topic] = engine.hub.rooms
    assert topic.members == {}
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert 1 <= len(errors) < 20
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks + 1)


async def test_a_command_that_succeeds_or_is_refused_ends_a_row_of_failures(engine: Engine) -> None:
    async with Socket(application=raising(ValueError("odd"))) as socket:
        for _ in range(2):
            for _ in range(4):
                assert await socket.refused("ping") == "internal"
            await socket.join("general")
            for _ in range(4):
                assert await socket.refused("ping") == "internal"
            assert await socket.refused("leave", room="nowhere") == "not_joined"


async def test_a_sign_in_that_raises_ends_the_connection(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not certain which user the client is now."""

    async def fail(self: Login, *_: Any) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(Login, "change", fail)
    async with Socket() as socket:
        await socket.send("auth", name="Ada")
        assert (await socket.ended())[1] == CloseCode.INTERNAL


async def test_a_handler_may_refuse_or_end(engine: Engine) -> None:
    """`CommandError` is a reply; `Disconnect` with a code of the application's own ends."""
    refusal = CommandError(ErrorCode.PERMISSION_DENIED, "No.")
    async with Socket(application=raising(refusal)) as socket:
        assert await socket.refused("ping") == "permission_denied"
    async with Socket(application=raising(Disconnect(4400, "Later."))) as socket:
        await socket.send("ping")
        told, code = await socket.ended()
        assert (code, told["reason"], told["reconnect"]) == (4400, "Later.", True)


async def test_opening_that_fails_ends_the_connection(engine: Engine) -> None:
    """Also before the first command there is one boundary, and `closed` runs."""
    closed: list[str] = []

    class Broken(Consumer):
        async def on_connect(self) -> None:
            raise ValueError("odd")

        async def on_disconnect(self) -> None:
            closed.append(self.id)

    socket = Socket(application=Broken.as_asgi())
    await socket.open()
    _, code = await socket.ended()
    assert code == CloseCode.INTERNAL
    await socket.communicator.wait()
    assert (len(closed), engine.connections) == (1, {})


async def test_a_consumer_without_rooms_knows_no_room_commands(engine: Engine) -> None:
    """`Consumer` alone speaks `auth` and `ping`."""
    async with Socket(application=Consumer.as_asgi()) as socket:
        assert await socket.refused("join", room="general") == "unknown_type"


async def test_a_cancelled_connection_says_goodbye_and_cleans_up(engine: Engine) -> None:
    """Servers that are stopped cancel their applications."""
    socket = Socket()
    await socket.open()
    await socket.join("general")
    socket.communicator.future.cancel()
    told, code = await socket.ended()
    assert code == told["code"] == CloseCode.SHUTDOWN
    with pytest.raises(asyncio.CancelledError):
        await socket.communicator.future
    assert engine.connections == {}


async def test_a_client_that_disconnects_leaves_nothing(engine: Engine) -> None:
    """No connection, no member."""
    async with Socket() as socket:
        await socket.join("general")
        assert len(engine.connections) == 1
    assert engine.connections == {}
    assert engine.hub.rooms[0].members == {}


async def test_a_stopping_engine_tells_its_clients_and_lets_nobody_in(engine: Engine) -> None:
    """Those who are there are told when to come back; those who come, too."""
    async with Socket() as socket:
        stopping = asyncio.ensure_future(engine.stop())
        told, code = await socket.ended()
        assert (code, told["reconnect"]) == (CloseCode.SHUTDOWN, True)
        assert told["retry_after"] > 0
        late = Socket()
        await late.open()
        assert (await late.ended())[1] == CloseCode.SHUTDOWN
    await stopping


async def test_a_server_that_ends_a_connection_from_outside_tells_why(engine: Engine) -> None:
    """The in-band reason comes before the close, and no frame of the client counts any more."""
    async with Socket() as socket:
        engine.connections[socket.welcome["connection"]].close(Disconnect(CloseCode.KICKED, "Out."))
        await socket.send("message", room="general", content="still here")
        told, code = await socket.ended()
        assert (code, told["reason"]) == (CloseCode.KICKED, "Out.")


async def test_what_is_not_a_connect_is_no_connection(engine: Engine) -> None:
    """A socket that is gone before the handshake never was."""
    socket = Socket()
    await socket.communicator.send_input({"type": "websocket.disconnect", "code": 1006})
    await socket.communicator.wait()
    assert engine.connections == {}


# Limits.


def limited(settings: Settings, **limits: float) -> None:
    settings.REALTIME = {**settings.REALTIME, **limits}


async def test_more_messages_than_allowed_are_refused(engine: Engine, settings: Settings) -> None:
    """With the seconds to wait; commands have an allowance of their own."""
    limited(settings, MESSAGES_PER_SECOND=0.01, MESSAGES_BURST=2)
    async with Socket() as socket:
        await socket.join("general")
        for _ in range(2):
            assert (await socket.ask("message", room="general", content="hi"))["type"] == "ack"
        error = await socket.ask("message", room="general", content="hi")
        assert (error["code"], error["retryable"]) == ("rate_limited", True)
        assert error["retry_after"] == pytest.approx(100, rel=0.1)
        assert await socket.refused("signal", room="general", data={}) == "rate_limited"
        assert (await socket.ask("ping"))["type"] == "pong"


async def test_one_user_has_one_allowance(engine: Engine, settings: Settings) -> None:
    """Two connections of a user share it, another user has another."""
    limited(settings, COMMANDS_PER_SECOND=0.01, COMMANDS_BURST=4)
    async with Socket() as one:
        token = one.welcome["guest_token"]
        async with Socket(f"/ws?token={token}") as two, Socket() as other:
            for socket in (one, two, one, two):
                assert (await socket.ask("ping"))["type"] == "pong"
            assert await two.refused("ping") == "rate_limited"
            assert (await other.ask("ping"))["type"] == "pong"


async def test_many_rooms_at_once_cost_as_many_commands(engine: Engine, settings: Settings) -> None:
    """`joins` is no way around the allowance, which holds as many as a connection may be in."""
    limited(settings, JOINS_PER_SECOND=0.01, ROOMS_PER_CONNECTION=5)
    async with Socket() as socket:
        rooms = [{"room": f"none-{number}"} for number in range(4)]
        assert await socket.refused("joins", rooms=rooms) == "unknown_room"
        assert await socket.refused("joins", rooms=rooms) == "rate_limited"


async def test_who_goes_on_after_many_refusals_is_cut(engine: Engine, settings: Settings) -> None:
    """Warnings first, then 4029 with the time to stay away."""
    limited(settings, COMMANDS_PER_SECOND=0.01, COMMANDS_BURST=1)
    async with Socket() as socket:
        for _ in range(150):
            await socket.send("ping")
        told, code = await socket.ended()
        assert (code, told["code"], told["reconnect"]) == (4029, 4029, True)
        assert told["retry_after"] > 0
        assert sum(item["type"] == "error" for item in socket.seen) >= 50


HOME = [(b"x-forwarded-for", b"203.0.113.5")]


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"CONNECTIONS_PER_USER": 2}, 4014),
        ({"CONNECTIONS_PER_ADDRESS": 2, "TRUSTED_PROXIES": 1}, 4014),
        ({"CONNECTIONS_PER_PROCESS": 2}, 4013),
    ],
)
async def test_one_connection_too_many_is_told_so_and_the_next_after_one_left_gets_in(
    engine: Engine, settings: Settings, ada: Any, limits: dict[str, int], code: int
) -> None:
    limited(settings, **limits)
    async with Socket(user=ada, headers=HOME):
        async with Socket(user=ada, headers=HOME):
            for _ in range(3):
                refused = Socket(user=ada, headers=HOME)
                await refused.open()
                told, closed = await refused.ended()
                assert (told["code"], closed, told["reconnect"]) == (code, code, True)
                assert told["retry_after"] >= 1
                await refused.communicator.wait()
            assert len(engine.connections) == 2
        await eventually(lambda: len(engine.connections) == 1)
        async with Socket(user=ada, headers=HOME) as socket:
            assert (await socket.ask("ping"))["type"] == "pong"


async def test_silent_connections_are_asked_at_once_where_there_are_too_many(
    engine: Engine, settings: Settings, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of networks a user's old connections hold all places for a minute."""
    monkeypatch.setattr(heartbeat, "RECENT_SECONDS", 0.0)
    monkeypatch.setattr(admission, "PROBE_SECONDS", 0.2)
    limited(settings, CONNECTIONS_PER_USER=2)
    gone = Socket(user=ada)
    await gone.open()
    async with Socket(user=ada) as here:
        refused = Socket(user=ada)
        await refused.open()
        told, code = await refused.ended()
        assert (code, told["reconnect"]) == (4014, True)
        assert 0.2 <= told["retry_after"] <= 0.4
        await here.expect("ping")
        await here.send("pong")
        await gone.expect("ping")
        assert (await gone.ended())[1] == 4009
        await gone.communicator.wait()
        async with Socket(user=ada):
            assert (await here.ask("ping"))["type"] == "pong"


async def test_guests_of_an_address_keep_no_user_out(
    engine: Engine, settings: Settings, ada: Any
) -> None:
    limited(settings, CONNECTIONS_PER_ADDRESS=2, TRUSTED_PROXIES=1)
    async with Socket(headers=HOME), Socket(headers=HOME):
        refused = Socket(headers=HOME)
        await refused.open()
        assert (await refused.ended())[1] == 4014
        async with Socket(user=ada, headers=HOME) as user:
            assert (await user.ask("ping"))["type"] == "pong"


async def test_becoming_somebody_else_counts_for_whom_one_becomes(
    engine: Engine, settings: Settings
) -> None:
    limited(settings, CONNECTIONS_PER_USER=1)
    token = token_of(Identity("guest:1234", "Ada"))
    async with Socket(f"/ws?token={token}"), Socket() as other:
        await other.send("auth", token=token)
        assert (await other.ended())[1] == 4014
    async with Socket() as again:
        assert (await again.ask("auth", token=token))["user_id"] == "guest:1234"


# Patience.


async def test_an_end_leaves_the_rest_of_a_frame_undone(engine: Engine) -> None:
    """Who is out does nothing more, however much was sent together."""
    done: list[Command] = []

    class Ended(RoomConsumer):
        async def handle(self, command: Command) -> None:
            done.append(command)
            self.end(Disconnect(CloseCode.KICKED))

    socket = Socket(application=Ended.as_asgi(), encoding="ndjson")
    async with socket:
        await socket.raw("\n".join(['{"type":"ping"}'] * 3))
        assert (await socket.ended())[1] == CloseCode.KICKED
    assert len(done) == 1


class Patient(RoomConsumer):
    """`ping` waits for `gate`."""

    gate: asyncio.Event

    async def handle(self, command: Command) -> None:
        if isinstance(command, Ping) and command.t is not None:
            await self.gate.wait()
        await super().handle(command)


async def test_a_command_that_takes_too_long_is_answered_and_the_next_is_carried_out(
    engine: Engine, settings: Settings
) -> None:
    limited(settings, HANDLER_SECONDS=0.3)
    Patient.gate = asyncio.Event()
    async with Socket(application=Patient.as_asgi()) as socket:
        for _ in range(2):
            error = await socket.ask("ping", t=1)
            assert (error["code"], error["retryable"]) == ("unavailable", True)
            assert (await socket.ask("ping"))["type"] == "pong"
        Patient.gate.set()
        assert (await socket.ask("ping", t=1))["t"] == 1


async def test_a_server_that_ends_is_not_taken_for_a_slow_command(
    engine: Engine, settings: Settings
) -> None:
    """Both cancel the connection's task; only one of them may go on."""
    Patient.gate = asyncio.Event()
    socket = Socket(application=Patient.as_asgi())
    await socket.open()
    await socket.send("ping", t=1)
    await eventually(lambda: engine.watchdog._since)
    socket.communicator.future.cancel()
    await socket.communicator.wait()
    queue = socket.communicator.output_queue
    sent = [queue.get_nowait() for _ in range(queue.qsize())]
    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", CloseCode.SHUTDOWN)
    assert engine.connections == {}
    assert engine.watchdog._since == {}


@pytest.mark.parametrize("encoding", ["json", "ndjson", "msgpack"])
async def test_who_is_silent_is_asked_and_stays_by_its_answer(
    engine: Engine, settings: Settings, encoding: str
) -> None:
    """Once a heartbeat, and nothing is said to the answer."""
    limited(settings, HEARTBEAT_SECONDS=0.1)
    async with Socket(encoding) as socket:
        began = engine.loop.time()
        for _ in range(4):
            assert await socket.expect("ping") == {"type": "ping"}
            await socket.send("pong")
        assert engine.loop.time() - began >= 4 * 0.09
        assert (await socket.ask("ping"))["type"] == "pong"
        assert {item["type"] for item in socket.seen} == {"welcome", "ping", "pong"}


async def test_who_does_not_answer_for_another_heartbeat_is_sent_away(
    engine: Engine, settings: Settings
) -> None:
    """A browser that sleeps, or a line that died."""
    limited(settings, HEARTBEAT_SECONDS=0.1)
    async with Socket() as socket:
        await socket.expect("ping")
        told, code = await socket.ended()
        assert (code, told["reconnect"]) == (CloseCode.SILENT, True)
        assert [item["type"] for item in socket.seen] == ["welcome", "ping", "disconnect"]


async def test_who_speaks_is_not_asked(engine: Engine, settings: Settings) -> None:
    """Any frame tells that somebody is there."""
    limited(settings, HEARTBEAT_SECONDS=0.5)
    async with Socket() as socket:
        for _ in range(6):
            await asyncio.sleep(0.1)
            assert await socket.refused("typing", room="nowhere") == "not_joined"
        assert not [item for item in socket.seen if item["type"] == "ping"]


async def test_an_answer_is_never_refused(engine: Engine, settings: Settings) -> None:
    """It was asked for; yet more than are allowed are an attack, as with any command."""
    limited(settings, COMMANDS_PER_SECOND=0.001, COMMANDS_BURST=1)
    async with Socket() as socket:
        assert (await socket.ask("ping"))["type"] == "pong"
        for _ in range(150):
            await socket.send("pong")
        _, code = await socket.ended()
        assert code == CloseCode.RATE_LIMITED
        assert [item["type"] for item in socket.seen] == ["welcome", "pong", "disconnect"]


async def test_who_is_not_read_is_not_silent(engine: Engine, settings: Settings) -> None:
    """While a command takes long the server itself does not listen."""
    limited(settings, HEARTBEAT_SECONDS=0.1)
    Patient.gate = asyncio.Event()
    async with Socket(application=Patient.as_asgi()) as socket:
        await socket.send("ping", t=1)
        await asyncio.sleep(0.5)
        Patient.gate.set()
        await socket.expect("pong", t=1)


async def test_a_plain_client_may_be_silent(engine: Engine, settings: Settings) -> None:
    """It has promised nothing: the server's own pings find out whether it is there."""
    limited(settings, HEARTBEAT_SECONDS=0.05)
    socket = Socket()
    socket.communicator.scope["subprotocols"] = []
    await socket.communicator.connect()
    await socket.expect("welcome")
    await asyncio.sleep(0.3)
    assert (await socket.ask("ping"))["type"] == "pong"
    assert [item["type"] for item in socket.seen] == ["welcome", "pong"]
    await socket.close()


# Who it is.


async def test_a_guest_may_choose_a_name(engine: Engine) -> None:
    """The reply has a new token with the new name; the identity stays."""
    async with Socket() as socket:
        reply = await socket.ask("auth", name="  Grace\u202e  Hopper ")
        assert reply["username"] == "Grace Hopper"
        assert reply["user_id"] == socket.welcome["user_id"]
        async with Socket(f"/ws?token={reply['guest_token']}") as again:
            assert again.welcome["username"] == "Grace Hopper"
            assert again.welcome["user_id"] == socket.welcome["user_id"]


async def test_a_name_that_cannot_be_shown_is_refused(engine: Engine) -> None:
    """And the old one stays."""
    async with Socket() as socket:
        assert await socket.refused("auth", name="\u202e\u200b ") == "invalid_message"
        assert (await socket.ask("auth"))["username"] == socket.welcome["username"]


async def test_a_token_makes_the_connection_its_guest(engine: Engine) -> None:
    """What is sent to that user from now on comes here."""
    token = token_of(Identity("guest:1234", "Ada"))
    async with Socket() as socket:
        reply = await socket.ask("auth", token=token)
        assert (reply["user_id"], reply["username"]) == ("guest:1234", "Ada")
        await socket.join("general")
        await socket.send("message", room="general", content="hi")
        assert (await socket.expect("message"))["user_id"] == "guest:1234"


async def test_a_bad_token_ends_the_connection(engine: Engine) -> None:
    """With 4500: coming back with it makes no sense."""
    async with Socket() as socket:
        await socket.send("auth", token="forged")
        told, code = await socket.ended()
        assert (code, told["reconnect"]) == (CloseCode.UNAUTHENTICATED, False)


async def test_inside_a_room_nobody_becomes_somebody_else(engine: Engine) -> None:
    """The others know the connection by its user; outside it may change."""
    async with Socket() as socket:
        await socket.join("general")
        assert await socket.refused("auth", name="Eve") == "permission_denied"
        assert (await socket.ask("auth"))["username"] == socket.welcome["username"]
        await socket.ask("leave", room="general")
        assert (await socket.ask("auth", name="Eve"))["username"] == "Eve"


async def test_a_user_does_not_choose_a_name(engine: Engine, ada: Any) -> None:
    """Nor gets a guest's token."""
    async with Socket(user=ada) as socket:
        assert (socket.welcome["user_id"], socket.welcome["username"]) == (str(ada.pk), "ada")
        assert "guest_token" not in socket.welcome
        assert await socket.refused("auth", name="Eve") == "permission_denied"


async def test_without_guests_nobody_gets_in_unknown(engine: Engine, settings: Settings) -> None:
    """Accepted, told, closed: a browser sees the reason; nothing else is sent."""
    settings.REALTIME = {**settings.REALTIME, "GUESTS": False, "FIRST_MESSAGE_AUTH": False}
    socket = Socket()
    await socket.open()
    told, code = await socket.ended()
    assert (code, told["reconnect"]) == (CloseCode.UNAUTHENTICATED, False)
    assert [item["type"] for item in socket.seen] == ["disconnect"]
    await socket.communicator.wait()
    assert engine.connections == {}


@pytest.mark.parametrize("make", [lambda: Socket("/ws?token=forged")])
async def test_a_handshake_with_a_bad_token_is_told_so(
    engine: Engine, make: Callable[[], Socket]
) -> None:
    """It is no guest either."""
    socket = make()
    await socket.open()
    assert (await socket.ended())[1] == CloseCode.UNAUTHENTICATED


async def test_nothing_is_sent_after_the_close(engine: Engine) -> None:
    """Frames that follow a fatal one are neither carried out nor answered."""
    async with Socket() as socket:
        await socket.send("auth", token="forged")
        await socket.send("ping")
        await socket.ended()
        with pytest.raises((Closed, TimeoutError, asyncio.TimeoutError)):
            await socket.receive(timeout=0.05)


async def test_a_process_without_connections_still_hears_what_is_for_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pulse asks through its own topic whether it hears anything."""
    monkeypatch.setattr(registry, "USER_LINGER_SECONDS", 0)
    async with Socket():
        users = [name for name in engine.hub.topics if name.startswith("user.")]
    await eventually(lambda: not engine.hub.topics.keys() & users)
    assert engine.hub.topics.keys() >= {EVERYONE, engine.topic}
