"""Show the state of the site, once or as a live view of a terminal."""

import time
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from django.utils import timezone

from realtime.engine.numbers import Numbers
from realtime.management.operation import FAILED, Operation, wrong
from realtime.management.status_view import lines_of
from realtime.operations.processes import numbers_of, rates
from realtime.store.overview import NodeRow, Overview, overview

__all__ = ["Command"]

CLEAR = "\x1b[H\x1b[2J"
"""Move to the first line of a terminal, and clear it."""
LEAST_SECONDS, MOST_SECONDS = 0.1, 3600

Samples = Mapping[str, Numbers]
"""The numbers of processes, by node."""


class Command(Operation):
    """Reads the tables, and asks each living process for its numbers."""

    help = "Show server processes, connections, busy rooms, and what waits for its position."
    resume = ""

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--watch", action="store_true", help="show it again until Ctrl-C")
        text = "with --watch: the seconds between two views"
        parser.add_argument("--every", type=float, default=2, metavar="SECONDS", help=text)

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the state; with `--watch`, show it again and again before."""
        if not LEAST_SECONDS <= options["every"] <= MOST_SECONDS:
            raise wrong(f"--every must be from {LEAST_SECONDS} to {MOST_SECONDS} seconds.")
        found, samples, read_at = _look()
        result = _result(found, None, options["every"], samples, {})
        while options["watch"] and not self._is_stopping:
            self._write_view(result)
            self._wait(options["every"])
            before, older, since = found, samples, read_at
            found, samples, read_at = _look()
            result = _result(found, before.events, read_at - since, samples, older)
        return result

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return the numbers of the site, then its processes and busy rooms."""
        return lines_of(result)

    def code(self, result: dict[str, Any]) -> int:
        """Return a failure if no server process is alive."""
        return 0 if any(one["is_alive"] for one in result["nodes"]) else FAILED

    def _write_view(self, result: dict[str, Any]) -> None:
        if self.stdout.isatty() and not self._is_json:
            self.stdout.write(CLEAR, ending="")
        self._write(result)
        self.stdout.flush()

    def _wait(self, seconds: float) -> None:
        """Sleep in short steps, so that Ctrl-C ends the view at once."""
        end = time.monotonic() + seconds
        while not self._is_stopping and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LEAST_SECONDS))


def _look() -> tuple[Overview, Samples, float]:
    """Read the tables, then ask the processes that are alive."""
    found, read_at = overview(), time.monotonic()
    return found, numbers_of(one.id for one in found.nodes if one.is_alive), read_at


def _result(
    found: Overview, before: int | None, seconds: float, samples: Samples, older: Samples
) -> dict[str, Any]:
    oldest = found.oldest_pending
    return {
        **asdict(found),
        "nodes": [_node(one, samples.get(one.id), older.get(one.id)) for one in found.nodes],
        "oldest_pending": None if oldest is None else oldest.isoformat(),
        "pending_seconds": 0 if oldest is None else (timezone.now() - oldest).total_seconds(),
        "events_per_second": None if before is None else (found.events - before) / seconds,
    }


def _node(row: NodeRow, now: Numbers | None, before: Numbers | None) -> dict[str, Any]:
    grown = None if now is None or before is None else rates(before, now)
    return {
        **asdict(row),
        "numbers": None if now is None else msgspec.to_builtins(now),
        "rates": None if grown is None else msgspec.to_builtins(grown),
    }
