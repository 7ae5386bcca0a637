"""What a client may not say, whatever the encoding: each is a typed error, nothing is raised."""

import json
import math
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime.wire import clean, decoder
from realtime.wire.clean import (
    MAX_DATA_BYTES,
    MAX_DEPTH,
    MAX_INTEGER,
    as_sent,
    is_shallow,
    refuse_duplicates,
)
from realtime.wire.codecs import CODECS, JSON, MSGPACK, NDJSON, Codec, Decoded
from realtime.wire.commands import COMMANDS, Command, Joins, Message, Ping, Signal
from realtime.wire.errors import CommandError, ErrorCode
from tests.examples import examples

DEEP = 200_000
PING = b"\x82\xa4type\xa4ping"
"""The beginning of a MessagePack map of two: its second key and value follow."""


def code_of(codec: Codec, frame: str | bytes) -> ErrorCode:
    [error] = codec.decode(frame)
    assert isinstance(error, CommandError), error
    return error.code


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"k": data}
    return data


def signal(codec: Codec, data: dict[Any, Any]) -> str | bytes:
    fields = {"type": "signal", "room": "r", "data": data}
    return msgpack.packb(fields) if codec.is_binary else json.dumps(fields)


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP,
        '{"type":"ping","x":' + "[" * DEEP + "]" * DEEP + "}",
        '{"type":"ping","x":"\\n","y":' + "[" * DEEP + "]" * DEEP + "}",
        '{"type":"signal","room":"r","data":' + '{"k":' * DEEP + "1" + "}" * DEEP + "}",
        '{"type":"ping","ref":' + "[" * DEEP + "]" * DEEP + "}",
        '{"type":"ping","t":1' + "0" * 5000 + "}",
        '{"type":"ping","ref":1' + "0" * 5000 + "}",
        '{"type":"ping","x":"\\n","y":1' + "0" * 5000 + "}",
        '{"type":"signal","room":"r","data":{"x":1' + "0" * 5000 + "}}",
        '{"type":"ping","t":NaN}',
        '{"type":"ping","t":-Infinity}',
        '{"type":"ping","t":1e999}',
        '{"type":"signal","room":"r","data":{"x":NaN}}',
        '{"type":"signal","room":"r","data":{"x":1e999}}',
        '{"type":"ping","t":"\\ud800"}',
        '{"type":"ping","t":"\\udc00"}',
        '{"type":"ping","t":"\\udc00\\ud800"}',
        '{"type":"ping","t":"\ud800"}',
        '{"type":"ping","x":"\\ud800"}',
        '{"type":"ping","\\udc00":1}',
        '{"type":"ping","t":"\\u0000"}',
        '{"type":"ping","t":"\x00"}',
        '{"type":"ping","ref":"\\u0000"}',
        '{"type":"join","room":"a\\u0000"}',
        '{"type":"joins","rooms":[{"room":"a\\u0000"}]}',
        '{"type":"join","room":"r","since":{"seq":1,"epoch":"\\u0000"}}',
        '{"type":"message","room":"r","content":"a\\u0000b"}',
        '{"type":"message","room":"r","content":"x","nonce":"\\u0000"}',
        '{"type":"signal","room":"r","data":{"x":["\\u0000"]}}',
        '{"type":"signal","room":"r","data":{"\\u0000":1}}',
        '{"type":"ping","ref":18446744073709551616}',
        '{"type":"ping","t":18446744073709551616}',
        '{"type":"ping","t":-18446744073709551616}',
        '{"type":"signal","room":"r","data":{"x":18446744073709551616}}',
        '{"type":"read","room":"r","seq":18446744073709551616}',
    ],
    ids=lambda text: ascii(text[:60]),
)
def test_hostile_json_is_a_typed_error(text: str) -> None:
    for codec in (JSON, NDJSON):
        assert code_of(codec, text) in (ErrorCode.INVALID_JSON, ErrorCode.INVALID_MESSAGE)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x91" * DEEP,
        b"\x81\xa1k" * DEEP,
        PING + b"\xa1x" + b"\x91" * DEEP + b"\x00",
        PING + b"\xa1t\xcb" + b"\x7f\xf8" + b"\0" * 6,
        PING + b"\xa1t\xcb" + b"\xff\xf0" + b"\0" * 6,
        PING + b"\xa1t\xcf" + b"\xff" * 8,
        PING + b"\xa3ref\xcf" + b"\xff" * 8,
        PING + b"\xa3ref\xd3" + b"\x80" + b"\0" * 7,
        PING + b"\xa1t\xa3\xed\xa0\x80",
        PING + b"\xa1x\xa3\xed\xb0\x80",
        PING + b"\xa1t\xa1\xff",
        PING + b"\xa1t\xa1\x00",
        PING + b"\xa1t\xc4\x01x",
        PING + b"\xc4\x01x\x01",
        PING + b"\x01\x01",
        PING + b"\xa1x\x81\x90\x01",
        PING + b"\xa1x\x81\x81\x80\x01\x01",
        PING + b"\xa1x\xc7\x03\xffabc",
        msgpack.packb({"type": "signal", "room": "r", "data": {"x": float("nan")}}),
        msgpack.packb({"type": "signal", "room": "r", "data": {"x": 2**64 - 1}}),
        msgpack.packb({"type": "signal", "room": "r", "data": {"x": b"bytes"}}),
        msgpack.packb({"type": "signal", "room": "r", "data": {"x": {1: 2}}}),
        msgpack.packb({"type": "signal", "room": "r", "data": {1: 2}}),
        msgpack.packb({"type": "signal", "room": "r", "data": {"x": msgpack.ExtType(5, b"a")}}),
        msgpack.packb({"type": "signal", "room": "r", "data": {"x": msgpack.Timestamp(5, 0)}}),
        msgpack.packb({"type": "signal", "room": "r", "data": {"x": msgpack.Timestamp(2**62, 0)}}),
        b"\x83\xa4type\xa6signal\xa4room\xa1r\xa4data\x81\xa1x\x81\x80\x01",
        b"\x83\xa4type\xa6signal\xa4room\xa1r\xa4data\x81\xa1x\x81\x91\x80\x01",
    ],
    ids=lambda frame: repr(frame[:24]),
)
def test_hostile_msgpack_is_a_typed_error(frame: bytes) -> None:
    assert code_of(MSGPACK, frame) in (ErrorCode.INVALID_JSON, ErrorCode.INVALID_MESSAGE)


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ping","t":1,"t":1}',
        '{"type":"ping","type":"ping"}',
        '{"type":"ping","t":1,"\\u0074":2}',
        '{"type":"ping","x":1,"x":1}',
        '{"type":"ping","x":[{"a":1 , "a" : 1}]}',
        '{"type":"signal","room":"r","data":{"a":1,"a":2}}',
        '{"type":"signal","room":"r","data":{"b":"x",":a":1,"c":"y" ,":a":2}}',
    ],
)
def test_a_key_named_twice_is_an_invalid_message(text: str) -> None:
    assert code_of(JSON, text) == code_of(NDJSON, text) == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize(
    "frame",
    [
        b"\x83\xa4type\xa4ping\xa1t\x01\xa1t\x01",
        b"\x83\xa4type\xa4ping\xa1x\x01\xa1x\x01",
        b"\x83\xa4type\xa6signal\xa4room\xa1r\xa4data\x82\xa1x\x01\xa1x\x01",
    ],
)
def test_a_msgpack_key_named_twice_is_an_invalid_message(frame: bytes) -> None:
    assert code_of(MSGPACK, frame) == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"joins","rooms":[{"room":"a"},{"room":"b"}]}',
        '{"type":"message","room":"r","content":"\\"room\\":1"}',
        '{"type":"message","room":"r","content":":","data":{"a":":","b":"a"}}',
    ],
)
def test_the_same_key_in_two_objects_is_fine(text: str) -> None:
    [command] = JSON.decode(text)
    assert isinstance(command, Command)


