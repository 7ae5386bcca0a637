"""The sockets of the load client: who got what, while they all share one checked stream."""

import asyncio
import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import stream as module
from benchmarks.load.dialects import DIALECTS
from benchmarks.load.sockets import Book, Socket
from benchmarks.load.stream import Run
from harness.client.frames import PONG, TEXT
from tests.benchmarks.frames import PING, conversations, cuts, event, frame, pieces, said

OPENED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
ACK = b'{"type":"ack","room":"general","seq":7,"id":9,"nonce":"%d"}'


class Line:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_paused = self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        self.is_paused = True

    def abort(self) -> None:
        self.is_aborted = True


class Member:
    """A socket in a book, the server's end of it, and what it told of."""

    def __init__(self, book: Book, dialect: str = "json") -> None:
        self.line: Any = Line()
        self.socket = Socket(DIALECTS[dialect], b"GET")
        self.socket.connection_made(self.line)
        self.socket.data_received(OPENED)
        self.socket.is_in(book)
        self.runs: list[Run] = []
        self.acked: list[int] = []
        self.socket.on_run = self.runs.append
        self.socket.on_ack = self.acked.append
        self.line.written.clear()

    def gets(self, *data: bytes) -> None:
        for one in data:
            self.socket.data_received(one)

    @property
    def told(self) -> list[tuple[int, int]]:
        """The texts that its runs are made of."""
        return [(one, n) for one, first, last in self.runs for n in range(first, last + 1)]


def members(number: int, dialect: str = "json") -> tuple[Book, list[Member]]:
    """Members who follow one stream."""
    book = Book()
    found = [Member(book, dialect) for _ in range(number)]
    book.unite()
    return book, found


def texts(data: bytes) -> list[tuple[int, int]]:
    """The texts in some bytes, told apart from any code under test."""
    return [(int(one), int(n)) for one, n in re.findall(rb"~(\d+)\.(\d+)\.", data)]


def unmasked(written: bytes) -> tuple[int, bytes]:
    """Opcode and payload of one client's frame (RFC 6455, section 5.2)."""
    size, at = written[1] & 127, 2
    if size == 126:
        size, at = int.from_bytes(written[2:4], "big"), 4
    assert written[1] & 128
    key, payload = written[at : at + 4], written[at + 4 :]
    assert len(payload) == size
    return written[0] & 15, bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))


def interleaved(queues: list[list[bytes]], order: list[int]) -> list[tuple[int, bytes]]:
    """The pieces of each queue in their order, the queues in some order."""
    left = [list(queue) for queue in queues]
    found = []
    for turn in order:
        place = turn % len(left)
        if left[place]:
            found.append((place, left[place].pop(0)))
    return found + [(place, piece) for place, queue in enumerate(left) for piece in queue]


orders = st.lists(st.integers(0, 2), max_size=40)


@given(conversations(), st.tuples(cuts, cuts, cuts), orders)
async def test_all_who_get_the_same_are_in_one_stream(
    talk: list[bytes], places: tuple[list[int], ...], order: list[int]
) -> None:
    """However it is split, and whoever is ahead: each has had all, and is told of it once."""
    data = b"".join(talk)
    book, all_ = members(3)
    for place, piece in interleaved([pieces(data, cut) for cut in places], order):
        all_[place].gets(piece)
    assert len({one.socket.stream for one in all_}) == 1
    for one in all_:
        assert one.told == texts(data)
        assert one.socket.received == len(texts(data))
        assert one.socket.frames == sum(bool(texts(part)) for part in talk)
    assert book.faults == 0


@given(
    conversations(),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=4),
    st.tuples(cuts, cuts, cuts),
    orders,
    st.integers(1, 8),
)
async def test_what_is_for_one_alone_is_no_fault(
    talk: list[bytes],
    own: list[tuple[int, int]],
    places: tuple[list[int], ...],
    order: list[int],
    kept: int,
) -> None:
    """A ping or an acknowledgement between any two frames leaves all figures as they were."""
    mine = [list(talk) for _ in range(3)]
    for n, (place, at) in enumerate(own):
        mine[place].insert(at, frame(b"%d" % n, PING))
    book, all_ = members(3)
    queues = [pieces(b"".join(mine[place]), cut) for place, cut in enumerate(places)]
    with patch.object(module, "KEPT_FRAMES", kept):
        for place, piece in interleaved(queues, order):
            all_[place].gets(piece)
    for one in all_:
        assert one.told == texts(b"".join(talk))
        assert one.socket.received == len(one.told)
        assert one.socket.frames == sum(bool(texts(part)) for part in talk)
    assert book.faults == 0


