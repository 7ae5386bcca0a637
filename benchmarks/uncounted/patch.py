"""The counters that do nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from realtime.counts import Counts, Histogram
from realtime.engine.connections.traffic import Traffic

__all__ = ["stop_counting", "uncounted"]

PATCHED = {
    Counts: ("deliver", "number", "close"),
    Histogram: ("add",),
    Traffic: ("receive", "send", "replace", "enter", "leave"),
}


def _skip(*_arguments: Any) -> None:
    """Count nothing."""


def stop_counting() -> None:
    """Replace the methods of the counters for the rest of the process."""
    for kind, names in PATCHED.items():
        for name in names:
            setattr(kind, name, _skip)


@contextmanager
def uncounted() -> Iterator[None]:
    """Count nothing for a while."""
    pairs = [(kind, name) for kind, names in PATCHED.items() for name in names]
    before = [getattr(kind, name) for kind, name in pairs]
    stop_counting()
    try:
        yield
    finally:
        for (kind, name), method in zip(pairs, before, strict=True):
            setattr(kind, name, method)
