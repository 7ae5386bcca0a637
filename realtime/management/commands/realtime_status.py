"""Show the state of the site, once or as a live view of a terminal."""

import time
from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from realtime.management.operation import FAILED, Operation, wrong
from realtime.store.overview import Overview, overview

__all__ = ["Command"]

CLEAR = "\x1b[H\x1b[2J"
"""Move to the first line of a terminal, and clear it."""
LEAST_SECONDS, MOST_SECONDS = 0.1, 3600


class Command(Operation):
    """Reads the tables; it needs no answer of a server process."""

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
        result = _result(overview(), None, options["every"])
        while options["watch"] and not self._is_stopping:
            self._write_view(result)
            before, began = result["events"], time.monotonic()
            self._wait(options["every"])
            result = _result(overview(), before, time.monotonic() - began)
        return result

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return the numbers of the site, then its processes and busy rooms."""
        rate = result["events_per_second"]
        yield f"{result['connections']:,} connections of {result['users']:,} users"
        yield f"{result['rooms']:,} rooms, {result['events']:,} messages and events" + (
            "" if rate is None else f", {rate:,.1f} a second"
        )
        waits = f", the oldest for {result['pending_seconds']:.0f} s" if result["pending"] else ""
        yield f"{result['pending']:,} wait for their position{waits}"
        for one in result["nodes"]:
            state = "alive" if one["is_alive"] else "ENDED"
            where = f"{one['host']}:{one['pid']}"
            yield f"  {one['id']}  {where}  {state}  {one['connections']:,} connections"
        if not result["nodes"]:
            yield "  no server process"
        for slug, number in result["busiest"].items():
            yield f"  {slug}: {number:,} here"

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


def _result(found: Overview, before: int | None, seconds: float) -> dict[str, Any]:
    oldest = found.oldest_pending
    return {
        **asdict(found),
        "oldest_pending": None if oldest is None else oldest.isoformat(),
        "pending_seconds": 0 if oldest is None else (timezone.now() - oldest).total_seconds(),
        "events_per_second": None if before is None else (found.events - before) / seconds,
    }
