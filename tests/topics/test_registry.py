"""The classes of a site, and the topic of a name."""

import logging
from datetime import timedelta

import pytest
from django.urls import register_converter
from django.urls.converters import REGISTERED_CONVERTERS, StringConverter

from realtime.errors import CommandError, ErrorCode
from realtime.store.accounts.identity import Identity
from realtime.topics import Topic
from realtime.topics.registry import Registry

ADA = Identity("7", "ada")


def test_a_name_leads_to_its_class(classes: Registry) -> None:
    class OrderTopic(Topic):
        path = "order/<int:pk>"
        pk: int

    class Dashboard(Topic):
        path = "dashboard"

    topic = classes.resolve("order/007", ADA)
    assert isinstance(topic, OrderTopic)
    assert (topic.name, topic.pk, topic.identity) == ("order/7", 7, ADA)
    assert isinstance(classes.resolve("dashboard"), Dashboard)


@pytest.mark.parametrize("name", ["", "x", "order/x", "order/7/", "order/7\0", "a" * 10_000])
def test_each_name_without_a_class_is_the_same_error(classes: Registry, name: str) -> None:
    class OrderTopic(Topic):
        path = "order/<int:pk>"

    with pytest.raises(CommandError) as caught:
        classes.resolve(name)
    assert (caught.value.code, caught.value.message) == (
        ErrorCode.UNKNOWN_TOPIC,
        "There is no such topic.",
    )


def test_a_name_says_how_long_entries_are_kept(classes: Registry) -> None:
    class OrderTopic(Topic):
        path = "order/<int:pk>"
        keep = timedelta(days=7)

    assert classes.keep_of("order/7") == timedelta(days=7)
    assert classes.keep_of("order/x") is None


def test_a_base_without_a_path_has_no_topics(classes: Registry) -> None:
    class Base(Topic):
        def may_subscribe(self) -> bool:
            return True

    class Child(Base):
        path = "child"

    assert classes.classes[-1:] == [Child]
    assert Base not in classes.classes
    assert classes.resolve("child", ADA).may_subscribe()


def test_a_class_that_is_defined_again_replaces_itself(classes: Registry) -> None:
    """As by a reload of its module."""
    made = [type("Again", (Topic,), {"path": "again", "__module__": "shop"}) for _ in range(2)]
    assert type(classes.resolve("again")) is made[1]
    assert list(classes.overlaps()) == []


def test_a_name_of_two_classes_is_refused(
    classes: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither may decide on the rights of the other, also where nobody has run the checks."""

    class One(Topic):
        path = "order/<int:pk>"

    class Other(Topic):
        path = "order/<slug:code>"

    with caplog.at_level(logging.ERROR), pytest.raises(CommandError):
        classes.resolve("order/7")
    assert "One and" in caplog.text
    assert isinstance(classes.resolve("order/x"), Other)
    [overlap] = classes.overlaps()
    assert {overlap.one, overlap.other} == {One, Other}


def test_a_converter_that_cannot_write_what_it_has_read_has_no_topic(
    classes: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(StringConverter):
        def to_url(self, value: str) -> str:
            raise KeyError(value)

    register_converter(Odd, "odd")
    try:

        class OddTopic(Topic):
            path = "odd/<odd:key>"

        for _ in range(2):
            with pytest.raises(CommandError, match="no such topic"):
                classes.resolve("odd/a")
    finally:
        REGISTERED_CONVERTERS.pop("odd")
    assert caplog.text.count("a converter of 'odd/<odd:key>' has failed") == 1
