"""What the system checks say about topic classes."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.checks import CheckMessage

from realtime.checks import check_topics
from realtime.models import Room
from realtime.topics import Event, Topic
from realtime.topics.live import LiveTopic
from tests.topics.lists import disconnect


class Paid(Event):
    """An event."""


class Again(Event, name="paid"):
    """Has the name of another."""


class Reset(Event):
    """Has a name of the browser client."""


class Strange(Event):
    """Has a field that is not JSON."""

    place: complex


GOOD: dict[str, Any] = {
    "path": "order/<int:pk>",
    "events": [Paid],
    "keep": timedelta(days=7),
    "may_subscribe": lambda self: True,
}


def found(**fields: Any) -> list[CheckMessage]:
    """What is said about a class with these fields."""
    type("OrderTopic", (Topic,), {**GOOD, **fields})
    return check_topics()


def test_a_good_class_is_silent() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("fields", "number", "text"),
    [
        ({"path": ""}, "E080", "OrderTopic has no path."),
        ({"path": None}, "E080", "OrderTopic has no path."),
        ({"path": 7}, "E080", "OrderTopic has no path."),
        ({"path": "/order"}, "E080", "leave the slash at its begin or end out"),
        ({"path": "order/"}, "E080", "leave the slash at its begin or end out"),
        ({"path": "order/<nope:pk>"}, "E080", "uses invalid converter 'nope'."),
        ({"path": "order/<int: pk>"}, "E080", "cannot contain whitespace"),
        ({"path": "order/<int:1>"}, "E080", "isn't a valid Python identifier"),
        ({"path": "<int:a>/<int:a>"}, "E080", "redefinition of group name"),
        ({"path": "job/<slug:name>"}, "E080", "the parameter `name` hides what a topic needs"),
        ({"path": "job/<slug:publish>"}, "E080", "the parameter `publish` hides"),
        ({"path": "job/<slug:_x>"}, "E080", "the parameter `_x` hides"),
        ({"events": Paid}, "E081", "has `events` that are no list."),
        ({"events": ["paid"]}, "E081", "lists 'paid', which is no event."),
        ({"events": [Room]}, "E081", "which is no event."),
        ({"events": [Event]}, "E081", "which is no event."),
        ({"events": [Paid()]}, "E081", "lists Paid(), which is no event."),
        ({"events": [Paid, Again]}, "E082", "lists Paid and Again, both called 'paid'."),
        ({"events": [Strange]}, "E085", "lists Strange, whose fields cannot be JSON"),
        ({"keep": 7}, "E083", "has `keep = 7`, which is no time."),
        ({"keep": timedelta(0)}, "E083", "which is no time."),
        ({"model": "Room"}, "E086", "has `model = 'Room'`, which is no model."),
        ({"events": [Reset]}, "W081", "lists Reset, whose name the browser client uses."),
        ({"presence": 1}, "E087", "has `presence = 1`, which is neither True nor False."),
        ({"signed": "yes"}, "E087", "has `signed = 'yes'`, which is neither True nor False."),
        ({"model": Room, "path": "room"}, "E086", "has a path without a field of Room"),
    ],
)
def test_a_mistake_is_told(fields: dict[str, Any], number: str, text: str) -> None:
    [message] = found(**fields)
    assert message.id == f"realtime.{number}"
    assert text in message.msg


LIST: dict[str, Any] = {
    "path": "rooms/<slug:kind>",
    "list_of": Room,
    "row": Paid,
    "keep": timedelta(days=7),
    "permission": "realtime.view_room",
}


@pytest.fixture(autouse=True)
def unwatched() -> Iterator[None]:
    """Other tests save rooms too."""
    yield
    disconnect()


def found_in_list(**fields: Any) -> list[CheckMessage]:
    """What is said about a live list with these fields."""
    type("RoomList", (LiveTopic,), {**LIST, **fields})
    return check_topics()


def test_a_good_list_is_silent() -> None:
    assert found_in_list() == []
    assert found_in_list(row=None, template="room.html", path="rooms/<int:creator__id>") == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"list_of": None}, "has `list_of = None`, which is no model with a table."),
        ({"list_of": "Room"}, "has `list_of = 'Room'`, which is no model"),
        ({"list_of": AbstractUser}, "which is no model with a table."),
        ({"row": None}, "needs either `row` or `template`"),
        ({"template": "room.html"}, "needs either `row` or `template`"),
        ({"keep": None}, "stores nothing, so a page that was away would miss rows."),
        ({"path": "rooms/<slug:shape>"}, "has `shape` in its path, which is no field of Room."),
    ],
)
def test_a_mistake_in_a_list_is_told(fields: dict[str, Any], text: str) -> None:
    [message] = found_in_list(**fields)
    assert message.id == "realtime.E088"
    assert text in message.msg


def test_a_list_for_nobody_is_told() -> None:
    [message] = found_in_list(permission="")
    assert message.id == "realtime.W080"


def test_a_list_may_say_itself_which_topics_have_a_row() -> None:
    fields = {"path": "rooms/<int:user>", "topics_of": classmethod(lambda cls, row: [])}
    assert found_in_list(**fields) == []


def test_a_class_without_a_rule_is_told() -> None:
    [message] = found(may_subscribe=Topic.may_subscribe)
    assert message.id == "realtime.W080"
    assert found(may_subscribe=Topic.may_subscribe, allowed=classmethod(lambda c, a: a)) == []


def test_a_base_needs_no_path() -> None:
    base = type("Base", (Topic,), {})
    type("Child", (base,), GOOD)
    assert check_topics() == []


def test_a_field_of_the_model_may_be_a_relation() -> None:
    assert found(model=Room, path="about/<int:log__id>/<slug:part>") == []


def test_two_classes_with_a_common_name_are_told() -> None:
    type("Code", (Topic,), {**GOOD, "path": "order/<slug:code>"})
    [message] = found()
    assert message.id == "realtime.E084"
    assert message.msg == (
        "OrderTopic has the path 'order/<int:pk>', and Code has 'order/<slug:code>':"
        " both match 'order/0'."
    )
