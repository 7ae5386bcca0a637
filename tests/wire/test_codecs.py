"""Frames: which encoding, how many commands, and what is no frame at all."""

from io import BytesIO

import msgpack
import msgspec
import pytest

from realtime.wire.codecs import (
    CODECS,
    JSON,
    MSGPACK,
    NDJSON,
    Codec,
    Decoded,
    Frame,
    byte_size,
    choose,
)
from realtime.wire.commands import Message, Ping
from realtime.wire.errors import CommandError, ErrorCode
from realtime.wire.events import Notice

PING = '{"type":"ping","ref":%d}'


def codes(decoded: list[Decoded]) -> list[object]:
    """The refs of commands, the codes of errors."""
    return [item.code if isinstance(item, CommandError) else item.ref for item in decoded]


@pytest.mark.parametrize(
    ("offered", "codec", "answer"),
    [
        ([], JSON, None),
        (["chat"], JSON, None),
        (["realtime.v1.json"], JSON, "realtime.v1.json"),
        (["realtime.v1.ndjson"], NDJSON, "realtime.v1.ndjson"),
        (["realtime.v1.msgpack"], MSGPACK, "realtime.v1.msgpack"),
        (["x", "realtime.v1.msgpack", "realtime.v1.json"], MSGPACK, "realtime.v1.msgpack"),
        (["REALTIME.V1.JSON"], JSON, None),
    ],
)
def test_the_first_known_subprotocol_is_chosen(
    offered: list[str], codec: Codec, answer: str | None
) -> None:
    assert choose(offered) == (codec, answer)


def test_every_codec_is_found_by_its_subprotocol() -> None:
    assert list(CODECS.items()) == [(codec.subprotocol, codec) for codec in (JSON, NDJSON, MSGPACK)]


@pytest.mark.parametrize("codec", [JSON, NDJSON])
def test_a_binary_frame_where_text_is_spoken_is_an_error(codec: Codec) -> None:
    assert codes(codec.decode(b'{"type":"ping"}')) == [ErrorCode.INVALID_JSON]


def test_a_text_frame_where_msgpack_is_spoken_is_an_error() -> None:
    assert codes(MSGPACK.decode('{"type":"ping"}')) == [ErrorCode.INVALID_MESSAGE]


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "x", "{", '{"type":"ping"}x', '{"x":1', "\ufeff{}"]
)
@pytest.mark.parametrize("codec", [JSON, NDJSON])
def test_what_is_not_json_is_one_error(codec: Codec, text: str) -> None:
    assert codes(codec.decode(text)) == [ErrorCode.INVALID_JSON]


