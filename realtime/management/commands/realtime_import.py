"""Import messages with their dates and senders from lines of JSON."""

from argparse import ArgumentParser
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from realtime.importing import OldMessage, check_messages, import_messages
from realtime.management.old_lines import Line, read_line, with_users
from realtime.management.operation import Operation, wrong
from realtime.management.standard_input import standard_input
from realtime.models import Room
from realtime.wire.errors import CommandError as Refusal

__all__ = ["Command"]

BATCH = 500


class Command(Operation):
    """Stores messages in the order of their lines; each line is stored once, by its `id`."""

    help = "Import a history: one JSON object a line, with its date, sender and id."

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", metavar="FILE", help="the file; - reads the standard input")
        text = "the room of lines without one; with it, lines of other rooms are refused"
        parser.add_argument("--room", metavar="SLUG", help=text)
        text = "the time zone of dates that have none, such as Europe/Berlin"
        parser.add_argument("--zone", metavar="NAME", help=text)
        text = "check all lines, and store nothing"
        parser.add_argument("--dry-run", action="store_true", help=text)

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Import, and return how many lines were read and how many messages are new."""
        act = _check if options["dry_run"] else import_messages
        numbers: Counter[str] = Counter()
        rooms: dict[str, Room] = {}
        with _opened(options["file"]) as file:
            batches = _batches(_lines(file, options["room"], _zone(options["zone"])))
            for batch in self.parts(batches, lambda: _text(numbers)):
                _find_rooms(rooms, batch)
                numbers["stored"] += sum(_in_rooms(rooms, batch, act))
                numbers["lines"] += len(batch)
        counts = {name: numbers[name] for name in ("lines", "stored")}
        return {"dry_run": options["dry_run"], **counts}

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return how many lines were read, and how many messages are new."""
        if result["dry_run"]:
            yield f"{result['lines']:,} lines are right. Nothing was stored."
            return
        known = result["lines"] - result["stored"]
        yield f"{result['stored']:,} messages were stored; {known:,} were there already."


def _text(numbers: Counter[str]) -> str:
    return f"{numbers['lines']:,} lines, {numbers['stored']:,} new messages"


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    if name == "-":
        with standard_input() as file:
            yield file
        return
    try:
        with Path(name).open(encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise wrong(f"{name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise wrong(f"{name} is not UTF-8 text.") from error


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise wrong(f"There is no time zone {name!r}. Write one such as Europe/Berlin.") from error


def _lines(file: TextIO, room: str | None, zone: ZoneInfo | None) -> Iterator[Line]:
    for number, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            line = read_line(text, number, zone)
        except ValueError as error:
            raise wrong(f"Line {number}: {error} Nothing after it was stored.") from error
        if line is None:
            continue
        if room is not None and line.room not in ("", room):
            raise wrong(f"Line {number}: it is of the room {line.room!r}, not of {room!r}.")
        if not (slug := line.room or room):
            raise wrong(f"Line {number}: it names no room. Add `room` to it, or give --room.")
        yield line._replace(room=slug)


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while batch := list(islice(lines, BATCH)):
        yield batch


def _find_rooms(rooms: dict[str, Room], batch: list[Line]) -> None:
    new = {one.room for one in batch} - rooms.keys()
    rooms.update({one.slug: one for one in Room.objects.filter(slug__in=new)})
    for line in batch:
        if line.room not in rooms:
            raise wrong(f"Line {line.number}: there is no room {line.room!r}. Create it first.")


def _check(room: Room, messages: list[OldMessage]) -> int:
    check_messages(room, messages)
    return 0


def _in_rooms(
    rooms: dict[str, Room], batch: list[Line], act: Callable[[Room, list[OldMessage]], int]
) -> Iterator[int]:
    """Store or check a batch room by room; each room is stored in one transaction."""
    by_room: dict[str, list[Line]] = defaultdict(list)
    for line in with_users(batch):
        by_room[line.room].append(line)
    for slug, lines in by_room.items():
        try:
            yield act(rooms[slug], [one.message for one in lines])
        except (ValueError, Refusal) as error:
            first, last = lines[0].number, lines[-1].number
            reason = getattr(error, "message", error)
            raise wrong(f"A line from {first} to {last} cannot be stored: {reason}") from error
