"""The outbox: frames in order, no waiting for other clients, and a close of slow ones."""

import asyncio
import contextvars
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from harness.client.encoding import Object
from harness.waiting import eventually
from realtime.engine.connections import outbox as module
from realtime.engine.connections.ledger import Ledger
from realtime.engine.connections.outbox import Outbox
from realtime.wire.codecs import JSON, MSGPACK
from realtime.wire.errors import CloseCode, Disconnect
from realtime.wire.events import Notice
from realtime.wire.packet import Packet
from tests.engine.ends import End, Server, ticks
from tests.lines import all_again


async def test_a_frame_is_sent_before_send_returns() -> None:
    """Where the server's `send` does not suspend, no task and no queue is needed."""
    end = End()
    end.outbox.send("a")
    assert end.server.frames == ["a"]
    assert len(asyncio.all_tasks()) == 1


async def test_a_frame_can_be_sent_from_outside_of_any_task() -> None:
    """A callback of the loop may send as well."""
    end = End()
    asyncio.get_running_loop().call_soon(end.outbox.send, "a")
    await ticks()
    assert end.server.frames == ["a"]


async def test_text_and_bytes_go_out_as_such() -> None:
    """The kind of the frame decides the key of the ASGI message."""
    end = End()
    end.outbox.send("a")
    end.outbox.send(b"b")
    assert end.server.messages == [
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "bytes": b"b"},
    ]


async def test_a_reply_is_encoded_as_the_client_wants() -> None:
    """The connection's own codec encodes replies."""
    end = End(codec=MSGPACK)
    end.outbox.reply(Notice(level="info", text="é"))
    assert end.items == [{"type": "notice", "level": "info", "text": "é"}]


def notice(text: str) -> Notice:
    return Notice(level="info", text=text)


async def test_replies_of_one_turn_leave_together_and_before_what_follows() -> None:
    """A commit acknowledges many messages: one write for all, and none overtakes another."""
    writes: list[bytes] = []
    end = End()
    end.outbox._write_raw = lambda packet: not writes.append(packet.raw)
    for text in ("a", "b"):
        end.outbox.reply_soon(notice(text))
    assert writes == []
    await ticks()
    assert [raw.count(b'"notice"') for raw in writes] == [2]
    end.outbox.reply_soon(notice("c"))
    end.outbox.send("d")
    assert [raw.count(b'"notice"') for raw in writes] == [2, 1, 0]


async def test_replies_that_wait_are_sent_before_the_close() -> None:
    """What was committed is acknowledged, also when the server ends in the same turn."""
    end = End()
    end.outbox.reply_soon(notice("a"))
    await end.outbox.close_with(Disconnect(CloseCode.SHUTDOWN), str)
    assert [item["type"] for item in end.items] == ["notice", "disconnect"]


async def test_replies_that_wait_for_a_closed_connection_are_dropped() -> None:
    """The client has gone, and they were for this client alone."""
    end = End()
    end.outbox.reply_soon(notice("a"))
    end.outbox.close()
    await ticks()
    assert end.server.messages == []


async def test_order_is_kept_over_a_send_that_suspends() -> None:
    """What comes while a frame is under way waits behind it."""
    end = End()
    end.outbox.send("a")
    end.server.gate.clear()
    end.outbox.send("b")
    end.outbox.send("c")
    await ticks()
    assert end.server.frames == ["a"]
    end.server.gate.set()
    end.outbox.send("d")
    await eventually(lambda: len(end.server.frames) == 4)
    assert end.server.frames == ["a", "b", "c", "d"]
    end.outbox.send("e")
    assert end.server.frames[-1] == "e"
    assert end.ends == []


@given(
    suspensions=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    pauses=st.lists(st.integers(0, 4), max_size=30),
)
def test_any_mixture_of_suspensions_keeps_the_order(
    suspensions: list[int], pauses: list[int]
) -> None:
    """Frames arrive once each and in order, however often the server suspends."""

    async def run() -> None:
        sent: list[str] = []

        async def send(message: Object) -> None:
            for _ in range(suspensions[int(message["text"])]):
                await asyncio.sleep(0)
            sent.append(message["text"])

        outbox = Outbox("n.1", send, JSON, lambda why: None)
        for number in range(len(suspensions)):
            outbox.send(str(number))
            await ticks(pauses[number] if number < len(pauses) else 0)
        await ticks(5 * len(suspensions))
        assert sent == [str(number) for number in range(len(suspensions))]

    asyncio.run(run())


