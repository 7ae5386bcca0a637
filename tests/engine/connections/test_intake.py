"""What one client may send is bounded before a server parses it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from harness.client.frames import CONTINUATION, PING, PONG, TEXT, frame, head
from harness.waiting import eventually
from realtime.engine.connections import intake as module
from realtime.engine.connections.intake import EXTRAS_BURST, Intake
from realtime.wire.errors import CloseCode, Disconnect
from realtime.wire.scanner import DISCARD_BYTES

LIMIT = 64 * 1024


class Transport:
    """The part of an asyncio transport that is used."""

    def __init__(self, protocol: "Uvicorn") -> None:
        self.protocol = protocol
        self.is_reading = True
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_protocol(self) -> "Uvicorn":
        return self.protocol

    def set_protocol(self, protocol: "Uvicorn") -> None:
        self.received = protocol.data_received

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


class Uvicorn:
    """The part of uvicorn's protocol that is used; `parsed` has the bytes that it got to parse."""

    def __init__(self) -> None:
        self.transport = Transport(self)
        self.conn = SimpleNamespace(max_message_size=16 * DISCARD_BYTES)
        self._parsed = bytearray()

    @property
    def parsed(self) -> bytes:
        return bytes(self._parsed)

    def data_received(self, data: bytes) -> None:
        self._parsed += data

    async def send(self, message: dict[str, Any]) -> None:
        raise AssertionError


class End:
    """A connection with its intake."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.server = Uvicorn()
        self.ends: list[Disconnect] = []
        self.refused = 0
        self.intake = Intake(self.server.send, self.ends.append, self._refuse)
        if is_open:
            self.intake.open()

    def _refuse(self) -> None:
        self.refused += 1

    def receive(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.server.transport.received(chunk)

    @property
    def codes(self) -> list[int]:
        return [why.code for why in self.ends]

    @property
    def is_reading(self) -> bool:
        return self.server.transport.is_reading


@pytest.fixture
async def end() -> End:
    return End()


async def test_messages_reach_the_server_as_they_came(end: End) -> None:
    chunks = [frame("hello"), frame("x" * LIMIT)[:5], frame("x" * LIMIT)[5:], frame("", PING)]
    end.receive(*chunks)
    assert end.server.parsed == b"".join(chunks)
    assert (end.ends, end.refused) == ([], 0)


async def test_the_servers_own_limit_is_ours(end: End) -> None:
    """It counts unpacked bytes of compressed messages, which only the server sees."""
    assert end.server.conn.max_message_size == LIMIT


@pytest.mark.parametrize("unit", [frame("", PING), frame("x" * 125, PONG), frame("", TEXT)])
async def test_frames_without_messages_end_a_connection(end: End, unit: bytes) -> None:
    """In one chunk, of which nothing is parsed, or one by one."""
    end.receive(unit * 10 * EXTRAS_BURST)
    assert end.codes == [CloseCode.RATE_LIMITED]
    assert (end.server.parsed, end.is_reading) == (b"", False)
    other = End()
    other.receive(*[unit] * (EXTRAS_BURST + 20))
    assert other.codes == [CloseCode.RATE_LIMITED]
    assert len(other.server.parsed) < (EXTRAS_BURST + 10) * len(unit)


async def test_empty_fragments_end_a_connection(end: End) -> None:
    end.receive(frame("", is_last=False))
    end.receive(frame("", CONTINUATION, is_last=False) * 10 * EXTRAS_BURST)
    assert end.codes == [CloseCode.RATE_LIMITED]


async def test_more_commands_than_any_allowance_end_a_connection(end: End) -> None:
    """Before they are decoded one by one."""
    end.receive(frame("{}") * 5000)
    assert end.codes == [CloseCode.RATE_LIMITED]


async def test_a_client_that_sends_as_much_as_it_may_stays(end: End) -> None:
    """All allowances at once, and control frames."""
    end.receive(frame("{}") * 200, *[frame("", PING)] * 50)
    assert end.ends == []


async def test_large_messages_in_small_fragments_may_be_sent_as_often_as_whole_ones(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten a second for a minute, of 8 KB, from a library with a buffer of 1 KB."""
    now = [0.0]
    monkeypatch.setattr(end.intake._loop, "time", lambda: now[0])
    end.intake = Intake(end.server.send, end.ends.append, end._refuse)
    end.intake.open()
    for _ in range(600):
        now[0] += 0.1
        end.receive(frame("x" * 1024, TEXT, is_last=False))
        end.receive(*[frame("x" * 1024, CONTINUATION, is_last=False)] * 6)
        end.receive(frame("x" * 8, CONTINUATION))
        end.intake.received()
    assert end.ends == []


async def test_a_frame_that_is_too_large_is_refused_and_kept_nowhere(end: End) -> None:
    end.receive(head(LIMIT + 1), b"x" * LIMIT, b"x" + frame("after"))
    assert end.refused == 1
    assert end.server.parsed == frame("after")
    assert end.ends == []