keys = st.text('a":\\ ,', max_size=3)
pairs = st.recursive(
    st.none() | st.text('a":\\ ,{}', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(value=st.dictionaries(keys, pairs, max_size=4), spaced=st.booleans())
def test_no_object_without_repeats_is_refused(value: dict[str, Any], spaced: bool) -> None:
    refuse_duplicates(json.dumps(value, separators=(" , ", " : ") if spaced else (",", ":")))
    refuse_duplicates(msgpack.packb(value))


@given(
    value=st.dictionaries(keys, pairs, max_size=4),
    key=keys,
    first=pairs,
    second=pairs,
    gap=st.sampled_from(["", " "]),
    escaped=st.booleans(),
)
@example({}, ":k", "x", "y", " ", False)
def test_every_repeated_key_is_found(
    value: dict[str, Any], key: str, first: Any, second: Any, gap: str, escaped: bool
) -> None:
    name = json.dumps(key)
    again = '"' + "".join(f"\\u{ord(c):04x}" for c in key) + '"' if escaped else name
    inner = json.dumps(value)[1:-1]
    parts = [f"{name}:{json.dumps(first)}", inner, f"{again}{gap}:{json.dumps(second)}"]
    text = "{" + f"{gap},".join(part for part in parts if part) + "}"
    with pytest.raises(CommandError):
        refuse_duplicates(text)


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK])
@pytest.mark.parametrize("number", [MAX_INTEGER, -MAX_INTEGER, 0, -0.0, 1.5, 1e308])
def test_the_largest_numbers_come_through(codec: Codec, number: float) -> None:
    assert codec.decode(signal(codec, {"x": number})) == [Signal(room="r", data={"x": number})]


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK])
@pytest.mark.parametrize("number", [MAX_INTEGER + 1, -MAX_INTEGER - 1])
def test_numbers_that_javascript_rounds_are_refused(codec: Codec, number: int) -> None:
    assert code_of(codec, signal(codec, {"x": [number]})) == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK])
