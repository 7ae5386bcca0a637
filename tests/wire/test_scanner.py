"""Frames are counted before they are parsed, however they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, head
from realtime.wire.scanner import DISCARD_BYTES, Scanner

LIMIT = 1000
MANY = 10_000


def fed(*chunks: bytes, limit: int = LIMIT) -> tuple[Scanner, bytes]:
    """A scanner that was fed, and everything that it has let through."""
    scanner = Scanner(limit)
    return scanner, b"".join([scanner.feed(chunk, MANY, MANY) for chunk in chunks])


FRAMES = st.sampled_from(
    [
        frame("hello"),
        frame("x" * 300, BINARY),
        frame("", TEXT),
        frame("", PING),
        frame("x" * 125, PONG),
        frame("begin", TEXT, is_last=False) + frame("", PING) + frame("end", CONTINUATION),
    ]
)


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 40), min_size=1))
def test_what_is_allowed_goes_through_unchanged(frames: list[bytes], sizes: list[int]) -> None:
    """In chunks of any size."""
    stream, scanner, passed, place, turn = b"".join(frames), Scanner(LIMIT), b"", 0, 0
    while place < len(stream):
        size = sizes[turn % len(sizes)]
        passed += scanner.feed(stream[place : place + size], MANY, MANY)
        place, turn = place + size, turn + 1
    assert passed == stream
    assert not scanner.is_unfinished


@given(st.lists(FRAMES, max_size=8), st.integers(1, 40))
def test_the_count_does_not_depend_on_the_chunks(frames: list[bytes], size: int) -> None:
    stream = b"".join(frames)
    whole = Scanner(LIMIT)
    whole.feed(stream, MANY, MANY)
    scanner, counted = Scanner(LIMIT), [0, 0]
    for place in range(0, len(stream), size):
        scanner.feed(stream[place : place + size], MANY, MANY)
        counted = [counted[0] + scanner.frames, counted[1] + scanner.extras]
    if stream:
        assert counted == [whole.frames, whole.extras]
        assert scanner.messages == whole.messages


@pytest.mark.parametrize(
    ("chunk", "extras"),
    [
        (frame("x"), 0),
        (frame("", TEXT), 1),
        (frame("", PING) * 3, 3),
        (frame("x", PONG), 1),
        (frame("x", TEXT, is_last=False), 1),
        (frame("x", TEXT, is_last=False) + frame("", CONTINUATION, is_last=False) * 4, 5),
        (frame("x" * 512, TEXT, is_last=False) + frame("x" * 400, CONTINUATION), 1),
        (frame("x" * 512, TEXT, is_last=False) + frame("x" * 512, CONTINUATION), 0),
        (frame("", CLOSE), 1),
    ],
)
def test_small_frames_without_a_whole_message_are_extras(chunk: bytes, extras: int) -> None:
    scanner, _ = fed(chunk)
    assert scanner.extras == extras


def test_counting_stops_where_there_is_too_much() -> None:
    """A chunk of ten thousand pings is not looked through to its end."""
    scanner = Scanner(LIMIT)
    scanner.feed(frame("", PING) * MANY, MANY, 20)
    assert scanner.extras == 21


def test_a_frame_that_is_too_large_is_passed_over() -> None:
    """The messages before and after it are let through."""
    before, after = frame("before"), frame("after")
    scanner, passed = fed(before + frame("x" * (LIMIT + 1)) + after)
    assert passed == before + after
    assert scanner.too_large == 1
    assert not scanner.is_hopeless


def test_a_frame_that_is_too_large_is_known_by_its_header() -> None:
    """Before any of its payload has come."""
    scanner, passed = fed(head(LIMIT + 1))
    assert (scanner.too_large, passed) == (1, b"")
    assert scanner.is_unfinished


@pytest.mark.parametrize(
    "chunk",
    [
        head(DISCARD_BYTES + 1),
        head(DISCARD_BYTES + 1) + bytes(119),
        head(2**62),
        frame("x" * (LIMIT + 1), is_last=False),
        frame("x" * LIMIT, is_last=False) + frame("x", CONTINUATION),
    ],
)
def test_a_message_that_cannot_be_passed_over_is_hopeless(chunk: bytes) -> None:
    """Nothing after it is let through."""
    scanner, passed = fed(chunk, frame("after"))
    assert scanner.is_hopeless
    assert b"after" not in passed


def test_a_compressed_frame_that_is_too_large_is_hopeless() -> None:
    """What comes after it may refer to what it had."""
    scanner, _ = fed(bytes([0xC1]) + head(LIMIT + 1)[1:])
    assert scanner.is_hopeless


@pytest.mark.parametrize("opcode", [0xC1, 0xC2, 0x41, 0xC9, 0xF1])
def test_nothing_goes_through_that_was_compressed_without_an_agreement(opcode: int) -> None:
    """Some servers would unpack it all the same."""
    scanner = Scanner(LIMIT, is_plain=True)
    chunk = frame("before") + bytes([opcode]) + frame("x")[1:] + frame("after")
    assert scanner.feed(chunk, MANY, MANY) == frame("before")
    assert scanner.is_packed
    assert not scanner.is_unfinished
    assert scanner.feed(frame("after"), MANY, MANY) == b""


@pytest.mark.parametrize(
    "chunk",
    [
        b"\x81\x05hello",
        bytes([0x83]) + head(5)[1:] + b"hello",
        bytes([0x8B]) + head(0)[1:],
        head(126, PING) + bytes(126),
        frame("", PING, is_last=False),
        frame(b"\x03\xe8", CLOSE),
    ],
    ids=["unmasked", "opcode 3", "opcode 11", "large ping", "part of a ping", "close"],
)
def test_nothing_goes_through_after_an_end(chunk: bytes) -> None:
    """The server answers an invalid frame or a close; it does not parse what follows."""
    scanner, passed = fed(chunk, frame("after") * 3)
    assert passed
    assert chunk.startswith(passed)
    assert not scanner.is_unfinished


@pytest.mark.parametrize(
    "last",
    [frame(b"\x03\xe8", CLOSE), frame("x" * 126, PING), frame("x", PING, is_last=False)],
    ids=["close", "large ping", "part of a ping"],
)
def test_the_last_frame_goes_through_whole(last: bytes) -> None:
    """In however many chunks: some servers check a frame only when they have all of it."""
    _, passed = fed(last[:3], last[3:9], last[9:] + frame("after"))
    assert passed == last


def test_a_large_invalid_frame_is_hopeless() -> None:
    """No server would ever have the whole of it."""
    scanner, _ = fed(head(2**40, PING))
    assert scanner.is_hopeless


@pytest.mark.parametrize(
    "chunk",
    [
        b"\x81",
        head(10) + b"123",
        frame("x", is_last=False),
        frame("x", is_last=False) + frame("", PING),
        head(LIMIT + 1) + b"x",
    ],
)
def test_what_has_not_ended_is_unfinished(chunk: bytes) -> None:
    scanner, _ = fed(chunk)
    assert scanner.is_unfinished


def test_pings_begin_no_message() -> None:
    """A message that is never finished is not made younger by them."""
    scanner, _ = fed(frame("x", is_last=False), frame("", PING))
    assert scanner.messages == 1
