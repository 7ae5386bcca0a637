"""The numbers of all workers of one supervisor, in files of a folder that they share.

Each worker writes its own file, and may die at any time. So that no counter ever goes backwards,
the supervisor adds the file of an ended worker to those that had the same place before. This module
is loaded before Django, and by a supervisor that may be older or newer than its workers.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

__all__ = ["FOLDER", "PLACE", "OwnNumbers", "SharedNumbers", "combined"]

FOLDER, PLACE = "REALTIME_NUMBERS", "REALTIME_WORKER"
"""The variables by which a worker gets the folder, and the number of its place."""
ENDED = "ended"
SUMMED = ("totals", "cpu_seconds")
"""What goes on where the worker before has ended."""

Numbers = dict[str, Any]
"""`engine.numbers.Numbers` as JSON, perhaps of another version."""


class SharedNumbers:
    """The folder: the files `<place>-<process>.json` and `<place>-ended.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, place: int, process: int | str, numbers: bytes) -> None:
        """Replace the file of a worker at once; readers get the old or the new one."""
        path = self._path(place, process)
        draft = path.with_suffix(".new")
        draft.write_bytes(numbers)
        draft.replace(path)

    def end(self, place: int, process: int) -> None:
        """Add the file of an ended worker to those that had its place before."""
        with self._locked(fcntl.LOCK_EX):
            path = self._path(place, process)
            if (last := _read(path)) is not None:
                before = _read(self._path(place, ENDED))
                total = combined([], [last] if before is None else [before, last])
                self.write(place, ENDED, json.dumps(total).encode())
            path.unlink(missing_ok=True)

    def read(self) -> dict[int, Numbers]:
        """Return the numbers by place; workers that share one, as while they change, are added."""
        places: dict[int, tuple[list[Numbers], list[Numbers]]] = {}
        with self._locked(fcntl.LOCK_SH):
            for path in sorted(self._folder.glob("*-*.json")):
                place, _, process = path.stem.partition("-")
                if (found := _read(path)) is not None:
                    running, ended = places.setdefault(int(place), ([], []))
                    (ended if process == ENDED else running).append(found)
        return {place: combined(*found) for place, found in sorted(places.items())}

    def _path(self, place: int, process: int | str) -> Path:
        return self._folder / f"{place}-{process}.json"

    @contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        with (self._folder / "lock").open("ab") as lock:
            fcntl.flock(lock, mode)  # until the file is closed
            yield


class OwnNumbers:
    """The file of this worker, whose numbers never get older."""

    def __init__(self, folder: Path, place: int) -> None:
        self.shared = SharedNumbers(folder)
        self.place = place
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._at = 0.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the file of a worker whose supervisor has passed a folder, or None."""
        folder, place = environment.get(FOLDER, ""), environment.get(PLACE, "")
        if not folder or not place.isdecimal():
            return None
        return cls(Path(folder), int(place))

    def write(self, numbers: bytes, at: float) -> None:
        """Write the numbers of a time, unless newer ones are written.

        `at` is in seconds of a clock that never goes back, such as the CPU time.
        A forked process has its parent's counts and must not write them.
        """
        with self._lock:
            if at >= self._at and os.getpid() == self._process:
                self._at = at
                self.shared.write(self.place, self._process, numbers)


def combined(running: Sequence[Numbers], ended: Sequence[Numbers]) -> Numbers:
    """Return the numbers of one place: what is open now, and all that has happened there."""
    newest = max(running or ended, key=lambda one: one["started_at"])
    totals = {name: _sum([one.get(name) for one in (*running, *ended)]) for name in SUMMED}
    gauges = _sum([one.get("gauges") for one in running]) or {}
    found = {**newest, **totals, "gauges": gauges}
    return found if running else {**found, "node": "", "is_current": False}


def _sum(values: Sequence[Any]) -> Any:
    """Add numbers, lists and dicts part by part; another version may lack some."""
    known = [one for one in values if one is not None]
    if not known:
        return None
    if isinstance(known[0], dict):
        names = dict.fromkeys(name for one in known for name in one)
        return {name: _sum([one.get(name) for one in known]) for name in names}
    if isinstance(known[0], list):
        return [_sum(parts) for parts in zip_longest(*known)]
    return sum(known)


def _read(path: Path) -> Numbers | None:
    """Return the numbers of a file; None if it is gone or broken."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "started_at" in found else None
