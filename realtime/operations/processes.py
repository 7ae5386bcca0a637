"""Ask server processes for their numbers and versions, from any process of the site."""

import time
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from ..counts import BOUNDS
from ..engine.asking import inspect
from ..engine.bus.notes import Outcome
from ..engine.numbers import Numbers
from ..engine.reporting import Inspection

__all__ = ["ANSWER_SECONDS", "Rates", "numbers_of", "rates", "versions_of"]

ANSWER_SECONDS = 2.0
T = TypeVar("T")


class Rates(msgspec.Struct):
    """What a process has done between two samples of its numbers."""

    commands_per_second: float
    deliveries_per_second: float
    cpu: float
    """The share of one core."""
    commit_p50: float | None
    """In seconds, the bound of a bucket of `counts.BOUNDS`; None if nothing was committed."""
    commit_p99: float | None


def numbers_of(nodes: Iterable[str], seconds: float = ANSWER_SECONDS) -> dict[str, Numbers]:
    """Return the numbers of those processes that answer in time, by the id of their node."""
    return _ask(nodes, Inspection("numbers"), Numbers, seconds)


def versions_of(nodes: Iterable[str], seconds: float = ANSWER_SECONDS) -> dict[str, dict[str, str]]:
    """Return the versions of those processes that answer in time, as `engine.versions` has them.

    A process of an earlier release has none: it is there with an empty dict.
    """
    return _ask(nodes, Inspection("versions"), dict[str, str], seconds, refused={})


def rates(before: Numbers, now: Numbers) -> Rates | None:
    """Return what a process did between two samples; None if another one has its place now."""
    seconds = now.at - before.at
    if seconds <= 0 or (before.node, before.started_at) != (now.node, now.started_at):
        return None
    grown = [
        max(0, after - then)
        for after, then in zip(now.totals.acks.buckets, before.totals.acks.buckets, strict=True)
    ]
    return Rates(
        commands_per_second=max(0, now.totals.commands - before.totals.commands) / seconds,
        deliveries_per_second=max(0, now.totals.deliveries - before.totals.deliveries) / seconds,
        cpu=max(0.0, now.cpu_seconds - before.cpu_seconds) / seconds,
        commit_p50=_quantile(grown, 0.5),
        commit_p99=_quantile(grown, 0.99),
    )


def _quantile(buckets: list[int], share: float) -> float | None:
    total, passed = sum(buckets), 0
    for number, bound in zip(buckets, (*BOUNDS, 2 * BOUNDS[-1]), strict=True):
        passed += number
        if total and passed >= total * share:
            return bound
    return None


def _ask(
    nodes: Iterable[str],
    question: Inspection,
    kind: type[T],
    seconds: float,
    refused: T | None = None,
) -> dict[str, T]:
    """Ask all processes at once, and return the answers that come within these seconds."""
    until = time.monotonic() + seconds
    asked = {node: inspect(node, question) for node in nodes}
    found: dict[str, T] = {}
    for node, one in asked.items():
        try:
            note = one.result.result(max(0.0, until - time.monotonic()))
            if note.outcome == Outcome.ANSWERED:
                found[node] = msgspec.json.decode(note.text, type=kind)
            elif note.outcome == Outcome.REFUSED and refused is not None:
                found[node] = refused
        except (TimeoutError, msgspec.DecodeError):
            continue
        finally:
            one.close()
    return found
