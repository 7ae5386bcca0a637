"""Frames of a server as structs, in each encoding."""

import json

import msgspec
import pytest

from realtime.client import RealtimeError
from realtime.client.frames import Encoding, EncodingName, Unknown
from realtime.wire.events import Pong

PONG = {"type": "pong", "server_time": "2026-01-01T00:00:00Z"}
NAMES: list[EncodingName] = ["ndjson", "msgpack", "json"]


def frame_of(encoding: Encoding, *events: object) -> str | bytes:
    """Return one frame with events, as a server writes it."""
    [frame] = encoding.frames([encoding.encode(event) for event in events], 10**6)  # type: ignore[arg-type]
    return frame


@pytest.mark.parametrize("name", NAMES)
def test_an_event_of_the_protocol_becomes_its_struct(name: EncodingName) -> None:
    encoding = Encoding(name)
    [event] = encoding.events(frame_of(encoding, PONG))
    assert isinstance(event, Pong)


@pytest.mark.parametrize("name", NAMES)
def test_an_event_of_a_newer_server_keeps_its_fields(name: EncodingName) -> None:
    encoding = Encoding(name)
    fields = {"type": "from_tomorrow", "value": 1}
    assert list(encoding.events(frame_of(encoding, fields))) == [Unknown("from_tomorrow", fields)]


@pytest.mark.parametrize("frame", ["{", "[]", "1", '{"kind": "pong"}', '{"type": 1}', "[" * 10_000])
def test_what_is_no_frame_raises_a_typed_error(frame: str) -> None:
    with pytest.raises(RealtimeError) as raised:
        list(Encoding("ndjson").events(frame))
    assert raised.value.code == "invalid_frame"


def test_events_before_a_broken_one_are_told() -> None:
    events = Encoding("ndjson").events(json.dumps(PONG) + "\n{")
    assert isinstance(next(events), Pong)
    with pytest.raises(RealtimeError, match="invalid_frame"):
        next(events)


def test_an_encoding_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="'yaml': it must be ndjson, msgpack or json"):
        Encoding("yaml")  # type: ignore[arg-type]


def test_a_server_that_answers_no_subprotocol_speaks_plain_json() -> None:
    offered = Encoding("msgpack")
    assert Encoding.agreed(offered, "realtime.v1.msgpack") is offered
    assert Encoding.agreed(offered, None).subprotocol == "realtime.v1.json"


def test_a_frame_holds_at_most_fifty_commands() -> None:
    commands = [b'{"type":"ping"}'] * 120
    frames = [str(frame) for frame in Encoding("ndjson").frames(commands, 10**6)]
    assert [frame.count("\n") + 1 for frame in frames] == [50, 50, 20]


def test_a_frame_is_not_larger_than_the_server_takes() -> None:
    commands = [json.dumps({"type": "message", "content": "x" * 40}).encode()] * 6
    frames = list(Encoding("ndjson").frames(commands, 150))
    assert all(len(frame) <= 150 for frame in frames)
    assert len(frames) == 3


def test_a_command_that_is_larger_than_a_frame_goes_alone() -> None:
    large, small = b'"' + b"x" * 200 + b'"', b'"a"'
    frames = list(Encoding("ndjson").frames([small, large, small], 100))
    assert frames == [small.decode(), large.decode(), small.decode()]


def test_plain_json_has_one_command_a_frame() -> None:
    assert list(Encoding("json").frames([b"{}", b"{}"], 10**6)) == ["{}", "{}"]


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode])
def test_the_data_of_an_entry_may_have_either_format(encode: object) -> None:
    raw = msgspec.Raw(encode({"total": 5}))  # type: ignore[operator]
    assert Encoding.data(raw) == {"total": 5}
    with pytest.raises(msgspec.ValidationError):
        Encoding.data(raw, dict[str, str])


def test_an_entry_without_data_has_none() -> None:
    assert Encoding.data(msgspec.Raw()) is None
