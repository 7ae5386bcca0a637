"""Examine the site: say what is wrong, and how to mend it."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.db import DatabaseError
from django.db.utils import InterfaceError

from realtime.auth import tickets
from realtime.doctor.address import examine_address
from realtime.doctor.database import examine_database, examine_tables
from realtime.doctor.finding import Examination, Finding, bad
from realtime.doctor.processes import examine_processes
from realtime.doctor.settings import examine_settings
from realtime.doctor.versions import (
    examine_process_versions,
    examine_server_versions,
    examine_versions,
)
from realtime.management.operation import FAILED, Operation, wrong
from realtime.management.people import key_of_user
from realtime.store.accounts.users import any_user, pk_of

__all__ = ["Command"]

MOST_SECONDS = 24 * 60 * 60
MARKS = {"good": "ok  ", "warning": "warn", "error": "BAD "}
DATABASE = "Start the database, and check HOST, PORT, NAME, USER and PASSWORD in DATABASES."


class Command(Operation):
    """Runs all examinations; one that fails does not hide the others."""

    help = "Examine database, processes, settings and the public address of the site."
    resume = "Run the same command again."

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        text = "also open a socket at this address, such as wss://example.com/ws"
        parser.add_argument("--url", metavar="URL", help=text)
        text = "hold the socket so long, longer than the proxies keep a quiet connection"
        parser.add_argument("--hold", type=float, default=0, metavar="SECONDS", help=text)
        text = "open the socket as this user; by default as a guest"
        parser.add_argument("--username", metavar="NAME", help=text)

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Examine everything, and return the findings."""
        examinations = list(_examinations(options))
        findings: list[Finding] = []
        for found in self.parts(
            (one for work in examinations for one in _safely(work)),
            lambda: f"{len(findings)} findings",
        ):
            if found not in findings:  # each examination finds that the database is away
                findings.append(found)
        count = [one.level for one in findings].count
        return {
            "errors": count("error"),
            "warnings": count("warning"),
            "findings": [one._asdict() for one in findings],
        }

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return each finding, and how to mend it."""
        for one in result["findings"]:
            yield f"{MARKS[one['level']]} {one['subject']}: {one['text']}"
            if one["mend"]:
                yield f"     {one['mend']}"
        yield f"{result['errors']} errors, {result['warnings']} warnings."

    def code(self, result: dict[str, Any]) -> int:
        """Return a failure if an error was found."""
        return FAILED if result["errors"] else 0


def _examinations(options: dict[str, Any]) -> Iterator[Examination]:
    yield examine_settings
    yield examine_versions
    yield examine_database
    yield examine_tables
    yield examine_server_versions
    yield from _address(options)
    # At last: a process is known once it has served a socket.
    yield examine_processes
    yield examine_process_versions


def _address(options: dict[str, Any]) -> Iterator[Examination]:
    url, hold = options["url"], options["hold"]
    if not 0 <= hold <= MOST_SECONDS:
        raise wrong(f"--hold must be a number of seconds up to {MOST_SECONDS}, not {hold:g}.")
    if url is None:
        if hold or options["username"]:
            raise wrong("--hold and --username need --url.")
        return
    if not _is_address(url):
        raise wrong(f"--url must be an address such as wss://example.com/ws, not {url!r}.")
    name = options["username"]
    user = None if name is None else any_user(pk_of(key_of_user({"username": name})))
    yield partial(_examine_address, url, hold, user)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed
        return False
    return parts.scheme in ("ws", "wss") and bool(parts.netloc)


def _examine_address(url: str, hold: float, user: Any) -> Iterator[Finding]:
    # A ticket is valid for some seconds only, so it is issued now.
    yield from examine_address(url, hold, "" if user is None else tickets.issue(user))


def _safely(examination: Examination) -> Iterator[Finding]:
    """Yield the findings; an examination that cannot work is a finding too."""
    try:
        yield from examination()
    except (DatabaseError, InterfaceError) as error:
        yield bad("database", f"The database does not answer: {_first_line(error)}", DATABASE)
    except Exception as error:
        subject = getattr(examination, "__name__", "_examine_address").partition("examine_")[2]
        text = f"This could not be examined: {type(error).__name__}: {_first_line(error)}"
        yield bad(subject, text, "Read the log of this command and of a server process.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
