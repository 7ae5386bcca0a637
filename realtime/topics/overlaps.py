"""Find a name that two paths have in common: which class would decide on its rights?

A path is a sequence of steps, each of which takes one symbol. Two paths overlap if there is a text
that leads through both. A symbol is a character, or a whole value of a site's own converter, of
which nothing is known but that `str` and `path` take it too.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls.converters import (
    IntConverter,
    PathConverter,
    SlugConverter,
    StringConverter,
    UUIDConverter,
)

from .paths import PARAMETER, Path

__all__ = ["common_name"]

UUID_LENGTHS = (8, 4, 4, 4, 12)
SAMPLES = frozenset("0agA-_/.")
"""One character of each kind that the converters of Django tell apart."""


class Step(NamedTuple):
    """A place in a path that takes one of these symbols; with `is_loop`, one or more."""

    symbols: frozenset[str]
    is_loop: bool = False


def common_name(one: Path, other: Path) -> str | None:
    """Return a name that both paths match, with an example for each value, or None."""
    symbols = SAMPLES | {symbol for path in (one, other) for symbol in _own(path)}
    first, second = list(_steps(one, symbols)), list(_steps(other, symbols))
    seen = {(0, 0)}
    waiting = [(0, 0, "")]
    while waiting:
        left, right, text = waiting.pop()
        if left == len(first) and right == len(second):
            return text
        if left == len(first) or right == len(second):
            continue
        both = first[left].symbols & second[right].symbols
        if not both:
            continue
        for place in _next(first[left], left, second[right], right):
            if place not in seen:
                seen.add(place)
                waiting.append((*place, text + min(both)))
    return None


def _next(one: Step, left: int, other: Step, right: int) -> Iterator[tuple[int, int]]:
    for ahead in (left, left + 1) if one.is_loop else (left + 1,):
        for also in (right, right + 1) if other.is_loop else (right + 1,):
            yield ahead, also


def _own(path: Path) -> Iterator[str]:
    """Return the characters of a path's own text, and a symbol for each converter of a site."""
    yield from PARAMETER.sub("", path.route)
    for converter in path.pattern.converters.values():
        if _takes(converter, SAMPLES) is None:
            yield _symbol(converter)


def _symbol(converter: Any) -> str:
    return f"<{type(converter).__qualname__}>"


def _steps(path: Path, symbols: frozenset[str]) -> Iterator[Step]:
    end = 0
    for found in PARAMETER.finditer(path.route):
        yield from (Step(frozenset(one)) for one in path.route[end : found.start()])
        end = found.end()
        yield from _value(path.pattern.converters[found["name"]], symbols)
    yield from (Step(frozenset(one)) for one in path.route[end:])


def _value(converter: Any, symbols: frozenset[str]) -> Iterator[Step]:
    if isinstance(converter, UUIDConverter):
        for number, length in enumerate(UUID_LENGTHS):
            yield from [Step(frozenset("-"))] * bool(number)
            yield from [Step(_hex(symbols))] * length
        return
    taken = _takes(converter, symbols)
    if taken is None:
        yield Step(frozenset([_symbol(converter)]))
    else:
        yield Step(taken, is_loop=True)


def _takes(converter: Any, symbols: frozenset[str]) -> frozenset[str] | None:
    """Return which symbols a converter of Django takes, or None for a converter of a site."""
    match converter:
        case IntConverter():
            return frozenset(one for one in symbols if one in "0123456789")
        case SlugConverter():
            return frozenset(one for one in symbols if _is_slug(one))
        case PathConverter():
            return symbols
        case UUIDConverter():
            return _hex(symbols)
        case StringConverter():
            return symbols - {"/"}
        case _:
            return None


def _hex(symbols: frozenset[str]) -> frozenset[str]:
    return frozenset(one for one in symbols if one in "0123456789abcdef")


def _is_slug(symbol: str) -> bool:
    return len(symbol) == 1 and symbol.isascii() and (symbol.isalnum() or symbol in "-_")