async def test_a_server_that_insists_on_a_task_gets_one() -> None:
    """`asyncio.timeout` refuses to run outside of a task, and the frame still arrives."""
    sent: list[str] = []

    async def send(message: Object) -> None:
        async with asyncio.timeout(5):
            sent.append(message["text"])

    outbox = Outbox("n.1", send, JSON, lambda why: None)
    loop = asyncio.get_running_loop()
    loop.call_soon(outbox.send, "a")
    loop.call_soon(outbox.send, "b")
    await eventually(lambda: len(sent) == 2)
    assert sent == ["a", "b"]


async def test_a_peer_that_has_gone_ends_nothing_and_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An OSError means what `receive` is about to report as well."""
    end = End()
    end.server.error = ConnectionResetError()
    end.outbox.send("a")
    end.server.error = None
    end.outbox.send("b")
    assert (end.server.frames, end.ends, caplog.records) == ([], [], [])


@pytest.mark.parametrize("is_suspended", [False, True])
@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("after close")])
async def test_a_server_that_fails_ends_the_connection_once(
    error: Exception, is_suspended: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Any other exception is logged once, and nothing more is sent."""
    end = End()
    end.server.error = error
    if is_suspended:
        end.server.gate.clear()
    end.outbox.send("a")
    end.server.gate.set()
    await eventually(lambda: end.ends)
    end.server.error = None
    end.outbox.send("b")
    await ticks()
    assert [why.code for why in end.ends] == [CloseCode.INTERNAL]
    assert end.server.frames == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_connection_whose_server_failed_is_still_closed() -> None:
    """The close is sent although no more frames are."""
    end = End()
    end.server.error = ValueError("odd")
    end.outbox.send("a")
    end.server.error = None
    await end.outbox.close_with(end.ends[0], str)
    assert [message["type"] for message in end.server.messages] == [
        "websocket.send",
        "websocket.close",
    ]


# Slow readers.


def limit(settings: Settings, **limits: int) -> None:
    settings.REALTIME = limits


def blocked(**options: Any) -> End:
    end = End(**options)
    end.server.gate.clear()
    end.outbox.send("under way")
    return end


async def test_too_many_frames_end_it_as_slow(settings: Settings) -> None:
    """One frame beyond the bound is one too many, and the reason is reported once."""
    limit(settings, OUTBOX_FRAMES=5)
    end = blocked()
    for number in range(5):
        end.outbox.send(str(number))
    assert end.ends == []
    for _ in range(5):
        end.outbox.send("more")
    assert [why.code for why in end.ends] == [CloseCode.SLOW]
    end.outbox.close()


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
async def test_too_many_bytes_end_it_as_slow(settings: Settings, letter: str) -> None:
    """The byte budget counts bytes of UTF-8, not characters."""
    limit(settings, OUTBOX_BYTES=100)
    end = blocked()
    size = len(letter.encode())
    for _ in range(100 // size):
        end.outbox.send(letter)
    assert end.ends == []
    end.outbox.send(letter)
    assert [why.code for why in end.ends] == [CloseCode.SLOW]
    end.outbox.close()


async def test_bytes_that_went_out_are_given_back(settings: Settings) -> None:
    """The budget is for what waits, not for what was ever sent."""
    limit(settings, OUTBOX_BYTES=100)
    end = blocked()
    for number in range(1, 6):
        end.outbox.send("é" * 45)
        end.server.gate.set()
        await eventually(lambda number=number: len(end.server.frames) == 2 * number)  # type: ignore[misc]
        end.server.gate.clear()
        end.outbox.send("under way")
    assert end.ends == []
    end.outbox.close()


async def test_a_queue_four_fifths_full_is_warned_of_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names the connection, and comes again only after the queue has drained."""
    limit(settings, OUTBOX_FRAMES=10)
    end = blocked(name="node.7")
    for number in range(8):
        end.outbox.send(str(number))
    assert caplog.records == []
    end.outbox.send("ninth")
    end.outbox.send("tenth")
    [record] = caplog.records
    assert (record.name, record.levelno) == ("realtime.outbox", logging.WARNING)
    assert "node.7" in record.getMessage()
    end.server.gate.set()
    await eventually(lambda: len(end.server.frames) == 11)
    end.server.gate.clear()
    all_again()
    for number in range(10):
        end.outbox.send(str(number))
    assert len(caplog.records) == 2
    end.outbox.close()


async def test_a_socket_that_accepts_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One frame that does not get through for too long is enough."""
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.02)
    end = blocked()
    await eventually(lambda: end.ends)
    assert [why.code for why in end.ends] == [CloseCode.SLOW]
    end.outbox.close()


