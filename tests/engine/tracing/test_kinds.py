"""A trace names the kind of a frame, and nothing that a user has written."""

import msgspec
import pytest

from realtime.engine.tracing.kinds import INVALID, UNKNOWN, kind_of_command, kinds_of_frame
from realtime.wire.codecs import JSON, MSGPACK, NDJSON, RAW, Codec, Frame
from realtime.wire.commands import Auth, Message
from realtime.wire.errors import CommandError
from realtime.wire.events import EntryEvent, Failure, Notice, Outgoing, SignalEvent

HIDDEN = "realtime/traces/"


def entry(name: str, topic: str = "a/1") -> EntryEvent:
    return EntryEvent(topic=topic, name=name, data=msgspec.Raw(b'{"text":"secret"}'))


@pytest.mark.parametrize("codec", [JSON, NDJSON, MSGPACK], ids=["json", "ndjson", "msgpack"])
@pytest.mark.parametrize(
    ("outgoing", "kind"),
    [
        (Notice(level="info", text="secret"), "notice"),
        (entry("order_placed"), "event order_placed"),
        (entry("a name with secret words"), "event ?"),
        (SignalEvent(data={"type": "secret"}), "signal"),
        (Failure(code="not_joined", message="secret", retryable=False), "error not_joined"),
    ],
)
def test_a_frame_of_the_server_is_named_by_its_type(
    codec: Codec, outgoing: Outgoing, kind: str
) -> None:
    assert kinds_of_frame(codec, codec.join([Frame.of(outgoing)]), HIDDEN) == [kind]


@pytest.mark.parametrize("codec", [NDJSON, MSGPACK], ids=["ndjson", "msgpack"])
def test_each_event_of_a_joined_frame_is_named(codec: Codec) -> None:
    frames = [Frame.of(entry(name)) for name in ("one", "two")]
    assert kinds_of_frame(codec, codec.join(frames), HIDDEN) == ["event one", "event two"]


def test_lines_of_traces_are_not_traced() -> None:
    """A page that traces its own user would get lines for ever."""
    frames = [Frame.of(entry("lines", f"{HIDDEN}7")), Frame.of(entry("one"))]
    assert kinds_of_frame(NDJSON, NDJSON.join(frames), HIDDEN) == ["event one"]


@pytest.mark.parametrize(
    ("codec", "frame", "kind"),
    [
        (JSON, "[1]", UNKNOWN),
        (JSON, "secret", UNKNOWN),
        (JSON, '{"type": {"secret": 1}}', UNKNOWN),
        (JSON, '{"type": "two words"}', UNKNOWN),
        (JSON, '{"type": "' + "x" * 61 + '"}', UNKNOWN),
        (MSGPACK, b"\xc1", UNKNOWN),
        (RAW, "secret", "text"),
        (RAW, b"secret", "bytes"),
    ],
)
def test_a_frame_of_the_site_has_at_most_a_short_name(
    codec: Codec, frame: str | bytes, kind: str
) -> None:
    assert kinds_of_frame(codec, frame, HIDDEN) == [kind]


def test_a_command_is_named_by_its_type() -> None:
    assert kind_of_command(Message(room="general", content="secret")) == "message"
    assert kind_of_command(Auth(token="secret")) == "auth"
    assert kind_of_command(CommandError("invalid_json", "secret")) == INVALID
