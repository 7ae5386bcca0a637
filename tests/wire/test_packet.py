"""Frames as bytes on the line, as another implementation of RFC 6455 reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from realtime.wire.packet import Packet, byte_length, framed

EDGES = [0, 1, 125, 126, 127, 65535, 65536, 262144]


def read(raw: bytes) -> list[Frame]:
    """All the frames in some bytes, which must end with a whole one."""
    reader = StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    frames = []
    while reader.buffer:
        parser = Frame.parse(reader.read_exact, mask=False)
        try:
            while True:
                next(parser)
        except StopIteration as done:
            frames.append(done.value)
    return frames


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize(("unit", "opcode"), [("x", Opcode.TEXT), (b"x", Opcode.BINARY)])
def test_each_length_has_its_own_header(size: int, unit: str | bytes, opcode: Opcode) -> None:
    """Seven bits, sixteen or sixty-four, as RFC 6455 has them."""
    payload = unit * size
    raw = framed(payload)
    data = payload.encode() if isinstance(payload, str) else payload
    assert raw == Frame(opcode, data).serialize(mask=False)


@given(st.lists(st.text(max_size=200) | st.binary(max_size=200), min_size=1, max_size=20))
def test_a_packet_is_its_frames_one_after_the_other(frames: list[str | bytes]) -> None:
    """Each stays a message of its own, of its own kind, and in order."""
    found = read(Packet(frames).raw)
    assert [
        bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data)
        for frame in found
    ] == frames
    assert all(frame.fin and not frame.rsv1 for frame in found)


def test_a_packet_is_framed_once() -> None:
    """All who get it get the very same bytes."""
    packet = Packet(["a", b"b"])
    assert packet.raw is packet.raw


def test_an_empty_packet_is_nothing() -> None:
    """As for the one connection that a round leaves out."""
    assert Packet([]).raw == Packet([]).events == b""


@pytest.mark.parametrize(("frame", "size"), [("", 1), ("abc", 3), ("é", 2), (b"\xff\x00", 2)])
def test_a_frame_has_the_size_of_its_bytes(frame: str | bytes, size: int) -> None:
    """An empty one counts too: a send queue tells by its size whether it was counted."""
    assert byte_length(frame) == size
    assert Packet([frame, frame]).size == 2 * size


def test_a_packet_has_a_server_sent_event_for_each_frame() -> None:
    """With a line of data for each of its lines, and made once for all readers."""
    packet = Packet(["a\nb", "c"])
    assert packet.events == b"data: a\ndata: b\n\ndata: c\n\n"
    assert packet.events is packet.events
