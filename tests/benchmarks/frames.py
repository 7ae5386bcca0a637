"""Frames as a server sends them, and bytes in pieces."""

from itertools import pairwise

from hypothesis import strategies as st

from benchmarks.load.stream import text_of

TEXT, PING = 1, 9


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A whole frame, with the shortest of the three encodings of its length."""
    size = len(payload)
    if size < 126:
        head = bytes((size,))
    elif size < 2**16:
        head = bytes((126,)) + size.to_bytes(2, "big")
    else:
        head = bytes((127,)) + size.to_bytes(8, "big")
    return bytes((0x80 | opcode,)) + head + payload


def event(sender: int, number: int) -> bytes:
    """What tells of a text."""
    return b'{"type":"message","content":"' + text_of(sender, number).encode() + b'"}'


def said(sender: int, *numbers: int) -> bytes:
    """Texts of a sender, one a frame."""
    return b"".join(frame(event(sender, number)) for number in numbers)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Bytes as they may arrive, cut at some places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


cuts = st.lists(st.integers(0, 2**16), max_size=8)


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Frames of right texts of some senders, one or more a frame, with others in between."""
    numbers = dict.fromkeys((1, 2, 3), 0)
    found = []
    for senders in draw(st.lists(st.lists(st.integers(1, 3), max_size=4), max_size=12)):
        events = []
        for sender in senders:
            numbers[sender] += 1
            events.append(event(sender, numbers[sender]))
        found.append(frame(b"\n".join(events)) if events else frame(b"", PING))
    return found