@given(
    st.lists(st.integers(1, 5), max_size=7), st.integers(0, 2), st.tuples(cuts, cuts, cuts), orders
)
async def test_what_one_gets_wrong_is_seen(
    numbers: list[int], who: int, places: tuple[list[int], ...], order: list[int]
) -> None:
    """Lost, doubled and reordered texts of one member, who may be ahead of the others or behind."""
    right = [1, 2, 3, 4, 5]
    book, all_ = members(3)
    data = [said(1, *(numbers if place == who else right)) for place in range(3)]
    queues = [pieces(one, cut) for one, cut in zip(data, places, strict=True)]
    for place, piece in interleaved(queues, order):
        all_[place].gets(piece)
    received = [one.socket.received for one in all_]
    assert received == [len(numbers) if place == who else 5 for place in range(3)]
    is_beginning = numbers == right[: len(numbers)]
    assert (book.faults > 0) is not is_beginning


@given(st.integers(0, 99), st.integers(0, 255), st.booleans())
async def test_a_changed_text_of_one_is_seen(place: int, byte: int, is_ahead: bool) -> None:
    """Any byte of it, as soon as the next text has come."""
    right = said(1, 1, 2, 3)
    at = right.index(b"~1.2.") + place
    wrong = right[:at] + bytes((byte,)) + right[at + 1 :]
    book, (one, other) = members(2)
    for member, data in (
        ((one, wrong), (other, right)) if is_ahead else ((other, right), (one, wrong))
    ):
        member.gets(data)
    assert (book.faults > 0) is (wrong != right)


async def test_what_all_get_wrong_is_one_fault() -> None:
    """It is read once, and stays known when one of them goes on alone."""
    book, (one, other) = members(2)
    for member in (one, other):
        member.gets(said(1, 1, 2, 2))
    assert book.faults == 1
    one.gets(frame(b"1", PING), said(1, 3))
    other.gets(said(1, 3))
    assert book.faults == 1


async def test_a_sender_is_in_a_stream_of_its_own() -> None:
    """It gets what the others do not, and is checked like them."""
    book = Book()
    sender, other = Member(book), Member(book)
    book.senders.add(sender.socket)
    book.unite()
    assert sender.socket.stream is not other.socket.stream
    sender.gets(said(1, 1), frame(ACK % 1), said(1, 3))
    other.gets(said(1, 1, 2))
    assert sender.acked == [1]
    assert book.faults == 1
    assert book.listeners == [sender.socket, other.socket]


