"""Write the data of a user, or the messages of a room, as lines of JSON."""

import json
import os
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realtime.exporting import export_room, export_user
from realtime.management.operation import Operation, wrong
from realtime.management.people import key_of_user
from realtime.management.places import room_of

__all__ = ["Command"]


class Command(Operation):
    """Writes one JSON object a line; a file is complete or not there."""

    help = "Export the data of a user or the messages of a room as JSON lines."
    resume = "No file was written. Run the same command again."

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        what = parser.add_mutually_exclusive_group(required=True)
        text = "the data of this user, by the primary key, or of a guest (guest:…)"
        what.add_argument("--user-id", metavar="ID", help=text)
        what.add_argument("--username", metavar="NAME", help="the data of this user, by the name")
        what.add_argument("--room", metavar="SLUG", help="the messages of this room")
        text = "the file, which is replaced; by default the standard output"
        parser.add_argument("--output", type=Path, metavar="FILE", help=text)

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Write the rows, and return how many of each kind there were."""
        if options["json"] and options["output"] is None:
            raise wrong("--json needs --output: else the standard output has the rows.")
        numbers: Counter[str] = Counter()
        with self._file(options["output"]) as file:
            for row in self.parts(_rows(options), lambda: f"{numbers.total():,} rows"):
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
                numbers[row["kind"]] += 1
        return {"rows": dict(numbers), "file": options["output"] and str(options["output"])}

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return how many rows were written, unless they are on the standard output."""
        if result["file"]:
            number = sum(result["rows"].values())
            yield f"{number:,} rows were written to {result['file']}."

    @contextmanager
    def _file(self, path: Path | None) -> Iterator[Any]:
        """Yield a file that takes its name when it is complete."""
        if path is None:
            yield self.stdout
            return
        if not path.name:
            raise wrong(f"{path} is a folder, not a file.")
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.unlink(missing_ok=True)  # of a killed process, perhaps with another mode
            with open(part, "x", encoding="utf-8", opener=_open_for_owner) as file:
                yield file
            part.replace(path)
        except OSError as error:
            raise wrong(f"{path} cannot be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)


def _open_for_owner(path: str, flags: int) -> int:
    """Open a new file that only its owner can read, whatever the umask is: it is personal data."""
    return os.open(path, flags, 0o600)


def _rows(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if options["room"] is None:
        return export_user(key_of_user(options, may_be_deleted=True))
    return export_room(room_of(options["room"]))
