"""What the system checks say about topic classes."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import CheckMessage

from realtime.checks import check_topics
from realtime.models import Room
from realtime.topics import Event, Topic


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
