"""States of stored entries: data goes out as it was stored."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from realtime.wire.entries import EntryState, data_of


def state(**fields: Any) -> EntryState:
    return EntryState(**{"name": "paid", "seq": 3, "at": "2026-11-29T12:00:00.000Z"} | fields)


def test_a_state_is_sent_without_its_defaults() -> None:
    sent = msgspec.json.decode(msgspec.json.encode(state(data=data_of('{"total": "3.50"}'))))
    assert sent == {
        "name": "paid",
        "seq": 3,
        "at": "2026-11-29T12:00:00.000Z",
        "data": {"total": "3.50"},
    }


def test_a_deleted_key_has_no_data() -> None:
    sent = msgspec.json.decode(msgspec.json.encode(state(key="courier", deleted=True)))
    assert (sent["key"], sent["deleted"]) == ("courier", True)
    assert "data" not in sent


def test_the_nonce_is_the_id_on_the_wire() -> None:
    sent = msgspec.json.decode(msgspec.json.encode(state(nonce="n")))
    assert sent["id"] == "n"


def test_a_state_is_read_back_as_it_was() -> None:
    one = state(key="a", nonce="n", data=data_of('{"x": [1, 2.5, null]}'))
    assert msgspec.json.decode(msgspec.json.encode(one), type=EntryState) == one


def test_a_state_replaces_the_one_with_its_key() -> None:
    assert (state().id, state(key="a").id, state(key="").id) == (3, "a", "")
    assert state().position == 3


def test_a_large_state_counts_as_large() -> None:
    assert state(data=Raw(b"x" * 5000)).memory_size > 5000 > state().memory_size


@pytest.mark.parametrize("text", ['{"a": 1}', "null", "1.5", '"é\\u2028"', '"0123456789012345678"'])
def test_data_stays_as_it_is(text: str) -> None:
    assert json.loads(bytes(data_of(text))) == json.loads(text)


@pytest.mark.parametrize("text", ["1" + "0" * 300, "[9007199254740993]", "123e20", "1E+300"])
def test_a_number_beyond_2_53_is_sent_as_a_float(text: str) -> None:
    sent = msgspec.json.decode(bytes(data_of(text)))
    number = sent[0] if isinstance(sent, list) else sent
    assert isinstance(number, float)