@pytest.mark.parametrize(
    "frame", [b"", b"\xc1", b"\x81", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xa5ab"]
)
def test_what_is_not_msgpack_is_one_error(frame: bytes) -> None:
    assert codes(MSGPACK.decode(frame)) == [ErrorCode.INVALID_MESSAGE]


@pytest.mark.parametrize("text", ["[]", "null", "1", '"x"', "true"])
def test_what_is_not_an_object_is_an_invalid_message(text: str) -> None:
    value = msgspec.json.decode(text)
    assert codes(JSON.decode(text)) == [ErrorCode.INVALID_MESSAGE]
    assert codes(NDJSON.decode(text)) == [ErrorCode.INVALID_MESSAGE]
    assert codes(MSGPACK.decode(msgpack.packb(value))) == [ErrorCode.INVALID_MESSAGE]


def test_plain_json_takes_one_command_a_frame() -> None:
    assert codes(JSON.decode(PING % 1 + "\n" + PING % 2)) == [ErrorCode.INVALID_JSON]


def test_several_commands_of_a_frame_come_in_order_around_a_bad_one() -> None:
    lines = [PING % 1, '{"type":"ping","t":[],"ref":2}', "{", PING % 4]
    assert codes(NDJSON.decode("\n".join(lines))) == [
        1,
        ErrorCode.INVALID_MESSAGE,
        ErrorCode.INVALID_JSON,
        4,
    ]


def test_blank_lines_and_carriage_returns_separate_nothing_else() -> None:
    assert codes(NDJSON.decode(f"\n{PING % 1}\r\n \n{PING % 2}\n\n")) == [1, 2]


def test_several_maps_of_a_frame_come_in_order_around_a_bad_one() -> None:
    maps = [{"type": "ping", "ref": 1}, {"type": "nope"}, 7, {"type": "ping", "ref": 4}]
    assert codes(MSGPACK.decode(b"".join(map(msgpack.packb, maps)))) == [
        1,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.INVALID_MESSAGE,
        4,
    ]


def test_what_stands_before_a_torn_map_still_counts() -> None:
    whole = msgpack.packb({"type": "ping", "ref": 1})
    assert codes(MSGPACK.decode(whole + whole[:-1])) == [1, ErrorCode.INVALID_MESSAGE]
    assert codes(MSGPACK.decode(whole + b"\xc1" + whole)) == [1, ErrorCode.INVALID_MESSAGE]


def test_a_frame_may_hold_thousands_of_commands() -> None:
    assert MSGPACK.decode(msgpack.packb({"type": "ping"}) * 5000) == [Ping()] * 5000
    assert NDJSON.decode("\n".join(['{"type":"ping"}'] * 5000)) == [Ping()] * 5000


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        (MSGPACK, msgpack.packb({"type": "ping"}) + b"\xc1" * 65_000),
        (MSGPACK, msgpack.packb({"type": "ping"}) + b"\xdd\xff\xff\xff\xff"),
        (NDJSON, '{"type":"ping"}\n' + "\n" * 65_000),
        (NDJSON, '{"type":"ping"}\n{'),
    ],
)
def test_a_frame_is_read_no_further_than_it_is_asked_for(codec: Codec, frame: str | bytes) -> None:
    """Its first command is there before what follows is looked at."""
    parts = iter(codec.parts(frame))
    assert codec.command(next(parts)) == Ping()
    assert not isinstance(parts, list | tuple)


@pytest.mark.parametrize(
    ("text", "most", "size"),
    [("abc", 10, 3), ("äö", 10, 4), ("\ud800", 10, 3), ("äö", 1, 2), (b"abc", 1, 3), ("", 0, 0)],
)
def test_bytes_are_counted_as_far_as_they_matter(text: str | bytes, most: int, size: int) -> None:
    assert byte_size(text, most) == size


def test_many_events_make_one_frame() -> None:
    frames = [Frame.of(Notice(level="info", text=text)) for text in ("a\nb", "c")]
    lines = NDJSON.join(frames).split("\n")
    assert [msgspec.json.decode(line)["text"] for line in lines] == ["a\nb", "c"]
    maps = msgpack.Unpacker(BytesIO(MSGPACK.join(frames)))
    assert [event["text"] for event in maps] == ["a\nb", "c"]


def test_plain_json_joins_one_event() -> None:
    frame = Frame.of(Notice(level="info", text="x"))
    assert JSON.join([frame]) == frame.text
    with pytest.raises(ValueError, match="too many values"):
        JSON.join([frame, frame])


def test_a_frame_is_encoded_once() -> None:
    frame = Frame.of(Notice(level="info", text="x"))
    assert frame.binary is frame.binary


@pytest.mark.parametrize(
    "content",
    [
        "שָׁלוֹם \u202eabc\u202c",  # right-to-left, and an override
        "👩‍👩‍👧‍👦 🏳️‍🌈",  # joined by ZWJ
        "\u2028\u2029\ufeff\ufffe\uffff",
        "\U0010ffff𝄞",
        "\\ud800 \" ' <script>\t\r\n\x7f\x1f",
        "e\u0301 \u00e9",
        "",
    ],
)
def test_odd_but_valid_text_comes_through_unchanged(content: str) -> None:
    fields = {"type": "message", "room": content[:9] or "r", "content": content}
    fields["data"] = {content: [content]}
    expected = [Message(**{key: value for key, value in fields.items() if key != "type"})]
    assert JSON.decode(msgspec.json.encode(fields).decode()) == expected
    assert NDJSON.decode(msgspec.json.encode(fields).decode()) == expected
    assert MSGPACK.decode(msgpack.packb(fields)) == expected
    frame = Frame.of(Notice(level="info", text=content))
    assert msgspec.json.decode(frame.text)["text"] == content
    assert msgpack.unpackb(frame.binary)["text"] == content
    assert "\n" not in frame.text
