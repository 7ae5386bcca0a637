"""The line of a client: who it is, how it ends, and how it comes back."""

import asyncio
import logging
import socket as sockets
from typing import Any

import pytest

from harness.waiting import eventually
from realtime.client import Client, MessageEvent, Notice, RealtimeError, State, StateChange, Unknown
from realtime.client import line as lines
from realtime.client.clock import Backoff
from tests.client.scripted import Script, message
from tests.client.talking import entered, lost, opened, returned

GUEST = "guest:a"


async def refused(client: Client) -> RealtimeError:
    """Return why a client does not connect."""
    with pytest.raises(RealtimeError) as raised:
        async with client:
            pass
    return raised.value


# Who


@pytest.mark.parametrize("user_id", ["2", GUEST])
@pytest.mark.parametrize("options", [{}, {"user": "1"}], ids=["first", "given"])
async def test_a_client_of_one_user_never_becomes_another(
    script: Script, user_id: str, options: dict[str, Any]
) -> None:
    """It ends, and nothing is sent as somebody else."""
    client, room, socket = await entered(script, **options)
    await lost(client, socket)
    sending = asyncio.create_task(room.send("secret"))
    client.reconnect_now()
    socket = await script.welcomed(user_id)
    with pytest.raises(RealtimeError) as raised:
        await sending
    assert raised.value.code == "identity_changed"
    await socket.gone()
    assert socket.seen == []
    assert client.state == "closed"
    with pytest.raises(RealtimeError):
        await room.join()
    await client.close()


async def test_a_client_that_is_somebody_else_from_the_start_raises(script: Script) -> None:
    client = Client(script.url, user="1")
    opening = asyncio.create_task(refused(client))
    await script.welcomed("2")
    assert (await opening).code == "identity_changed"


async def test_a_guest_may_become_another_guest(script: Script) -> None:
    """Rooms begin anew, and what waits is not sent as the new one."""
    client, socket = await opened(script, GUEST)
    joining = asyncio.create_task(client.room("general").join())
    await socket.joined(await socket.expect("join"), 3)
    room = await joining
    await lost(client, socket)
    sending = asyncio.create_task(room.send("secret"))
    client.reconnect_now()
    socket = await script.welcomed("guest:b")
    assert "since" not in await socket.expect("join")
    with pytest.raises(RealtimeError, match="identity_changed"):
        await sending
    await client.close()


async def test_a_guest_gives_its_name_once_and_comes_back_with_its_token(script: Script) -> None:
    client = Client(script.url, name="Ada")
    entering = asyncio.create_task(client.__aenter__())
    socket = await script.welcomed(GUEST, guest_token="g1")
    command = await socket.expect("auth")
    assert command["name"] == "Ada"
    named = {"user_id": GUEST, "username": "Ada", "guest_token": "g2"}
    await socket.send({"type": "authenticated", "ref": command["ref"], **named})
    await entering
    assert client.username == "Ada"
    socket = await returned(client, script, socket, GUEST)
    assert socket.headers["Authorization"] == "Bearer g2"
    await eventually(lambda: client.state == "open")
    assert "auth" not in socket.types()
    await client.close()


async def test_a_token_is_asked_for_on_each_attempt_and_when_it_expires(script: Script) -> None:
    """It is in no log, also at DEBUG."""
    tokens = iter(["secret1", "secret2", None, "secret3"])
    asked: list[int] = []

    async def token() -> str | None:
        asked.append(1)
        return next(tokens)

    client, socket = await opened(script, token=token)
    assert socket.headers["Authorization"] == "Bearer secret1"
    expiring = {"type": "error", "code": "token_expired", "message": "soon", "retryable": True}
    await socket.send(expiring)
    assert (await socket.expect("auth"))["token"] == "secret2"
    await socket.send(expiring)
    await eventually(lambda: len(asked) == 3)
    socket = await returned(client, script, socket)
    assert socket.headers["Authorization"] == "Bearer secret3"
    assert "auth" not in socket.types()
    await client.close()


async def test_a_new_token_of_another_user_ends_the_client(script: Script) -> None:
    client, socket = await opened(script, token="secret")
    await socket.send(
        {"type": "error", "code": "token_expired", "message": "soon", "retryable": True}
    )
    await socket.expect("auth")
    await socket.send({"type": "authenticated", "user_id": "2", "username": "2"})
    await socket.gone()
    with pytest.raises(RealtimeError, match="identity_changed"):
        await client.room("general").join()
    assert client.user_id == "1"
    await client.close()


