"""What clients of tests notice: the rules of the log, broken one by one."""

from typing import Any

import pytest

from harness.client.encoding import Object
from harness.client.room_view import RoomView


def message(number: int, seq: int, changed_seq: int | None = None) -> Object:
    return {"id": number, "seq": seq, "changed_seq": changed_seq, "content": f"{seq}"}


def event(seq: int, **fields: Any) -> Object:
    return {"type": "message", **message(seq, seq), **fields}


def joined(through: int, *messages: Object) -> Object:
    return {"type": "joined", "through": through, "epoch": "e", "messages": list(messages)}


@pytest.mark.parametrize(
    ("follows", "fault"),
    [
        (event(4), ""),
        (event(3), "3 after 3"),
        (event(2), "2 after 3"),
        (event(5), "gap from 3 to 5"),
        (event(6, **{"from": 4}), ""),
        (event(6, **{"from": 5}), "gap from 3 to 6"),
    ],
)
def test_a_repeat_and_a_gap_are_faults(follows: Object, fault: str) -> None:
    """An event may stand for several positions, from the next one on."""
    assert RoomView(position=3).fault_of(follows) == fault


def test_a_message_is_news_once() -> None:
    """A later change is news again, and an earlier one replaces nothing."""
    view = RoomView()
    assert view.advance(event(1))
    assert not view.keep(message(1, 1))
    assert view.advance({"type": "changed", "seq": 2, "message": message(1, 1, 2)})
    assert not view.keep(message(1, 1))
    assert (view.position, view.messages) == (2, {1: message(1, 1, 2)})


def test_a_resume_brings_what_was_missed() -> None:
    """What was known already, and what lies beyond the end of the reply, is misplaced."""
    early, missed, late = message(1, 2), message(2, 1, 4), message(3, 6)
    reply = joined(5, early, missed, late)
    assert RoomView().misplaced(reply, since=2) == [early, late]


def test_a_view_resumes_from_where_it_is() -> None:
    """It can name no position before it has joined, and none after it has forgotten."""
    view = RoomView()
    assert view.target == {}
    view.enter(joined(5))
    assert view.is_joined
    assert view.target == {"since": {"seq": 5, "epoch": "e"}}
    view.forget()
    assert (view.target, view.is_joined, view.messages) == ({}, False, {})
