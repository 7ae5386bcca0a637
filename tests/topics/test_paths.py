"""Paths: one name for each topic, and nothing that converters need not see."""

from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import register_converter
from django.urls.converters import REGISTERED_CONVERTERS

from realtime.models import Room
from realtime.topics.paths import Path

UID = UUID(int=7)


class Year:
    """A converter of a site."""

    regex = "[0-9]{2,4}"

    def to_python(self, value: str) -> int:
        return 2000 + int(value) if len(value) == 2 else int(value)

    def to_url(self, value: object) -> str:
        return str(value)


class Strict:
    """A converter that must not be asked."""

    regex = "(?s:.+)"

    def to_python(self, value: str) -> str:
        raise AssertionError(value)

    def to_url(self, value: object) -> str:
        return str(value)


@pytest.fixture(autouse=True)
def _converters() -> Any:
    register_converter(Year, "year")
    register_converter(Strict, "strict")
    yield
    for name in ("year", "strict"):
        REGISTERED_CONVERTERS.pop(name)


@pytest.mark.parametrize(
    ("route", "values", "name"),
    [
        ("dashboard", {}, "dashboard"),
        ("order/<int:pk>", {"pk": 7}, "order/7"),
        ("order/<int:pk>", {"pk": "007"}, "order/7"),
        ("order/<int:pk>", {"pk": 2**63 - 1}, f"order/{2**63 - 1}"),
        ("a/<slug:slug>/b", {"slug": "x-1"}, "a/x-1/b"),
        ("a/<title>", {"title": "Ünï 1"}, "a/Ünï 1"),
        ("a/<path:rest>", {"rest": "x/y"}, "a/x/y"),
        ("a/<uuid:uid>", {"uid": UID}, f"a/{UID}"),
        ("a/<uuid:uid>", {"uid": str(UID)}, f"a/{UID}"),
        ("sales/<year:year>/<int:month>", {"year": 2026, "month": 1}, "sales/2026/1"),
        ("sales/<year:year>/<int:month>", {"year": "26", "month": 1}, "sales/2026/1"),
        ("a/<x>-<y>", {"x": "1-2", "y": "3"}, "a/1-2-3"),
    ],
)
def test_a_topic_has_one_name(route: str, values: dict[str, Any], name: str) -> None:
    path = Path(route)
    made, found = path.name(values)
    assert made == name
    assert path.match(name) == found
    assert path.canonical(found) == name


@pytest.mark.parametrize(
    ("route", "name", "canonical"),
    [
        ("order/<int:pk>", "order/007", "order/7"),
        ("order/<int:pk>", "order/" + "0" * 100 + "7", "order/7"),
        ("sales/<year:year>", "sales/26", "sales/2026"),
    ],
)
def test_other_spellings_are_the_same_topic(route: str, name: str, canonical: str) -> None:
    path = Path(route)
    values = path.match(name)
    assert values is not None
    assert path.canonical(values) == canonical


@pytest.mark.parametrize(
    "name",
    ["", "a" * 201, "a\0", "a\n", "a\x7f", "a\x85", "a\ud800", "e\u0301"],  # the last: not NFC
)
def test_a_name_is_checked_before_converters_run(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert Path("<strict:all>").match(name) is None
    assert caplog.text == ""


def test_a_converter_that_fails_has_no_topic_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = Path("<strict:all>")
    assert [path.match(name) for name in ("a", "b")] == [None, None]
    assert caplog.text.count("a converter of '<strict:all>' has failed") == 1


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("order/<int:pk>", "order/"),
        ("order/<int:pk>", "order/x"),
        ("order/<int:pk>", "order/-1"),
        ("order/<int:pk>", "order/7/"),
        ("order/<int:pk>", "/order/7"),
        ("order/<int:pk>", "order/\u0667"),
        ("order/<int:pk>", f"order/{2**63}"),
        ("order/<int:pk>", "order/" + "9" * 190),
        ("a/<uuid:uid>", f"a/{UID}X"),
        ("dashboard", "dashboards"),
    ],
)
def test_a_name_that_does_not_match_has_no_values(route: str, name: str) -> None:
    assert Path(route).match(name) is None


@pytest.mark.parametrize(
    ("route", "values", "error", "fault"),
    [
        ("order/<int:pk>", {}, TypeError, "takes pk, not nothing"),
        ("order/<int:pk>", {"id": 7}, TypeError, "takes pk, not id"),
        ("order/<int:pk>", {"pk": 7, "x": 1}, TypeError, "takes pk, not pk, x"),
        ("dashboard", {"pk": 7}, TypeError, "takes nothing, not pk"),
        ("order/<int:pk>", {"pk": None}, ValueError, "save the object first"),
        ("a/<key>", {"key": None}, ValueError, "save the object first"),
        ("a/<key>", {"key": Room(pk=7)}, ValueError, "write key=….pk"),
        ("order/<int:pk>", {"pk": -1}, ValueError, "has no topic for pk=-1"),
        ("order/<int:pk>", {"pk": 2**63}, ValueError, "has no topic for"),
        ("order/<int:pk>", {"pk": "x"}, ValueError, "has no topic for pk='x'"),
        ("a/<key>", {"key": "x/y"}, ValueError, "has no topic for"),
        ("a/<key>", {"key": ""}, ValueError, "has no topic for"),
        ("a/<key>", {"key": "x" * 199}, ValueError, "has no topic for"),
        ("a/<key>", {"key": "e\u0301"}, ValueError, "has no topic for"),
        ("a/<x>-<y>", {"x": "1", "y": "2-3"}, ValueError, "has no topic for"),
    ],
)
def test_values_that_a_path_cannot_have_are_told(
    route: str, values: dict[str, Any], error: type[Exception], fault: str
) -> None:
    """Two topics never have the same name."""
    with pytest.raises(error, match=fault):
        Path(route).name(values)


def test_an_unknown_converter_is_told() -> None:
    with pytest.raises(ImproperlyConfigured, match="uses invalid converter 'nope'"):
        Path("a/<nope:x>").match("a/1")