async def test_a_name_that_cannot_be_given_now_is_given_later(script: Script) -> None:
    client = Client(script.url, name="Ada")
    entering = asyncio.create_task(client.__aenter__())
    socket = await script.welcomed(GUEST)
    await socket.error(await socket.expect("auth"), "unavailable", retryable=True)
    await eventually(lambda: client.state == "waiting")
    client.reconnect_now()
    socket = await script.welcomed(GUEST)
    command = await socket.expect("auth")
    named = {"user_id": GUEST, "username": "Ada"}
    await socket.send({"type": "authenticated", "ref": command["ref"], **named})
    await entering
    await client.close()


async def test_a_token_function_that_fails_is_tried_again(script: Script) -> None:
    """A plain function runs in a thread, as it may ask another server."""
    results: list[Any] = [OSError("away"), "secret"]

    def token() -> str:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return str(result)

    client = Client(script.url, token=token)
    entering = asyncio.create_task(client.__aenter__())
    await eventually(lambda: client.state == "waiting")
    client.reconnect_now()
    socket = await script.welcomed()
    await entering
    assert socket.headers["Authorization"] == "Bearer secret"
    await client.close()


async def test_tokens_are_in_no_log(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "realtime.client.socket")
    client, socket = await opened(script, token="topsecret")
    assert socket.headers["Authorization"] == "Bearer topsecret"
    await socket.send(
        {"type": "error", "code": "token_expired", "message": "soon", "retryable": True}
    )
    await socket.expect("auth")
    await client.close()
    assert "realtime.client.socket" in {record.name for record in caplog.records}
    mine = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert "topsecret" not in "".join(record.getMessage() for record in mine)


# The end


@pytest.mark.parametrize(
    "event",
    [
        {"code": 4503, "reason": "Kicked.", "reconnect": False},
        {"code": 4500, "reason": "Kicked.", "reconnect": False},
    ],
)
async def test_a_server_may_end_the_connection_for_good(
    script: Script, event: dict[str, Any]
) -> None:
    """Loops raise, and messages without an ack fail."""
    client, room, socket = await entered(script)
    sending = asyncio.create_task(room.send("hi"))
    await socket.expect("message")
    await socket.send({"type": "disconnect", **event})
    for waiting in (sending, anext(aiter(room)), room.join()):
        with pytest.raises(RealtimeError, match="Kicked") as raised:
            await waiting
        assert raised.value.code == "closed"
    assert client.state == "closed"
    await client.close()


async def test_a_close_code_alone_says_so_too(script: Script) -> None:
    client, socket = await opened(script)
    await lost(client, socket, 4500)
    assert client.state == "closed"
    await client.close()


async def test_a_client_honours_the_time_that_the_server_gives(script: Script) -> None:
    client, socket = await opened(script)
    changes = client.events(StateChange)
    event = {"type": "disconnect", "code": 4013, "reason": "Full.", "reconnect": True}
    await socket.send({**event, "retry_after": 50})
    change = await anext(changes)
    assert (change.state, change.code, change.reason) == (State.WAITING, 4013, "Full.")
    assert change.retry_in is not None
    assert 50 <= change.retry_in <= 100
    await client.close()


def test_waits_grow_to_half_a_minute_and_begin_anew() -> None:
    backoff = Backoff()
    waits = [backoff.next() for _ in range(200)]
    assert all(0.5 <= wait <= 30 for wait in waits)
    assert max(waits[:1]) <= 1.5
    assert max(waits) > 20
    backoff.reset()
    assert backoff.next() <= 1.5


@pytest.mark.parametrize("frame", ["not json", "[1]", '{"type": 3}', '{"no": "type"}', "{}{}"])
async def test_nonsense_of_a_server_ends_the_line_only(script: Script, frame: str) -> None:
    """What stood before it is delivered."""
    client, room, socket = await entered(script)
    messages = room.events(MessageEvent)
    await socket.send(message(1))
    await socket.raw(frame)
    await socket.gone()
    assert (await anext(messages)).seq == 1
    await eventually(lambda: client.state == "waiting")
    await client.close()


async def test_unknown_events_and_fields_are_no_error(script: Script) -> None:
    client, room, socket = await entered(script)
    messages = room.events(MessageEvent)
    unknown, notices = client.events(Unknown), client.events(Notice)
    await socket.send(
        {"type": "sparkle", "color": "red"},
        {"type": "notice", "level": "info", "text": "Hello.", "more": 1},
        {"type": "message", "content": 5, "room": "general"},
        message(1) | {"__proto__": {}, "new": True},
    )
    assert await anext(unknown) == Unknown("sparkle", {"type": "sparkle", "color": "red"})
    assert (await anext(notices)).text == "Hello."
    assert (await anext(unknown)).type == "message"
    assert (await anext(messages)).seq == 1
    await client.close()


# Silence


