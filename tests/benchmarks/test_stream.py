"""The stream of the load client: nothing lost, doubled, reordered or changed goes unseen."""

from dataclasses import dataclass
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import stream as module
from benchmarks.load.stream import SIZE, Run, Stream, text_of
from harness.client.frames import frames
from tests.benchmarks.frames import PING, conversations, cuts, event, frame, pieces, said


@dataclass
class Place:
    """Somebody who is in a stream, so far."""

    position: int = 0


def stream(data: bytes) -> Stream:
    made = Stream()
    made.append(data)
    return made


def known(made: Stream, position: int) -> tuple[int, int]:
    """How many messages, and how many frames with messages, there are up to a position."""
    return made.count(position), made.index(position)


def test_texts_in_order_are_no_fault() -> None:
    """Each sender has numbers of its own."""
    made = stream(said(1, 1, 2) + said(2, 1) + said(1, 3) + said(2, 2))
    assert made.faults == 0
    assert made.last == {1: 3, 2: 2}
    assert known(made, made.end) == (5, 5)


@given(st.lists(st.integers(1, 6), max_size=8))
def test_any_other_order_is_a_fault(numbers: list[int]) -> None:
    """Lost, doubled and reordered texts: only 1, 2, 3 and so on is right."""
    is_right = numbers == list(range(1, len(numbers) + 1))
    assert (stream(said(1, *numbers)).faults == 0) is is_right


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 4)), max_size=7))
def test_any_other_order_within_one_frame_is_a_fault(texts: list[tuple[int, int]]) -> None:
    """The same for events that come together, of two senders."""
    made = stream(frame(b"\n".join(event(*text) for text in texts)))
    numbers = [[number for sender, number in texts if sender == one] for one in (1, 2)]
    is_right = all(mine == list(range(1, len(mine) + 1)) for mine in numbers)
    assert (made.faults == 0) is is_right


def test_each_wrong_text_counts() -> None:
    """One missing is one fault, one out of its place is three: where it lacks, is, and was."""
    assert stream(said(1, 1, 3, 4)).faults == 1
    assert stream(said(1, 1, 2, 2, 3)).faults == 1
    assert stream(said(1, 1, 3, 2, 4)).faults == 3


@given(st.integers(0, SIZE - 1), st.integers(0, 255))
def test_any_changed_byte_of_a_text_is_a_fault(place: int, byte: int) -> None:
    """As soon as the next text of its sender has come."""
    text = bytearray(text_of(1, 2).encode())
    is_same = text[place] == byte
    text[place] = byte
    made = stream(said(1, 1) + frame(bytes(text)) + said(1, 3))
    assert (made.faults == 0) is is_same


@pytest.mark.parametrize("change", [b"x", b"xx"])
def test_a_text_of_another_length_is_a_fault(change: bytes) -> None:
    """Bytes may be missing or too many, though all that is there is right."""
    right = event(1, 1)
    assert stream(frame(right.replace(change, b"", 1))).faults == 1
    assert stream(frame(right.replace(b"x", b"x" + change, 1))).faults == 1


def test_a_probe_is_not_a_message() -> None:
    """It only shows who is listening, and may come as often as it likes."""
    made = stream(said(0, 0, 0) + said(1, 1))
    assert (made.probes, made.faults) == (2, 0)
    assert known(made, made.end) == (1, 1)


@given(conversations(), cuts)
def test_it_does_not_matter_where_bytes_are_split(talk: list[bytes], places: list[int]) -> None:
    """A frame may come byte by byte, or many at once."""
    data = b"".join(talk)
    whole, split = stream(data), Stream()
    found = [one[:2] for piece in pieces(data, places) for one in split.append(piece)]
    assert found == [one[:2] for one in frames(data)]
    assert split.last == whole.last
    assert whole.faults == split.faults == 0
    for position in range(len(data) + 1):
        assert known(split, position) == known(whole, position)


def test_a_frame_may_come_byte_by_byte() -> None:
    """All that belongs to a frame is waited for: its head, its length, its payload."""
    for size in (101, 126, 2**16):
        data, made = frame(text_of(1, 1).encode().ljust(size)), Stream()
        assert not any(made.append(data[at : at + 1]) for at in range(len(data) - 1))
        assert len(made.append(data[-1:])) == 1
        assert known(made, made.end) == (1, 1)


@pytest.mark.parametrize("size", [100, 125, 126, 127, 2**16 - 1, 2**16, 2**16 + 1])
def test_each_encoding_of_a_length_is_read(size: int) -> None:
    """Seven bits, two bytes and eight bytes, and what lies next to the limits."""
    made = stream(frame(text_of(1, 1).encode().ljust(size)) + said(1, 2))
    assert made.faults == 0
    assert known(made, made.end) == (2, 2)


def test_events_of_one_frame_are_counted_each() -> None:
    """Numbers that follow one another are one run; the frame counts once, when it is whole."""
    data = frame(b"\n".join([event(1, 1), event(1, 2), event(2, 1), event(1, 3)]))
    made = stream(data)
    assert list(made.runs(0, 1)) == [(1, 1, 2), (2, 1, 1), (1, 3, 3)]
    assert known(made, len(data)) == (4, 1)
    assert known(made, len(data) - 1) == (0, 0)


