"""Erase the messages and the traces of a user, as `accounts.erase_user` does, with progress."""

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from realtime import accounts
from realtime.management.operation import FAILED, Operation, wrong
from realtime.management.people import declare_user, key_of_user
from realtime.management.standard_input import answer_to, is_terminal

__all__ = ["Command"]


class Command(Operation):
    """Turns the messages of a user into tombstones, in parts that are committed one by one."""

    help = "Erase the messages, the name and the traces of a user or guest. It cannot be undone."

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        declare_user(parser)
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Erase, and return how many messages there were."""
        key = key_of_user(options, may_be_deleted=True)
        due, held = accounts.due_texts(key), accounts.held_texts(key)
        entries = accounts.due_entries(key)
        result = {
            "user_id": key,
            "dry_run": options["dry_run"],
            "held": held,
            "entries": entries.due,
            "held_entries": entries.held,
        }
        if options["dry_run"]:
            return {**result, "messages": due}
        if not options["yes"]:
            _confirm(key, due, entries.due)
        erased: list[int] = []
        work = accounts.erase_in_parts(key)
        for number in self.parts(work, lambda: f"{sum(erased):,} of {due:,} messages"):
            erased.append(number)
        return {**result, "messages": sum(erased)}

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return how many messages were erased, and how many are on legal hold."""
        word = "would be" if result["dry_run"] else "were"
        what = f"{result['messages']:,} messages and {result['entries']:,} entries of topics"
        yield f"{what} of the user {result['user_id']} {word} erased."
        if result["held"]:
            yield (
                f"{result['held']:,} messages are in rooms on legal hold and stay. "
                "Run the command again when the hold is over."
            )
        if result["held_entries"]:
            yield f"{result['held_entries']:,} entries are in topics on legal hold and stay."

    def code(self, result: dict[str, Any]) -> int:
        """Return a failure if something could not be erased."""
        return FAILED if result["held"] or result["held_entries"] else 0


def _confirm(key: str, number: int, entries: int) -> None:
    if not is_terminal():
        raise wrong("Nothing was erased: without a terminal, give --yes.")
    what = f"{number:,} messages of the user {key}, and {entries:,} entries of topics"
    question = f"Erase {what}, for good? [y/N] "
    if answer_to(question) not in ("y", "yes"):
        raise wrong("Nothing was erased.")