async def test_pings_are_answered(script: Script) -> None:
    client, socket = await opened(script)
    await socket.send({"type": "ping"}, {"type": "ping", "t": "x"})
    assert "t" not in await socket.expect("pong")
    assert (await socket.expect("pong"))["t"] == "x"
    await client.close()


async def test_a_silent_server_is_pinged_and_given_up(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(lines, "PONG_SECONDS", 0.2)
    client, socket = await opened(script)
    await socket.expect("ping")
    await socket.send({"type": "pong", "server_time": "2026-01-01T00:00:00Z"})
    await socket.expect("ping")
    await socket.gone()
    assert socket.connection.close_code == 1006
    await eventually(lambda: client.state == "waiting")
    await client.close()


async def test_a_server_that_says_nothing_at_first_is_given_up(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "WELCOME_SECONDS", 0.1)
    client = Client(script.url, timeout=0.5)
    error = await refused(client)
    assert (error.code, error.outcome) == ("timeout", "not_sent")


async def test_a_task_that_fails_ends_the_line_only(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its heartbeat, a client would never notice a dead line."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    client, socket = await opened(script)
    monkeypatch.setattr(lines.Line, "_ping", fail)
    monkeypatch.setattr(lines, "SILENT_SECONDS", 0.1)
    socket = await returned(client, script, socket)
    await socket.gone()
    monkeypatch.undo()
    client.reconnect_now()
    await script.welcomed()
    await eventually(lambda: client.state == "open")
    await client.close()


# The first connection


@pytest.mark.parametrize(
    "url", ["localhost", "ftp://localhost/ws", "ws:///ws", "", "//localhost/ws"]
)
def test_an_address_that_cannot_be_one_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="wss://example"):
        Client(url)


def test_an_unknown_encoding_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="ndjson, msgpack or json"):
        Client("ws://localhost/ws/", encoding="xml")  # type: ignore[arg-type]


async def test_a_server_that_is_away_is_told_after_the_timeout() -> None:
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await refused(Client(f"ws://ada:secret@127.0.0.1:{port}/ws/", timeout=0.3))
    assert error.code == "timeout"
    assert "secret" not in error.message
    assert "ConnectionRefusedError" in error.message


async def test_a_client_is_used_once(script: Script) -> None:
    client, _ = await opened(script)
    await client.close()
    with pytest.raises(RuntimeError, match="another one"):
        await client.__aenter__()
    for _ in range(9):
        with pytest.raises(RealtimeError, match="closed") as raised:
            await client.request({"type": "ping"})
    assert len(raised.traceback) < 9
    assert client.state == "closed"


async def test_a_block_that_is_cancelled_leaves_nothing_behind(script: Script) -> None:
    """Neither before the first connection nor after it."""
    before = asyncio.all_tasks()
    opening = asyncio.create_task(Client(script.url).__aenter__())
    await script.socket()
    opening.cancel()
    await asyncio.wait({opening})
    client, socket = await opened(script)
    await client.close()
    await socket.gone()
    await eventually(lambda: len(asyncio.all_tasks()) <= len(before))


async def test_a_request_that_is_late_says_what_is_known(script: Script) -> None:
    client, socket = await opened(script)
    with pytest.raises(RealtimeError) as raised:
        await client.request({"type": "presence", "room": "general"}, timeout=0.1)
    assert (raised.value.code, raised.value.outcome) == ("timeout", "unknown")
    await lost(client, socket)
    with pytest.raises(RealtimeError) as raised:
        await client.request({"type": "presence", "room": "general"})
    assert (raised.value.code, raised.value.outcome) == ("offline", "not_sent")
    await client.close()


async def test_a_request_on_a_line_that_is_closing_fails_at_once(script: Script) -> None:
    """A server that does not read holds up the close."""
    client, socket = await opened(script)
    line = client._connection.line
    assert line is not None
    socket.connection.transport.pause_reading()
    await socket.send({"type": "disconnect", "code": 4001, "reason": "", "reconnect": True})
    await eventually(lambda: line.is_over)
    with pytest.raises(RealtimeError) as raised:
        await client.request({"type": "presence", "room": "general"}, timeout=3)
    assert (raised.value.code, raised.value.outcome) == ("offline", "not_sent")
    await client.close()


async def test_a_request_whose_line_is_lost_has_an_unknown_outcome(script: Script) -> None:
    client, socket = await opened(script)
    asking = asyncio.create_task(client.request({"type": "presence", "room": "general"}))
    await socket.expect("presence")
    await socket.close(1011)
    with pytest.raises(RealtimeError) as raised:
        await asking
    assert (raised.value.code, raised.value.outcome) == ("offline", "unknown")
    await client.close()