async def test_a_socket_that_accepts_something_is_not_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every frame that gets through begins the time anew."""
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.3)
    end, loop = blocked(), asyncio.get_running_loop()
    began = loop.time()
    while loop.time() < began + 0.6:
        end.outbox.send("next")
        number = len(end.server.frames)
        end.server.gate.set()
        await eventually(lambda number=number: len(end.server.frames) > number)  # type: ignore[misc]
        end.server.gate.clear()
        end.outbox.send("under way")
    assert end.ends == []
    end.outbox.close()


async def test_a_drained_socket_is_not_cut_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timer is left once nothing waits."""
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.02)
    end = blocked()
    end.server.gate.set()
    await eventually(lambda: end.server.frames)
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, done.set)
    await done.wait()
    assert end.ends == []


class Daphne:
    """The part of Daphne that the outbox needs: a `send` bound to a protocol."""

    def __init__(self, server: Server) -> None:
        self.args = (self,)
        self.transport = self
        self.is_aborted = False
        self.producer: Any = object()
        self.server = server

    async def __call__(self, message: Object) -> None:
        await self.server.send(message)

    def unregisterProducer(self) -> None:  # noqa: N802
        self.producer = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        assert self.producer is None
        assert streaming
        self.producer = producer

    def abortConnection(self) -> None:  # noqa: N802
        self.is_aborted = True


def on_daphne() -> tuple[Daphne, End]:
    end = End()
    daphne = Daphne(end.server)
    end.outbox = Outbox("n.1", daphne, JSON, end.ends.append)
    end.outbox.open()
    return daphne, end


async def test_a_full_transport_holds_frames_back() -> None:
    """Between pause and resume frames wait, then they come in order."""
    daphne, end = on_daphne()
    end.outbox.send("a")
    daphne.producer.pauseProducing()
    end.outbox.send("b")
    end.outbox.send("c")
    await ticks()
    assert end.server.frames == ["a"]
    daphne.producer.resumeProducing()
    end.outbox.send("d")
    await eventually(lambda: len(end.server.frames) == 4)
    assert end.server.frames == ["a", "b", "c", "d"]


async def test_a_transport_that_fills_up_again_stops_the_rest() -> None:
    """A pause in the middle of draining is obeyed at the next frame."""
    daphne, end = on_daphne()
    daphne.producer.pauseProducing()
    for number in range(4):
        end.outbox.send(str(number))
    original = end.server.send

    async def send(message: Object) -> None:
        await original(message)
        if len(end.server.frames) == 2:
            daphne.producer.pauseProducing()

    end.server.send = send  # type: ignore[method-assign]
    daphne.producer.resumeProducing()
    await ticks(10)
    assert end.server.frames == ["0", "1"]
    daphne.producer.resumeProducing()
    await eventually(lambda: len(end.server.frames) == 4)
    assert end.server.frames == ["0", "1", "2", "3"]


async def test_a_transport_that_stays_full_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing waits to be sent: the peer reads nothing."""
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.02)
    daphne, end = on_daphne()
    daphne.producer.pauseProducing()
    await eventually(lambda: end.ends)
    assert [why.code for why in end.ends] == [CloseCode.SLOW]
    end.outbox.close()


async def test_a_transport_that_drains_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming stops the clock."""
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.02)
    daphne, end = on_daphne()
    daphne.producer.pauseProducing()
    daphne.producer.resumeProducing()
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, done.set)
    await done.wait()
    assert end.ends == []


async def test_a_socket_can_be_dropped() -> None:
    """Aborting reaches the transport under the server's `send`."""
    daphne, end = on_daphne()
    end.outbox.abort()
    assert daphne.is_aborted


async def test_where_no_transport_is_found_nothing_is_done() -> None:
    """An unknown server works without backpressure."""
    end = End()
    end.outbox.open()
    end.outbox.abort()
    end.outbox.send("a")
    assert end.server.frames == ["a"]


# Under middleware, and under servers that are not known.


def under_middleware(ledger: Ledger | None = None) -> End:
    """An outbox whose `send` is not the server's own."""
    end = End()
    server = end.server.send
    end.outbox = Outbox("n.1", server, JSON, end.ends.append, server=object(), ledger=ledger)
    return end


async def test_an_awaitable_that_is_no_coroutine_will_do() -> None:
    """ASGI requires no more of `send`."""
    sent: list[str] = []

    def send(message: Object) -> asyncio.Future[None]:
        sent.append(message["text"])
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    outbox = Outbox("n.1", send, JSON, lambda why: None, server=object())
    for text in "abc":
        outbox.send(text)
    await eventually(lambda: sent == ["a", "b", "c"])


