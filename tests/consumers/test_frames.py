"""What one frame, and one client's frames together, may cost: it is paid before it is decoded."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from harness.client.in_process import Socket
from harness.waiting import eventually
from realtime.consumers import Consumer
from realtime.consumers.frames import BAD_OBJECTS, OBJECT_BYTES
from realtime.engine.connections import turns
from realtime.engine.connections.turns import TURN_SECONDS
from realtime.engine.engine import Engine
from realtime.wire.codecs import CODECS, Decoded, Part
from realtime.wire.commands import Command
from realtime.wire.decoder import Decoder
from realtime.wire.errors import CloseCode, Disconnect
from tests.consumers.test_sign_in import strict

__all__ = ["strict"]

FRAME_BYTES = 64 * 1024
TINY = {
    "empty maps": ("msgpack", b"\x80"),
    "integers": ("msgpack", b"\x01"),
    "extensions": ("msgpack", b"\xc7\x00\x01"),
    "unknown types in MessagePack": ("msgpack", b"\x81\xa4type\xa1x"),
    "empty objects": ("ndjson", "{}\n"),
    "numbers": ("ndjson", "1\n"),
    "no JSON": ("ndjson", "x\n"),
    "unknown types in NDJSON": ("ndjson", '{"type":"x"}\n'),
}
PING = '{"type":"ping","ref":%d}'


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """All objects that are decoded from now on."""
    seen: list[Part] = []

    def noting(command: Callable[..., Decoded]) -> Callable[..., Decoded]:
        def note(part: Part, decoder: Decoder) -> Decoded:
            seen.append(part)
            return command(part, decoder)

        return note

    for codec in CODECS.values():
        monkeypatch.setattr(codec, "command", noting(codec.command))
    return seen


def full(part: Any, size: int) -> Any:
    """A frame of this size at most that holds nothing but copies of an object."""
    return part * (size // len(part))


@pytest.mark.parametrize("name", TINY)
async def test_after_five_bad_objects_the_rest_of_a_frame_is_not_decoded(
    engine: Engine, objects: list[Part], name: str
) -> None:
    """Each of the five is answered, and the next frame is read as ever."""
    encoding, part = TINY[name]
    async with Socket(encoding=encoding) as socket:
        await socket.raw(full(part, FRAME_BYTES))
        errors = [await socket.receive() for _ in range(BAD_OBJECTS)]
        assert {error["type"] for error in errors} == {"error"}
        assert "the rest of the frame is not read" in errors[-1]["message"]
        assert (await socket.ask("ping"))["type"] == "pong"
    assert len(objects) == BAD_OBJECTS + 1


async def test_five_such_frames_end_the_connection(engine: Engine, objects: list[Part]) -> None:
    async with Socket(encoding="msgpack") as socket:
        for _ in range(5):
            await socket.raw(full(b"\x80", FRAME_BYTES))
        assert (await socket.ended())[1] == CloseCode.TOO_MANY_ERRORS
    assert len(objects) == 5 * BAD_OBJECTS


@pytest.mark.parametrize("name", TINY)
async def test_of_a_strangers_frame_four_objects_are_decoded(
    strict: Engine, objects: list[Part], name: str
) -> None:
    """Before a client has said who it is, the fourth bad one is the last."""
    encoding, part = TINY[name]
    socket = Socket(encoding=encoding)
    await socket.open()
    await socket.raw(full(part, 4096))
    assert (await socket.ended())[1] == CloseCode.UNAUTHENTICATED
    assert len(objects) == 4


@pytest.mark.parametrize("encoding", ["ndjson", "msgpack"])
async def test_a_frame_holds_so_many_commands(
    engine: Engine, settings: Settings, objects: list[Part], encoding: str
) -> None:
    """The first ones are carried out, and the client is told that the others are not."""
    limited(settings, COMMANDS_PER_FRAME=3)
    part: Any = {"ndjson": '{"type":"ping"}\n', "msgpack": b"\x81\xa4type\xa4ping"}[encoding]
    async with Socket(encoding=encoding) as socket:
        await socket.raw(part * 3)
        for _ in range(3):
            assert (await socket.receive())["type"] == "pong"
        await socket.raw(part * 4000)
        items = [await socket.receive() for _ in range(4)]
        assert [item["type"] for item in items] == ["pong", "pong", "pong", "error"]
        assert (items[-1]["code"], items[-1]["retryable"]) == ("too_large", False)
        assert "at most 3 commands" in items[-1]["message"]
        assert (await socket.ask("ping"))["type"] == "pong"
    assert len(objects) == 7


def limited(settings: Settings, **limits: float) -> None:
    settings.REALTIME = {**settings.REALTIME, **limits}


async def test_a_client_that_sends_too_much_is_read_more_slowly(
    engine: Engine, settings: Settings, objects: list[Part]
) -> None:
    """Nothing is refused, nothing more is decoded meanwhile, and nobody else waits."""
    limited(settings, RECEIVE_BYTES_PER_SECOND=10_000, RECEIVE_BYTES_BURST=10_000)
    async with Socket() as socket, Socket() as other:
        await socket.ask("ping", t="x" * 14_000)
        began, before = time.monotonic(), len(objects)
        await socket.send("ping", ref="late")
        assert (await other.ask("ping"))["type"] == "pong"
        assert len(objects) == before + 1
        await socket.expect("pong", ref="late")
        assert time.monotonic() - began > 0.2
        assert (await socket.ask("ping"))["type"] == "pong"


async def test_a_frame_of_many_commands_is_decoded_as_it_is_paid_for(
    engine: Engine, settings: Settings, objects: list[Part]
) -> None:
    """An allowance of ten objects stops in the middle of a frame of forty."""
    room = 10 * (OBJECT_BYTES + len(PING))
    limited(settings, RECEIVE_BYTES_PER_SECOND=room, RECEIVE_BYTES_BURST=room)
    async with Socket(encoding="ndjson") as socket:
        await socket.raw("\n".join(PING % number for number in range(40)))
        await socket.expect("pong", ref=5)
        await asyncio.sleep(0)
        assert len(objects) < 20
        await socket.expect("pong", ref=39)


async def test_decoding_that_takes_long_is_paid_by_its_time(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few bytes it was."""
    limited(settings, RECEIVE_BYTES_PER_SECOND=1_000_000, RECEIVE_BYTES_BURST=100_000)
    codec = CODECS["realtime.v1.json"]
    command = codec.command

    def slowly(part: Part, decoder: Decoder) -> Decoded:
        time.sleep(0.02)  # as a frame that is hard to decode: 0.02 s are worth 335,544 bytes
        return command(part, decoder)

    async with Socket() as socket:
        monkeypatch.setattr(codec, "command", slowly)
        await socket.ask("ping")
        monkeypatch.undo()
        began = time.monotonic()
        await socket.ask("ping")
        assert time.monotonic() - began > 0.05