async def test_who_goes_on_alone_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place no longer keeps their stream from forgetting."""
    monkeypatch.setattr(module, "KEPT_FRAMES", 4)
    _, (one, other) = members(2)
    one.gets(said(1, 1))
    other.gets(frame(b"", PING), said(1, 1))
    one.gets(said(1, *range(2, 9)), said(1, 9))
    assert len(one.socket.stream.data) < len(said(1, *range(1, 10)))
    assert other.socket.received == 1


async def test_who_does_not_hear_itself_is_no_listener() -> None:
    """Signals do not come back to who sent them."""
    book = Book()
    sender, other = Member(book, "signal"), Member(book, "signal")
    book.senders.add(sender.socket)
    assert book.listeners == [other.socket]


async def test_acknowledgements_are_told_one_by_one() -> None:
    """Several may be in a frame, with messages behind them."""
    book = Book()
    member = Member(book, "ndjson")
    member.gets(frame(b"\n".join([ACK % 1, event(1, 1), ACK % 2])), frame(ACK % 3))
    assert member.acked == [1, 2, 3]
    assert member.told == [(1, 1)]


async def test_an_acknowledgement_may_stand_behind_a_message() -> None:
    """Where several events are in a frame, it need not be the first."""
    member = Member(Book(), "ndjson")
    member.gets(frame(b"\n".join([event(1, 1), ACK % 1])))
    assert member.acked == [1]


async def test_a_ping_is_answered_with_what_it_says() -> None:
    """Once it is whole; the first answers for all, which RFC 6455 allows."""
    _, (one, other) = members(2)
    one.gets(frame(b"abc", PING)[:3], frame(b"abc", PING)[3:])
    other.gets(frame(b"xyz", PING))
    assert [unmasked(data) for data in one.line.written] == [(PONG, b"abc")]
    assert unmasked(other.line.written[-1]) == (PONG, b"xyz")


@pytest.mark.parametrize(
    ("dialect", "asked", "answer"),
    [("json", frame(b"", PING), (PONG, b"")), ("socketio", frame(b"2"), (TEXT, b"3"))],
)
async def test_everybody_answers_what_all_are_asked_alike(
    dialect: str, asked: bytes, answer: tuple[int, bytes]
) -> None:
    """Who only compares bytes has to answer as well, or the server hangs up on it."""
    _, all_ = members(3, dialect)
    for one in all_:
        one.gets(said(1, 1), asked, said(1, 2))
    assert [[unmasked(data) for data in one.line.written] for one in all_] == [[answer]] * 3


@pytest.mark.parametrize("size", [0, 125, 126, 2**16 - 1])
async def test_what_is_sent_can_be_read(size: int) -> None:
    """With both encodings of a length that it needs."""
    member = Member(Book())
    member.socket.send(b"a" * size)
    assert unmasked(b"".join(member.line.written)) == (TEXT, b"a" * size)


async def test_frames_that_come_with_the_handshake_are_heard() -> None:
    """Byte by byte or at once; what comes before somebody waits for it is kept."""
    for data in ([OPENED + frame(b"hello")], [b"%c" % byte for byte in OPENED + frame(b"hello")]):
        socket = Socket(DIALECTS["json"], b"GET")
        socket.connection_made(Line())
        for piece in data:
            socket.data_received(piece)
        assert await socket.heard(b"hell") == b"hello"


async def test_what_comes_while_somebody_waits_is_heard() -> None:
    """Only what is waited for."""
    socket = Socket(DIALECTS["json"], b"GET")
    socket.connection_made(Line())
    socket.data_received(OPENED)
    waiting = asyncio.ensure_future(socket.heard(b"hell"))
    await asyncio.sleep(0)
    socket.data_received(frame(b"other") + frame(b"hello"))
    assert await waiting == b"hello"


@given(st.integers(0, 2**16))
async def test_nothing_is_missed_while_entering(place: int) -> None:
    """A frame may have come in part when its socket enters."""
    data = said(1, 1)
    socket, book = Socket(DIALECTS["json"], b"GET"), Book()
    socket.connection_made(Line())
    at = place % len(data)
    socket.data_received(OPENED + data[:at])
    socket.is_in(book)
    socket.data_received(data[at:] + said(1, 2))
    assert (socket.received, book.faults) == (2, 0)


async def test_what_came_before_it_entered_is_not_counted() -> None:
    """It is checked from the moment on that it is in."""
    socket, book = Socket(DIALECTS["json"], b"GET"), Book()
    socket.connection_made(Line())
    socket.data_received(OPENED + said(1, 1, 1))
    socket.is_in(book)
    assert (socket.received, book.faults) == (0, 0)


async def test_a_refused_socket_says_what_the_server_said() -> None:
    """The status line is in the error."""
    socket = Socket(DIALECTS["json"], b"GET")
    socket.connection_made(Line())
    socket.data_received(b"HTTP/1.1 403 Access denied\r\n\r\n")
    with pytest.raises(ConnectionError, match="403 Access denied"):
        await socket._opened


async def test_who_waits_is_told_of_the_end() -> None:
    """Nobody waits for a server that has gone."""
    socket = Socket(DIALECTS["json"], b"GET")
    socket.connection_made(Line())
    socket.data_received(OPENED)
    waiting = asyncio.ensure_future(socket.heard(b"hello"))
    await asyncio.sleep(0)
    socket.connection_lost(None)
    with pytest.raises(ConnectionError, match="closed"):
        await waiting


async def test_a_member_that_stalls_reads_no_more() -> None:
    """It stays connected; one that closes does not."""
    member = Member(Book())
    member.socket.stall()
    assert (member.line.is_paused, member.line.is_aborted) == (True, False)
    member.socket.close()
    assert member.line.is_aborted