def test_data_has_at_most_sixteen_levels(codec: Codec) -> None:
    assert codec.decode(signal(codec, nested(MAX_DEPTH))) == [
        Signal(room="r", data=nested(MAX_DEPTH))
    ]
    assert code_of(codec, signal(codec, nested(MAX_DEPTH + 1))) == ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK])
@pytest.mark.parametrize("character", ["a", "é", "\\", "\x01"])
def test_data_has_at_most_eight_kibibytes_as_json(codec: Codec, character: str) -> None:
    cost = len(msgspec.json.encode(character)) - 2
    room = (MAX_DATA_BYTES - len('{"x":""}')) // cost
    [command] = codec.decode(signal(codec, {"x": character * room}))
    assert isinstance(command, Signal)
    assert code_of(codec, signal(codec, {"x": character * (room + 1)})) == ErrorCode.TOO_LARGE


def test_an_error_says_nothing_about_the_inside() -> None:
    deep = '{"type":"ping","x":"\\n","y":1' + "0" * 5000 + "}"
    for frame in (deep, PING + b"\xa1x\x81\x90\x01"):
        codec = MSGPACK if isinstance(frame, bytes) else JSON
        [error] = codec.decode(frame)
        assert isinstance(error, CommandError)
        assert not {"sys.", "strict_map_key", "Traceback"} & set(error.message.split("="))
        assert "sys." not in error.message


def test_a_bad_field_that_is_skipped_still_tells_its_ref() -> None:
    [error] = JSON.decode('{"type":"ping","ref":3,"x":"\\n","y":1' + "0" * 5000 + "}")
    assert isinstance(error, CommandError)
    assert error.ref == 3


# What a hostile client would write: almost a command, with anything anywhere.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats()
    | st.text(st.characters(), max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
names = ["type", "ref", "room", "content", "nonce", "data", "since", "seq", "t", "rooms", "limit"]
almost = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(COMMANDS)) | anything},
    optional={name: anything for name in names if name != "type"},
)


def check_clean(decoded: list[Decoded]) -> None:
    assert decoded
    for item in decoded:
        if isinstance(item, CommandError):
            assert item.message
            assert "\0" not in f"{item.ref}{item.room}"
        else:
            check_value(msgspec.to_builtins(item))