async def test_a_client_that_is_read_slowly_can_be_ended_at_once(
    engine: Engine, settings: Settings
) -> None:
    """The end of a connection does not wait for what it owes."""
    limited(settings, RECEIVE_BYTES_PER_SECOND=1000, RECEIVE_BYTES_BURST=20_000)
    async with Socket() as socket:
        await socket.ask("ping", t="x" * 40_000)
        await socket.send("ping")
        consumer = consumer_of(engine, socket)
        await eventually(lambda: consumer.connection.is_paused)
        consumer.end(Disconnect(CloseCode.KICKED))
        assert (await socket.ended())[1] == CloseCode.KICKED
        await eventually(lambda: not consumer.connection.is_paused)


async def test_a_client_that_is_read_slowly_is_not_silent(
    engine: Engine, settings: Settings
) -> None:
    """What it says waits, so it is neither asked nor ended."""
    limited(settings, RECEIVE_BYTES_PER_SECOND=20_000, RECEIVE_BYTES_BURST=20_000)
    limited(settings, HEARTBEAT_SECONDS=0.2)
    async with Socket() as socket:
        await socket.ask("ping", t="x" * 40_000)
        await socket.send("ping", ref="late")
        item = await socket.receive()
        assert (item["type"], item["ref"]) == ("pong", "late")


def consumer_of(engine: Engine, socket: Socket) -> Consumer:
    consumer = engine.connections[socket.welcome["connection"]].events
    assert isinstance(consumer, Consumer)
    return consumer


class SlowClock:
    """Each look at it, which is one for each command, takes a twentieth of a turn."""

    now = 0.0

    def perf_counter(self) -> float:
        self.now += TURN_SECONDS / 20
        return self.now


async def test_others_have_their_turn_while_a_frame_is_carried_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand commands that wait for nothing do not hold up one of somebody else."""
    monkeypatch.setattr(turns, "time", SlowClock())
    order: list[str] = []

    class Noting(Consumer):
        async def handle(self, command: Command) -> None:
            order.append(self.id)
            await super().handle(command)

    many = Socket(application=Noting.as_asgi(), encoding="ndjson")
    one = Socket(application=Noting.as_asgi())
    async with many, one:
        await many.raw("\n".join(PING % number for number in range(1000)))
        await one.send("ping", ref="one")
        await one.expect("pong", ref="one")
        await many.expect("pong", ref=999)
    assert order.index(one.welcome["connection"]) < 200


async def test_others_have_their_turn_while_many_frames_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where each command came in a frame of its own."""
    monkeypatch.setattr(turns, "time", SlowClock())
    async with Socket() as many, Socket() as one:
        for number in range(500):
            await many.send("ping", ref=number)
        await one.send("ping", ref="one")
        await one.expect("pong", ref="one")
        assert not any(item.get("ref") == 499 for item in many.seen)
        assert many.communicator.output_queue.qsize() < 500
        await many.expect("pong", ref=499)
