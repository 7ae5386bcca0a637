"""Paths that match the same name."""

from typing import Any
from uuid import UUID

import pytest
from django.urls import register_converter
from django.urls.converters import REGISTERED_CONVERTERS
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from realtime.topics.overlaps import common_name
from realtime.topics.paths import Path
from tests.examples import examples

SAMPLES = [
    "".join((a, b, c, d))
    for a in "ab7-/"
    for b in ("", *"ab7-/")
    for c in ("", *"ab7-/")
    for d in ("", *"ab7-/")
]
part = st.sampled_from(["a", "b", "7", "-", "/", "<int:i>", "<slug:s>", "<str:t>", "<path:p>"])


class Code:
    """A converter of a site, of which nothing is known."""

    regex = "[A-Z]{3}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


@pytest.fixture
def _converter() -> Any:
    register_converter(Code, "code")
    yield
    REGISTERED_CONVERTERS.pop("code")


@pytest.mark.usefixtures("_converter")
@pytest.mark.parametrize(
    ("one", "other", "is_common"),
    [
        ("order/<int:pk>", "order/<int:id>", True),
        ("order/<int:pk>", "order/<slug:code>", True),
        ("order/<int:pk>", "<slug:kind>/7", True),
        ("order/<int:pk>", "<path:all>", True),
        ("order/<int:pk>", "order/<int:pk>/items", False),
        ("order/<int:pk>", "orders/<int:pk>", False),
        ("order/<int:pk>", "order/new", False),
        ("order/<slug:code>", "order/new", True),
        ("order/<slug:code>", "order/new item", False),
        ("order/<str:code>", "order/new item", True),
        ("a/<str:x>c", "ab/<str:y>", False),
        ("a<str:x>c", "ab<str:y>", True),
        ("a/<path:x>/c", "a/b/<path:y>", True),
        ("dashboard", "dashboard", True),
        ("dashboard", "dashboards", False),
        ("u/<uuid:u>", "u/<slug:s>", True),
        ("u/<uuid:u>", "u/<int:n>", False),
        ("u/<uuid:u>", f"u/{UUID(int=7)}", True),
        ("u/<uuid:u>", "u/00000000-0000-0000-0000", False),
        ("c/<code:c>", "c/<code:d>", True),
        ("c/<code:c>", "c/<str:d>", True),
        ("c/<code:c>", "c/<code:c>/x", False),
        ("c/<code:c>", "c/archive", False),
        ("c/<code:c>", "d/<code:c>", False),
    ],
)
def test_two_paths_overlap_or_not(one: str, other: str, is_common: bool) -> None:
    for left, right in ((one, other), (other, one)):
        name = common_name(Path(left), Path(right))
        assert (name is not None) is is_common
        if name is not None and "<" not in name:
            assert Path(left).match(name) is not None
            assert Path(right).match(name) is not None


def route(parts: list[str]) -> str:
    """A route in which each parameter has a name of its own."""
    return "".join(one.replace(":", f":n{number}") for number, one in enumerate(parts))


@given(st.lists(part, min_size=1, max_size=4), st.lists(part, min_size=1, max_size=4))
@hypothesis_settings(max_examples=examples(300), deadline=None)
def test_what_is_found_is_a_name_of_both(one: list[str], other: list[str]) -> None:
    """And two paths without a common name have none among short ones."""
    left, right = Path(route(one)), Path(route(other))
    name = common_name(left, right)
    if name is not None:
        assert left.match(name) is not None
        assert right.match(name) is not None
        return
    matched = [one for one in SAMPLES if left.match(one) is not None]
    assert [one for one in matched if right.match(one) is not None] == []