def check_value(value: Any) -> None:
    if isinstance(value, str):
        assert "\0" not in value
        value.encode()
    elif isinstance(value, dict):
        assert all(type(key) is str for key in value)
        check_value([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            check_value(item)
    elif isinstance(value, int):
        assert abs(value) <= MAX_INTEGER
    elif isinstance(value, float):
        assert math.isfinite(value)
    else:
        assert value is None


@given(fields=almost | anything)
def test_no_json_object_raises_or_comes_through_unclean(fields: Any) -> None:
    text = json.dumps(fields)
    check_clean(JSON.decode(text))
    check_clean(NDJSON.decode(f"{text}\n{text}"))
    check_clean(JSON.decode(json.dumps(fields, ensure_ascii=False)))


@given(fields=almost | anything)
def test_no_msgpack_map_raises_or_comes_through_unclean(fields: Any) -> None:
    try:
        frame = msgspec.msgpack.encode(fields)
    except (OverflowError, UnicodeError):
        return
    check_clean(MSGPACK.decode(frame))
    check_clean(MSGPACK.decode(frame[:-1] + frame))


@given(text=st.text(st.characters()) | st.text('{}[]":,\\u0dtypeping \n'))
def test_no_text_raises(text: str) -> None:
    for codec in CODECS.values():
        check_clean(codec.decode(text))


@given(frame=st.binary(max_size=200), prefix=st.sampled_from([b"", PING, PING + b"\xa1t"]))
@settings(max_examples=examples(500))
def test_no_bytes_raise(frame: bytes, prefix: bytes) -> None:
    for codec in CODECS.values():
        check_clean(codec.decode(prefix + frame))


@given(
    content=st.text(),
    data=st.none()
    | st.dictionaries(st.text(), st.text() | st.integers(-MAX_INTEGER, MAX_INTEGER), max_size=5),
)
def test_every_valid_message_is_the_same_in_all_encodings(
    content: str, data: dict[str, Any] | None
) -> None:
    sent = Message(room="r", content=content, data=data)
    text, binary = msgspec.json.encode(sent).decode(), msgspec.msgpack.encode(sent)
    results = [JSON.decode(text), NDJSON.decode(text), MSGPACK.decode(binary)]
    if "\0" in text or "\\u0000" in text:
        assert all(isinstance(result[0], CommandError | Message) for result in results)
    else:
        assert results == [[sent]] * 3


@given(t=st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_ping_keeps_its_number(t: float) -> None:
    sent = Ping(t=t)
    assert JSON.decode(msgspec.json.encode(sent).decode()) == [sent]
    assert MSGPACK.decode(msgspec.msgpack.encode(sent)) == [sent]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.text()
        | st.integers(-MAX_INTEGER, MAX_INTEGER)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda items: st.lists(items) | st.dictionaries(st.text(), items),
    )
)
def test_numbers_of_one_kind_are_told_apart_again(value: object) -> None:
    """A database that keeps 1e300 as an integer gives back what was sent."""
    kept = json.loads(json.dumps(value), parse_float=lambda text: _number(float(text)))
    assert as_sent(kept) == value
    msgspec.json.encode(as_sent(kept))


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else value


@pytest.mark.parametrize("depth", [1, MAX_DEPTH, MAX_DEPTH + 1, 5000])
@pytest.mark.parametrize("kind", ["list", "dict", "with a value"])
def test_depth_is_judged_without_recursion(kind: str, depth: int) -> None:
    """The same in each version of Python; a value at the bottom is no level."""
    value: Any = {"list": [], "dict": {}, "with a value": [1]}[kind]
    for _ in range(depth - 1):
        value = {"in": value, "beside": 1} if kind == "dict" else [value, 1]
    assert is_shallow(value) is (depth <= MAX_DEPTH)


MANY = {"[]": b"\x90", "{}": b"\x80", "1": b"\x01", "null": b"\xc0"}


@pytest.mark.parametrize("value", MANY)
def test_data_with_too_many_values_is_refused_before_they_are_looked_at(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number alone says that they cannot fit."""
    looked: list[object] = []
    monkeypatch.setattr(clean, "_clean_number", looked.append)
    text = '{"type":"signal","room":"r","data":{"x":[' + ",".join([value] * 15_000) + "]}}"
    assert code_of(JSON, text) is ErrorCode.TOO_LARGE
    head = b"\x83\xa4type\xa6signal\xa4room\xa1r\xa4data\x81\xa1x\xdd\0\0\xea\x60"
    assert code_of(MSGPACK, head + MANY[value] * 60_000) is ErrorCode.TOO_LARGE
    assert looked == []


@pytest.mark.parametrize("value", ["1", '""', "[]", "{}", "null"])
def test_as_many_values_as_fit_are_let_in(value: str) -> None:
    """What may be sent has not become less."""
    number = (MAX_DATA_BYTES - len('{"x":[]}') + 1) // (len(value) + 1)
    text = '{"type":"signal","room":"r","data":{"x":[' + ",".join([value] * number) + "]}}"
    [command] = JSON.decode(text)
    assert isinstance(command, Signal)
    [error] = JSON.decode(text.replace("]}}", f",{value}]}}}}"))
    assert isinstance(error, CommandError)
    assert error.code is ErrorCode.TOO_LARGE


LISTS = ",".join(["[]"] * 20_000)
CROWDED: dict[str, str | bytes] = {
    "lists": '{"type":"ping","x":[' + LISTS + "]}",
    "objects": '{"type":"ping","x\\n":[' + ",".join(["{}"] * 20_000) + "]}",
    "strings": '{"type":"ping","x":[' + ",".join(['""'] * 20_000) + "]}",
    "keys": '{"type":"ping","x":{' + ",".join(f'"{n}":1' for n in range(6000)) + "}}",
    "lists in data": '{"type":"signal","room":"r","data":{"x":['
    + ",".join(["[]"] * 20_000)
    + "]}}",
    "empty maps": PING + b"\xa1x\xdd\0\0\xea\x60" + b"\x80" * 60_000,
    "empty arrays": PING + b"\xa1x\xdd\0\0\xea\x60" + b"\x90" * 60_000,
    "arrays in arrays": PING + b"\xa1x\xdc\0\x0f" + (b"\xdc\x0f\xa0" + b"\x90" * 4000) * 15,
}
"""Objects that fill a frame; lists and objects take Python ten times as long as other values."""


@pytest.mark.parametrize("name", CROWDED)
def test_an_object_of_very_many_is_refused_before_it_is_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(decoder, "clean", fail)
    frame = CROWDED[name]
    codec = MSGPACK if isinstance(frame, bytes) else JSON
    [error] = codec.decode(frame)
    assert isinstance(error, CommandError)
    assert (error.code, error.message) == (
        ErrorCode.TOO_LARGE,
        "A command may have at most 4096 strings, objects and lists.",
    )


@pytest.mark.parametrize("mark", ["[", "{", '"', "\\", "\x8f"])
def test_marks_in_a_text_count_as_nothing(mark: str) -> None:
    """However a client escapes them."""
    text = mark * 4000
    content = {"type": "message", "room": "r", "content": text, "data": {"x": text[:1000]}}
    for frame in (json.dumps(content), json.dumps(content, ensure_ascii=False)):
        [command] = JSON.decode(frame)
        assert isinstance(command, Message)
    [command] = MSGPACK.decode(msgpack.packb(content))
    assert isinstance(command, Message)


def test_a_hundred_rooms_are_not_too_many() -> None:
    """With all that a client can say about each."""
    since = {"seq": 5, "epoch": "abcdefgh"}
    rooms = [{"room": f"room-{number:090}", "since": since, "history": 50} for number in range(100)]
    command = {"type": "joins", "rooms": rooms}
    for frame, codec in ((json.dumps(command), JSON), (msgpack.packb(command), MSGPACK)):
        [decoded] = codec.decode(frame)
        assert isinstance(decoded, Joins)