@pytest.mark.parametrize(
    "chunks",
    [
        [head(DISCARD_BYTES + 1)],
        [frame("x" * LIMIT, is_last=False), frame("x", CONTINUATION)],
    ],
    ids=["one frame", "fragments"],
)
async def test_a_message_that_cannot_be_passed_over_ends_a_connection(
    end: End, chunks: list[bytes]
) -> None:
    end.receive(*chunks)
    assert (end.refused, end.codes) == (1, [CloseCode.TOO_MANY_ERRORS])
    assert not end.is_reading


@pytest.mark.parametrize(
    "begun",
    [b"\x81", head(10), head(LIMIT)[:3], frame("x", is_last=False), frame("x" * 50)[:-1]],
    ids=["a byte", "a head", "part of a head", "a fragment", "all but the last byte"],
)
async def test_a_message_that_is_never_finished_ends_a_connection(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """Also where pings come meanwhile."""
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.05)
    end = End()
    end.receive(frame("before") + begun)
    await eventually(lambda: end.ends)
    assert end.codes == [CloseCode.SILENT]


async def test_messages_that_end_in_time_may_go_on_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though each chunk ends within one."""
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.3)
    end, loop = End(), asyncio.get_running_loop()
    whole, until = frame("x" * 50), loop.time() + 0.8
    end.receive(whole[:20])
    while loop.time() < until:
        end.receive(whole[20:] + whole[:20])
        await asyncio.sleep(0.05)
    assert end.ends == []


async def test_a_pause_of_reading_closes_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While reading was stopped, the rest could not come."""
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.05)
    end = End()
    end.receive(frame("x" * 50)[:20])
    end.intake.stop()
    await asyncio.sleep(0.12)
    assert end.ends == []
    end.intake.check()
    await eventually(lambda: end.ends)


async def test_a_client_that_was_cut_is_dropped(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer to the close is not read, so no server waits for that."""
    monkeypatch.setattr(module, "CUT_SECONDS", 0.01)
    end.receive(frame("", PING) * 10 * EXTRAS_BURST)
    await eventually(lambda: end.server.transport.is_aborted)


async def test_what_comes_before_the_handshake_is_done_waits() -> None:
    """One chunk; then nothing is read."""
    end = End(is_open=False)
    end.receive(frame("early"))
    assert (end.server.parsed, end.is_reading) == (b"", False)
    end.intake.open()
    assert (end.server.parsed, end.is_reading) == (frame("early"), True)


async def test_input_that_waits_for_its_handler_stops_the_reading(end: End) -> None:
    """By number or by bytes; it goes on once the handler has caught up."""
    for number, size in ((Intake.FULL + 1, 10), (4, LIMIT)):
        end.receive(*[frame("x" * size)] * number)
        assert not end.is_reading
        for _ in range(number):
            assert not end.is_reading or number < Intake.DRAINED + Intake.FULL
            end.intake.received()
            end.intake.check()
        assert end.is_reading


async def test_more_bytes_than_messages_may_have_are_read_later(end: End) -> None:
    """A client that only sends what is too large is slowed down to its allowance."""
    for _ in range(3):
        end.receive(head(DISCARD_BYTES), bytes(DISCARD_BYTES))
    assert not end.is_reading
    await eventually(lambda: end.is_reading)
    assert end.ends == []


async def test_a_client_that_is_gone_is_let_go(end: End) -> None:
    """The server receives by itself again, and refers to nothing of ours."""
    end.intake.close(is_gone=True)
    assert "data_received" not in vars(end.server)


async def test_a_closed_connection_is_still_held_to_its_allowance(end: End) -> None:
    """A server listens for the answer to a close for seconds."""
    end.intake.close(is_gone=False)
    end.receive(frame("", PING) * 10 * EXTRAS_BURST)
    assert end.server.parsed == b""
    assert not end.is_reading


async def test_many_frames_of_a_chunk_are_parsed_in_turns(end: End) -> None:
    """In their order, all of them, and nothing is read meanwhile."""
    chunk = b"".join(frame(f"ping {number}") for number in range(200))
    end.server.data_received(chunk)
    assert 0 < len(end.server.parsed) < len(chunk) / 2
    assert not end.server.transport.is_reading
    end.server.data_received(more := frame("one more"))  # a server may have read it already
    await eventually(lambda: end.server.parsed == chunk + more)
    for _ in range(201):
        end.intake.received()
    assert end.server.transport.is_reading


async def test_frames_that_wait_for_their_turn_are_dropped_with_the_connection(end: End) -> None:
    end.server.data_received(frame("ping") * 200)
    parsed = end.server.parsed
    end.intake.close(is_gone=True)
    await asyncio.sleep(0)
    assert end.server.parsed == parsed