def test_a_frame_without_texts_is_handed_on_and_not_counted() -> None:
    """Pings and acknowledgements are no deliveries."""
    made = Stream()
    assert made.append(frame(b"now", PING) + frame(b'{"type":"ack"}')) == [
        (PING, b"now", 5),
        (1, b'{"type":"ack"}', 21),
    ]
    assert known(made, made.end) == (0, 0)


@given(conversations(), st.binary(max_size=8), st.integers(0, 2**16))
def test_it_has_what_it_has(talk: list[bytes], more: bytes, place: int) -> None:
    """Other bytes are not its own; beyond its end anything may come."""
    data = b"".join(talk)
    made, position = stream(data), place % (len(data) + 1)
    own = data[position : position + 50]
    assert made.has(position, own)
    assert made.has(position, data[position:] + more)
    for at, byte in enumerate(own):
        assert not made.has(position, own[:at] + bytes((byte ^ 1,)) + own[at + 1 :])


@given(conversations(), st.integers(0, 2**16), cuts)
def test_a_fork_goes_on_from_any_position(talk: list[bytes], place: int, places: list[int]) -> None:
    """With the same bytes it comes to the same end, even from within a frame."""
    data = b"".join(talk)
    made, position = stream(data), place % (len(data) + 1)
    other, at = made.fork(position)
    assert known(other, at) == known(made, position)
    for piece in pieces(data[position:], places):
        other.append(piece)
    assert known(other, other.end) == known(made, made.end)
    assert {one: number for one, number in other.last.items() if number} == made.last
    assert other.faults == 0
    start = made.index(position)
    assert list(other.runs(start, other.index(other.end))) == list(
        made.runs(start, made.index(made.end))
    )


@given(conversations(), st.integers(0, 2**16))
def test_a_fork_leaves_its_stream_alone(talk: list[bytes], place: int) -> None:
    """What one alone gets is not what the others have got."""
    data = b"".join(talk)
    made = stream(data)
    other, _ = made.fork(place % (len(data) + 1))
    other.append(said(1, 100))
    assert made.faults == 0
    assert known(made, made.end) == known(stream(data), len(data))


@pytest.mark.parametrize("then", [(1,), (2,), (4,), (4, 3)])
def test_a_fork_sees_what_is_wrong(then: tuple[int, ...]) -> None:
    """It knows which number is next: not what is ahead in the stream it comes from."""
    made = stream(said(1, 1, 2, 3, 4))
    other, _ = made.fork(len(said(1, 1, 2)) + 10)
    right = said(1, 3)[10:]
    other.append(right + said(1, *then))
    assert (other.faults > 0) is (then != (4,))


@given(conversations(), st.lists(st.integers(0, 2**16), min_size=1, max_size=3), st.integers(1, 6))
def test_what_is_forgotten_changes_no_figure(
    talk: list[bytes], places: list[int], kept: int
) -> None:
    """All figures from the last reader on are the same, and what comes later is counted on."""
    data = b"".join(talk)
    made, whole = stream(data), stream(data)
    made.readers = [Place(place % (len(data) + 1)) for place in places]
    with patch.object(module, "KEPT_FRAMES", kept):
        made.forget()
    more = said(4, 1, 2)
    made.append(more)
    whole.append(more)
    last = min(reader.position for reader in made.readers)
    for position in range(last, whole.end + 1):
        assert known(made, position) == known(whole, position)
        first, end = whole.index(position), whole.index(whole.end)
        assert list(made.runs(first, end)) == list(whole.runs(first, end))
    assert made.end == whole.end
    assert made.has(last, (data + more)[last:])


@given(conversations(), st.integers(0, 2**16), st.integers(0, 2**16), st.integers(1, 6))
def test_a_stream_that_has_forgotten_can_be_forked(
    talk: list[bytes], first: int, second: int, kept: int
) -> None:
    """Anywhere from its last reader on."""
    data = b"".join(talk)
    made = stream(data)
    last, position = sorted((first % (len(data) + 1), second % (len(data) + 1)))
    made.readers = [Place(last)]
    with patch.object(module, "KEPT_FRAMES", kept):
        made.forget()
    other, _ = made.fork(position)
    other.append(data[position:])
    assert known(other, other.end) == known(made, made.end)
    assert other.faults == 0


def test_what_all_have_passed_is_forgotten() -> None:
    """Up to the last frame that the slowest has had whole, and only once there are many."""
    made = stream(said(1, *range(1, 11)))
    one = len(said(1, 1))
    made.readers = [Place(made.end), Place(one * 6 + 3)]
    made.forget()
    assert len(made.data) == made.end
    with patch.object(module, "KEPT_FRAMES", 10):
        made.forget()
    assert len(made.data) == made.end - one * 6
    assert known(made, one * 6) == (6, 6)
    assert known(made, made.end) == (10, 10)


def test_runs_are_those_of_the_frames_asked_for() -> None:
    """By index, also after others were forgotten."""
    made = stream(said(1, *range(1, 11)))
    made.readers = [Place(made.end - 1)]
    with patch.object(module, "KEPT_FRAMES", 10):
        made.forget()
    assert list[Run](made.runs(9, 10)) == [(1, 10, 10)]
