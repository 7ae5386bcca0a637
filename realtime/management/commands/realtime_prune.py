"""Remove old messages, entries, reports and sanctions, as `retention.prune` does, with progress."""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from realtime import retention
from realtime.management.operation import FAILED, Operation, is_storable, wrong
from realtime.management.places import room_of
from realtime.models import Room
from realtime.models.rooms import LEAST_DAYS
from realtime.store.messages.retention import MOST_DAYS

__all__ = ["Command"]

WORDS = {
    "guest_messages": "messages of guests erased",
    "nonces": "nonces replaced",
    "reports": "closed reports removed",
    "sanctions": "ended sanctions removed",
    "messages": "messages removed",
    "entries": "entries of topics removed",
    "logs": "idle logs of topics removed",
}


class Command(Operation):
    """Removes what is too old, in parts that are committed one by one."""

    help = "Remove messages, entries, reports and sanctions that are too old. Run it daily."

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--room", metavar="SLUG", help="only messages of this room")
        only.add_argument("--topic", metavar="NAME", help="only entries of this topic")
        text = "with --room or --topic: the age in days, in place of the configured one"
        parser.add_argument("--days", type=float, metavar="NUMBER", help=text)

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Prune, and return how many rows of each kind there were."""
        numbers: Counter[str] = Counter()
        places: Counter[str] = Counter()
        skipped: set[str] = set()
        for part in self.parts(self._work(options), lambda: _text(numbers)):
            numbers[part.kind] += part.number
            if part.place and part.number:
                places[part.place] += part.number
            if part.is_skipped:
                skipped.add(part.place)
        result: dict[str, Any] = {kind: numbers[kind] for kind in WORDS}
        return {
            "dry_run": options["dry_run"],
            **result,
            "places": dict(places.most_common()),
            "skipped": sorted(skipped),
        }

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return one line for each kind, and for each room and topic."""
        if result["dry_run"]:
            yield "Nothing was changed; this would be done:"
        yield from (f"{result[kind]:,} {words}" for kind, words in WORDS.items())
        yield from (f"  {place}: {number:,}" for place, number in result["places"].items())
        for place in result["skipped"]:
            yield f"{place} was locked or not available. Run the command again."

    def code(self, result: dict[str, Any]) -> int:
        """Return a failure if something was locked."""
        return FAILED if result["skipped"] else 0

    def _work(self, options: dict[str, Any]) -> Iterator[retention.Part]:
        room, topic, days = options["room"], options["topic"], options["days"]
        if days is not None:
            _check_days(days, room, topic)
        if room is not None:
            return retention.of_room(_room(room), days, is_dry=options["dry_run"])
        if topic is not None:
            _check_topic(topic)
            return retention.of_topic(topic, days, is_dry=options["dry_run"])
        return retention.due() if options["dry_run"] else retention.in_parts()


def _check_days(days: float, room: str | None, topic: str | None) -> None:
    if room is None and topic is None:
        raise wrong("--days needs --room or --topic: other ages are settings (docs/commands.md).")
    least = LEAST_DAYS if room is not None else 0
    if not least <= days <= MOST_DAYS:
        raise wrong(f"--days must be a number from {least} to {MOST_DAYS:,}, not {days:g}.")


def _check_topic(name: str) -> None:
    if not is_storable(name):
        raise wrong(f"There is no topic {name!r}.")
    if retention.is_held(name):
        raise wrong(f"The topic {name!r} is on legal hold. Nothing of it is removed.")


def _room(slug: str) -> Room:
    room = room_of(slug)
    if room.is_held:
        raise wrong(f"The room {slug!r} is on legal hold. Nothing of it is removed.")
    return room


def _text(numbers: Counter[str]) -> str:
    return ", ".join(f"{number:,} {WORDS[kind]}" for kind, number in numbers.items() if number)
