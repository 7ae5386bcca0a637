"""A field of a message stands in five places, and its bytes on the wire stay as they are."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from realtime.admin.messages import MessageAdmin
from realtime.importing import OldMessage
from realtime.models import Message
from realtime.push import RoomTarget
from realtime.store.messages import changes
from realtime.store.messages.drafts import Draft
from realtime.wire import commands
from realtime.wire.body import (
    BODY_FIELDS,
    LARGE,
    Body,
    characters,
    fields_of,
    memory_size,
    stored_size,
)
from realtime.wire.codecs import JSON, MSGPACK, NDJSON, Frame
from realtime.wire.events import MessageEvent, MessageState

COLUMNS_OF_THE_LOG = {
    *("id", "room_id", "seq", "changed_seq", "sender", "user_id", "username", "nonce"),
    *("created_at", "edited_at", "deleted_at"),
}
"""What the server writes itself; every other column is a field of the body."""
NOT_FROM_CLIENTS: set[str] = set()
NOT_FROM_THE_SITE: set[str] = set()
NOT_IMPORTED: set[str] = set()
"""Fields that one of the three may not give. Name a field here to decide that, not to forget it."""

STATE = MessageState(
    id=5,
    seq=2,
    user_id="7",
    username="ada",
    created_at="2026-01-02T03:04:05.678Z",
    content="hi é",
    data={"a": [1, None]},
    nonce="n",
    edited_at="2026-01-02T03:04:06.000Z",
)
STATE_BYTES = (
    '{"id":5,"seq":2,"user_id":"7","username":"ada","created_at":"2026-01-02T03:04:05.678Z",'
    '"content":"hi é","data":{"a":[1,null]},"nonce":"n","edited_at":"2026-01-02T03:04:06.000Z"}'
).encode()
EVENT_BYTES = (
    '{"type":"message","room":"r","seq":2,"id":5,"user_id":"7","username":"ada",'
    '"created_at":"2026-01-02T03:04:05.678Z","content":"hi é","data":{"a":[1,null]},"nonce":"n",'
    '"edited_at":"2026-01-02T03:04:06.000Z","from":1}'
).encode()
TOMBSTONE_BYTES = (
    b'{"id":5,"seq":2,"user_id":"7","username":"ada","created_at":"2026-01-02T03:04:05.678Z",'
    b'"changed_seq":9,"deleted":true}'
)
TOMBSTONE = MessageState(
    id=5,
    seq=2,
    user_id="7",
    username="ada",
    created_at="2026-01-02T03:04:05.678Z",
    changed_seq=9,
    deleted=True,
)


def packed(text: bytes) -> bytes:
    """The same keys in the same order as MessagePack."""
    return msgspec.msgpack.encode(msgspec.json.decode(text))


@pytest.mark.parametrize(("state", "told"), [(STATE, STATE_BYTES), (TOMBSTONE, TOMBSTONE_BYTES)])
def test_the_bytes_of_a_state_are_those_of_version_1(state: MessageState, told: bytes) -> None:
    assert msgspec.json.encode(state) == told
    assert msgspec.msgpack.encode(state) == packed(told)


def test_the_bytes_of_an_event_are_those_of_version_1() -> None:
    event = MessageEvent.of("r", STATE, 1)
    assert JSON.encode(event) == NDJSON.encode(event) == EVENT_BYTES.decode()
    assert MSGPACK.encode(event) == Frame.of(event).binary == packed(EVENT_BYTES)


@pytest.mark.parametrize("state", [STATE, replace(TOMBSTONE, changed_seq=None)])
def test_an_event_tells_the_whole_state(state: MessageState) -> None:
    """One that changed since is told by `Changed`, which holds the state itself."""
    assert MessageEvent.of("r", state, 1).state == state


def test_an_event_has_every_field_of_its_state() -> None:
    """A field that is new in both must not be lost on the way."""
    state = replace(STATE, deleted=True)
    event = MessageEvent.of("r", state, 1)
    names = set(MessageState.__struct_fields__) - {"changed_seq"}
    assert all(getattr(state, name) for name in names)
    assert {name: getattr(event, name) for name in names} == {
        name: getattr(state, name) for name in names
    }


# A field is in each of its places.


@pytest.mark.parametrize("struct", [Draft, MessageState, MessageEvent])
def test_what_is_stored_and_told_has_every_field(struct: type[msgspec.Struct]) -> None:
    assert set(BODY_FIELDS) <= set(struct.__struct_fields__)


def test_a_column_of_the_table_is_a_field_or_written_by_the_log() -> None:
    columns = {field.attname for field in Message._meta.concrete_fields}
    assert columns - COLUMNS_OF_THE_LOG == set(BODY_FIELDS)


@pytest.mark.parametrize("name", BODY_FIELDS)
def test_a_column_is_named_and_empty_as_its_field(name: str) -> None:
    """The statement that inserts uses the names, and a tombstone the default."""
    field = Message._meta.get_field(name)
    assert (field.name, field.column) == (name, name)
    assert field.get_default() in ("", getattr(Body(), name))


def test_a_client_may_give_every_field() -> None:
    assert set(BODY_FIELDS) - NOT_FROM_CLIENTS <= set(commands.Message.__struct_fields__)


def test_the_sites_code_may_give_every_field() -> None:
    given = set(inspect.signature(RoomTarget.message).parameters)
    assert set(BODY_FIELDS) - NOT_FROM_THE_SITE <= given


def test_an_import_may_give_every_field() -> None:
    given = {field.name for field in dataclasses.fields(OldMessage)}
    assert set(BODY_FIELDS) - NOT_IMPORTED <= given


def test_a_deletion_removes_every_field_and_the_admin_shows_it() -> None:
    assert set(BODY_FIELDS) <= set(changes.EMPTIED) & set(MessageAdmin.fields)


# What a body takes.

SAMPLES: dict[str, Any] = {"content": "abcdef", "data": {"a": 1}}
"""A value of each field."""


def test_every_field_is_copied() -> None:
    """The samples, so that no function of the module overlooks a field."""
    assert fields_of(Body(**SAMPLES)) == SAMPLES
    assert set(SAMPLES) == set(BODY_FIELDS)


@pytest.mark.parametrize("measure", [stored_size, memory_size, characters])
@pytest.mark.parametrize("name", BODY_FIELDS)
def test_every_field_is_measured(measure: Callable[[Body], int], name: str) -> None:
    full = Body(**{"content": "", name: SAMPLES[name]})
    assert measure(full) > measure(Body(content=""))


@pytest.mark.parametrize(
    ("fields", "size"),
    [({"content": "é"}, 2), ({"content": "", "data": {}}, 2), ({"content": "a", "data": None}, 1)],
)
def test_stored_bytes_are_those_of_text_and_json(fields: dict[str, Any], size: int) -> None:
    assert stored_size(Body(**fields)) == size


def test_data_is_not_encoded_to_be_counted() -> None:
    """Where a frame might not hold it, the exact size is asked for."""
    assert characters(Body(data={})) == LARGE