async def test_middleware_runs_in_the_context_of_its_connection() -> None:
    """Any task may send: traces and request variables are those of the connection."""
    variable = contextvars.ContextVar("variable", default="of another task")
    seen: list[str] = []

    async def send(message: Object) -> None:
        await asyncio.sleep(0)
        seen.append(variable.get())

    variable.set("its own")
    outbox = Outbox("n.1", send, JSON, lambda why: None, server=object())
    contextvars.Context().run(outbox.send, "a")
    await eventually(lambda: seen)
    assert seen == ["its own"]


async def test_frames_that_wait_for_their_task_are_sent_before_the_close() -> None:
    """What was committed is acknowledged, also where nothing is sent without a task."""
    end = under_middleware()
    for text in "ab":
        end.outbox.send(text)
    await end.outbox.close_with(Disconnect(CloseCode.SHUTDOWN), str)
    assert end.server.frames[:2] == ["a", "b"]
    assert [message["type"] for message in end.server.messages][-1] == "websocket.close"


async def test_a_client_that_acknowledges_is_sent_everything() -> None:
    """In however many rounds."""
    end = under_middleware(Ledger(100))
    for number in range(50):
        end.outbox.send(f"{number:10}")
    while len(end.server.frames) - len(tokens := _tokens(end)) < 50:
        end.outbox.acknowledge(tokens[-1] if tokens else None)
        await ticks()
    assert [one for one in end.server.frames if '"ping"' not in str(one)] == [
        f"{number:10}" for number in range(50)
    ]
    assert end.ends == []


async def test_a_client_that_acknowledges_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the server accepts everything; a guessed token does not help."""
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.05)
    end = under_middleware(Ledger(100))
    for number in range(50):
        end.outbox.send(f"{number:10}")
        end.outbox.acknowledge("0" * 16)
    await eventually(lambda: end.ends)
    assert [why.code for why in end.ends] == [CloseCode.SLOW]
    assert len(end.server.frames) == 10 + 1
    end.outbox.close()


def _tokens(end: End) -> list[str]:
    """The tokens of the pings that the client got."""
    return [json.loads(one)["t"] for one in end.server.frames if '"ping"' in str(one)]


class Holding:
    """A server under middleware, whose transport buffers what its client does not read."""

    def __init__(self) -> None:
        self.transport = self
        self.size = module.BUFFERED_BYTES + 1

    def get_write_buffer_size(self) -> int:
        return self.size

    async def send(self, message: Object) -> None:
        raise AssertionError


async def test_a_full_transport_is_seen_under_middleware_that_never_waits() -> None:
    """An unbounded queue between the application and the server accepts everything."""
    end, server = End(), Holding()
    end.outbox = Outbox("n.1", end.server.send, JSON, end.ends.append, server=server.send)
    end.outbox.send("a")
    await ticks()
    assert end.server.frames == []
    server.size = 0
    await eventually(lambda: end.server.frames == ["a"])


# The last words.


async def test_the_close_carries_the_reason() -> None:
    """An in-band `disconnect`, then the close with the same code; nothing after that."""
    end = End()
    await end.outbox.close_with(Disconnect(CloseCode.KICKED, "Out."), str)
    end.outbox.send("late")
    assert end.items == [{"type": "disconnect", "code": 4503, "reason": "Out.", "reconnect": False}]
    assert end.server.messages[-1] == {"type": "websocket.close", "code": 4503, "reason": "Out."}


async def test_only_the_first_close_is_sent() -> None:
    """Two reasons at once, and the client gets one."""
    end = End()
    for code in (CloseCode.SHUTDOWN, CloseCode.SLOW, CloseCode.KICKED):
        await end.outbox.close_with(Disconnect(code), str)
    assert [item["code"] for item in end.items] == [CloseCode.SHUTDOWN]
    assert len(end.server.messages) == 2


async def test_a_slow_client_gets_a_close_too(settings: Settings) -> None:
    """What waited is dropped, for the client to resume; the reason is tried once."""
    limit(settings, OUTBOX_FRAMES=1)
    end = blocked()
    end.outbox.send("waits")
    end.outbox.send("too many")
    end.server.gate.set()
    await end.outbox.close_with(end.ends[0], str)
    assert [item["code"] for item in end.kinds("disconnect")] == [CloseCode.SLOW]
    assert "waits" not in end.server.frames


async def test_a_close_that_cannot_be_sent_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer that reads nothing delays no other."""
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.02)
    end = blocked()
    async with asyncio.timeout(5):
        await end.outbox.close_with(Disconnect(CloseCode.SHUTDOWN), str)
    assert end.server.messages == []


