"""What clients of tests notice in topics: the rules of the log, broken one by one."""

from typing import Any

import pytest

from harness.client.encoding import Object
from harness.client.topic_view import TopicView


def entry(seq: int, key: str | None = None, **fields: Any) -> Object:
    found = {"name": "paid", "seq": seq, "data": {}} | fields
    return found if key is None else found | {"key": key}


def subscribed(through: int, *entries: Object, **fields: Any) -> Object:
    usual = {"epoch": "e", "recovered": True, "has_more": False}
    return {"through": through, "entries": list(entries), **usual, **fields}


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (entry(4), ""),
        (entry(3), "3 after 3"),
        (entry(5), "gap from 3 to 5"),
        (entry(6, **{"from": 4}), ""),
        (entry(6, **{"from": 5}), "gap from 3 to 6"),
        ({"name": "paid", "data": {}}, ""),
    ],
)
def test_a_repeat_and_a_gap_are_faults(event: Object, fault: str) -> None:
    assert TopicView(position=3, epoch="e").fault_of(event) == fault


def test_the_first_event_of_a_log_brings_its_epoch() -> None:
    view = TopicView(epoch="")
    assert view.fault_of(entry(1)) == "1 begins a log without its epoch"
    assert view.fault_of(entry(1, epoch="e")) == ""
    view.advance(entry(1, epoch="e"))
    assert view.target == {"since": {"seq": 1, "epoch": "e"}}


def test_a_view_has_the_latest_value_of_each_key() -> None:
    view = TopicView(epoch="e")
    for event in (entry(1, "a"), entry(2, "b"), entry(3, "a"), entry(4, "b", deleted=True)):
        view.advance(event)
    assert view.values == {"a": entry(3, "a")}
    assert (view.position, view.events) == (4, [])


def test_an_event_that_is_not_stored_moves_nothing() -> None:
    view = TopicView(position=3, epoch="e")
    view.advance({"name": "moved", "data": {}})
    assert (view.position, view.events, len(view.loose)) == (3, [], 1)


@pytest.mark.parametrize(
    ("reply", "faults"),
    [
        (subscribed(6, entry(4), entry(6, "a")), []),
        (subscribed(6, entry(3)), ["3 is not in (3, 6]"]),
        (subscribed(6, entry(7)), ["7 is not in (3, 6]"]),
        (subscribed(6, entry(5), entry(4)), ["4 after 5"]),
        (subscribed(6, entry(1, "a"), recovered=False), []),
        (
            subscribed(6, entry(1, "a", deleted=True), recovered=False),
            [f"a snapshot has the deleted values {[entry(1, 'a', deleted=True)]}"],
        ),
    ],
)
def test_a_reply_brings_what_was_missed_in_order(reply: Object, faults: list[str]) -> None:
    assert TopicView(position=3, epoch="e").faults_of(reply) == faults


def test_the_pages_of_a_snapshot_repeat_no_event() -> None:
    """Those up to `until` came with the first page, as many as were asked for."""
    view = TopicView()
    view.enter(subscribed(4, entry(4, "a"), entry(8), recovered=False, has_more=True, until=9))
    assert view.target == {"since": {"seq": 4, "epoch": "e", "until": 9}}
    assert not view.is_joined
    page = subscribed(10, entry(8), entry(9, "b"), entry(10))
    assert view.faults_of(page) == ["the event 8 came with the first page"]
    view.enter(subscribed(10, entry(9, "b"), entry(10)))
    assert view.is_joined
    assert [one["seq"] for one in view.events] == [8, 10]
    assert view.target == {"since": {"seq": 10, "epoch": "e"}}


def test_a_new_snapshot_replaces_all() -> None:
    view = TopicView()
    view.enter(subscribed(4, entry(4, "a"), recovered=False))
    view.enter(subscribed(2, entry(2, "b"), recovered=False, epoch="f"))
    assert list(view.values) == ["b"]
    assert (view.position, view.epoch) == (2, "f")
