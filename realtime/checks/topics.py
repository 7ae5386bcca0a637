"""Check the topic classes of the site: their paths, events and declarations."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from ..topics.encoding import fault_of
from ..topics.live import LiveTopic
from ..topics.registry import registry
from ..topics.structs import Event
from ..topics.topic import Topic
from ..wire.tags import name_of
from .live import faults_of_list

__all__ = ["check_topics"]

OF_CLIENT = ("event", "value", "change", "state", "reset", "refused", "presence")
"""The names by which handlers of `client.js` hear of the subscription itself."""


@register("realtime")
def check_topics(**kwargs: Any) -> list[CheckMessage]:
    """Check the path (E080), events (E081, E082, E085), keep (E083) and model (E086) of topics.

    Also paths that match the same name (E084), presence and signed (E087), live lists (E088), and
    topics to which nobody may subscribe (W080). An event should not have a name of the browser
    client (W081).
    """
    found: list[CheckMessage] = []
    for topic in registry.all_classes:
        if topic is LiveTopic:
            continue
        found += [*_path(topic), *_events(topic), *_keep(topic), *_model(topic), *_rule(topic)]
        found += [*_switches(topic), *_list(topic)]
    return found or list(_overlaps())


def _path(topic: type[Topic]) -> Iterator[CheckMessage]:
    path: Any = topic.path
    if not path and topic.__subclasses__():
        return
    if not isinstance(path, str) or not path:
        yield _error(topic, "has no path.", 'Write `path = "order/<int:pk>"`.', "realtime.E080")
    elif fault := _fault_of_path(topic):
        yield _error(topic, f"has the path {path!r}: {fault}.", None, "realtime.E080")


def _fault_of_path(topic: type[Topic]) -> str:
    if topic.path.startswith("/") or topic.path.endswith("/"):
        return "leave the slash at its begin or end out, as names of topics have none"
    try:
        parameters = topic.route().parameters
        _compiled = topic.route().pattern.regex
    except (ImproperlyConfigured, re.error) as error:
        return str(error).rstrip(".")
    hidden = [name for name in parameters if hasattr(Topic, name) or name.startswith("_")]
    if hidden:
        return f"the parameter `{hidden[0]}` hides what a topic needs, so give it another name"
    return ""


def _events(topic: type[Topic]) -> Iterator[CheckMessage]:
    given: Any = topic.events
    if not isinstance(given, list | tuple):
        yield _error(
            topic, "has `events` that are no list.", "Write `events = [Paid]`.", "realtime.E081"
        )
        return
    names: dict[str, type[Event]] = {}
    for event in given:
        if not (isinstance(event, type) and issubclass(event, Event)) or event is Event:
            text = f"lists {event!r}, which is no event."
            yield _error(
                topic, text, "Derive a class from `realtime.topics.Event`.", "realtime.E081"
            )
            continue
        other = names.setdefault(name_of(event), event)
        if other is not event:
            text = f"lists {other.__name__} and {event.__name__}, both called {name_of(event)!r}."
            hint = f"Write `class {event.__name__}(Event, name=…)`."
            yield _error(topic, text, hint, "realtime.E082")
        if name_of(event) in OF_CLIENT:
            text = f"lists {event.__name__}, whose name the browser client uses."
            hint = f"Write `class {event.__name__}(Event, name=…)`."
            yield _warning(topic, text, hint, "realtime.W081")
        if fault := fault_of(event):
            text = f"lists {event.__name__}, whose fields cannot be JSON: {fault}."
            yield _error(topic, text, "Give them other types.", "realtime.E085")


def _keep(topic: type[Topic]) -> Iterator[CheckMessage]:
    keep: Any = topic.keep
    if keep is not None and not (isinstance(keep, timedelta) and keep > timedelta(0)):
        text = f"has `keep = {keep!r}`, which is no time."
        yield _error(
            topic, text, "Write `keep = timedelta(days=7)`, or leave it out.", "realtime.E083"
        )


def _model(topic: type[Topic]) -> Iterator[CheckMessage]:
    model: Any = topic.model
    if model is None:
        return
    if not (isinstance(model, type) and issubclass(model, Model)):
        text = f"has `model = {model!r}`, which is no model."
        yield _error(topic, text, "Write the class of a model.", "realtime.E086")
    elif topic.has_path() and not _fault_of_path(topic) and not topic.lookups():
        text = f"has a path without a field of {model.__name__}, which would identify the object."
        yield _error(topic, text, "Name a field in the path, such as `<int:pk>`.", "realtime.E086")


def _switches(topic: type[Topic]) -> Iterator[CheckMessage]:
    for name in ("presence", "signed"):
        if not isinstance(value := getattr(topic, name), bool):
            text = f"has `{name} = {value!r}`, which is neither True nor False."
            yield _error(topic, text, f"Write `{name} = True`, or leave it out.", "realtime.E087")


def _list(topic: type[Topic]) -> Iterator[CheckMessage]:
    if issubclass(topic, LiveTopic) and topic.has_path() and not _fault_of_path(topic):
        for text, hint in faults_of_list(topic):
            yield _error(topic, text, hint, "realtime.E088")


def _rule(topic: type[Topic]) -> Iterator[CheckMessage]:
    is_default = topic.may_subscribe in (Topic.may_subscribe, LiveTopic.may_subscribe)
    if issubclass(topic, LiveTopic) and topic.permission:
        return
    if topic.has_path() and is_default and topic.allowed.__func__ is Topic.allowed.__func__:  # type: ignore[attr-defined]
        text = "says nothing about who may subscribe, so nobody may."
        yield _warning(topic, text, "Write `def may_subscribe(self) -> bool:`.", "realtime.W080")


def _overlaps() -> Iterator[CheckMessage]:
    for one, other, name in registry.overlaps():
        text = f"has the path {other.path!r}, and {one.__qualname__} has {one.path!r}: both match"
        hint = "Change one, so that one class decides who may subscribe."
        yield _error(other, f"{text} {name!r}.", hint, "realtime.E084")


def _warning(topic: type[Topic], text: str, hint: str, number: str) -> CheckMessage:
    return CheckWarning(f"{topic.__qualname__} {text}", hint=hint, obj=topic, id=number)


def _error(topic: type[Topic], text: str, hint: str | None, number: str) -> CheckMessage:
    return Error(f"{topic.__qualname__} {text}", hint=hint, obj=topic, id=number)