async def test_a_reason_that_cannot_be_made_aborts_the_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A banned client must not stay connected because of a translation."""

    def fail(_: object) -> str:
        raise KeyError("fin")

    end, aborted = End(), list[bool]()
    monkeypatch.setattr(module.transport, "abort", lambda server: aborted.append(True))
    await end.outbox.close_with(Disconnect(CloseCode.KICKED), fail)
    assert aborted == [True]
    assert end.server.messages == []


# What a client has requested.


async def test_a_sender_waits_until_the_client_has_read() -> None:
    end = blocked()
    end.outbox.send("a")
    waiting = [asyncio.create_task(end.outbox.until_free()) for _ in range(2)]
    await ticks()
    assert not any(one.done() for one in waiting)
    end.server.gate.set()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert end.outbox.is_free


async def test_a_sender_does_not_wait_for_an_outbox_that_is_free_or_closed() -> None:
    end = blocked()
    end.outbox.send("a")
    waiting = asyncio.create_task(end.outbox.until_free())
    await ticks()
    end.outbox.close()
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(end.outbox.until_free(), 5)
    await asyncio.wait_for(End().outbox.until_free(), 5)


async def test_a_sender_waits_for_a_full_transport() -> None:
    daphne, end = on_daphne()
    daphne.producer.pauseProducing()
    waiting = asyncio.create_task(end.outbox.until_free())
    await ticks()
    assert not waiting.done()
    daphne.producer.resumeProducing()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("cut", [True, False])
async def test_a_sender_ends_its_wait_with_a_client_that_reads_nothing(
    monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    monkeypatch.setattr(module, "BLOCKED_SECONDS", 0.01 if cut else 60)
    end = blocked()
    end.outbox.send("a")
    waiting = asyncio.create_task(end.outbox.until_free())
    if not cut:
        await ticks()
        end.outbox._fail(RuntimeError("broken"))
    await asyncio.wait_for(waiting, 5)
    assert not end.outbox.is_free


async def test_what_was_requested_does_not_end_it_as_slow(settings: Settings) -> None:
    """It is sent in its order, and what comes beside it counts as before."""
    limit(settings, OUTBOX_FRAMES=3, OUTBOX_BYTES=10)
    end = blocked()
    end.outbox.send("1")
    end.outbox.post(Packet(["page"] * 20), is_requested=True)
    for letter in "bc":
        end.outbox.send(letter)
    assert end.ends == []
    assert (len(end.outbox.queue), end.outbox.queue.size) == (23, 83)
    end.server.gate.set()
    await asyncio.wait_for(end.outbox.until_free(), 5)
    assert end.server.frames[1:] == ["1", *["page"] * 20, "b", "c"]
    end.server.gate.clear()
    end.outbox.send("d")
    for letter in "efg":
        end.outbox.send(letter)
    assert end.ends == []
    end.outbox.send("h")
    assert [why.code for why in end.ends] == [CloseCode.SLOW]


async def test_one_frame_that_is_larger_than_the_limit_does_not_end_it(settings: Settings) -> None:
    """It says nothing about how the client reads."""
    limit(settings, OUTBOX_BYTES=10)
    end = End()
    end.outbox._enqueue("x" * 100, is_counted=True)
    assert end.ends == []
    end.outbox._enqueue("x", is_counted=True)
    assert [why.code for why in end.ends] == [CloseCode.SLOW]


async def test_senders_that_wait_take_turns() -> None:
    """One that sends for ever keeps no other from its turn."""
    end = blocked()
    begun: list[str] = []

    async def send(letter: str, times: int) -> None:
        for _ in range(times):
            await end.outbox.until_free()
            begun.append(letter)
            end.server.gate.clear()
            end.outbox.send(letter)

    tasks = [asyncio.create_task(send(letter, times)) for letter, times in (("a", 50), ("b", 2))]
    while not tasks[1].done():
        await ticks()
        end.server.gate.set()
        await ticks()
    assert begun[:4] == ["a", "b", "a", "b"]
    tasks[0].cancel()
    await asyncio.wait(tasks)


async def test_a_sender_that_gives_up_keeps_no_other_waiting() -> None:
    end = blocked()
    first, second = [asyncio.create_task(end.outbox.until_free()) for _ in range(2)]
    await ticks()
    first.cancel()
    await ticks()
    end.server.gate.set()
    await asyncio.wait_for(second, 5)
