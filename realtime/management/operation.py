"""The base class of the commands that operate a site: output, progress, interrupts, exit codes."""

import json
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError

from realtime.engine.bus.publisher import LayerUnavailable
from realtime.wire.errors import CommandError as Refusal

__all__ = ["FAILED", "INTERRUPTED", "UNAVAILABLE", "WRONG", "Operation", "is_storable", "wrong"]

FAILED, WRONG, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130
"""The exit codes; docs/commands.md has the table."""
PROGRESS_SECONDS = 1.0
TABLES = "The tables are missing or old. Run manage.py migrate."

T = TypeVar("T")


def wrong(text: str) -> CommandError:
    """Return the error for arguments that cannot be right."""
    return CommandError(text, returncode=WRONG)


def is_storable(text: str) -> bool:
    """Return whether a database can have a text: it is Unicode, without NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


class Interrupted(Exception):  # noqa: N818 - Ctrl-C is no error
    """The operator has stopped a long work between two parts."""


class Operation(BaseCommand):
    """A command whose `operate` returns the result: a dict of JSON values.

    A subclass has `declare`, which adds its options, and `lines`, which writes a result for people.
    """

    requires_system_checks: Any = []
    resume = "Run the same command again to go on."
    """The advice to an operator after an interrupt."""
    _done = ""
    _shown_at = 0.0
    _is_stopping = False
    _is_json = False
    _is_quiet = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        text = "write the result as one line of JSON; progress goes to the standard error"
        parser.add_argument("--json", action="store_true", help=text)
        self.declare(parser)

    def declare(self, parser: ArgumentParser) -> None:
        """Declare the options of this command."""

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        """Do the work, and return the result."""
        raise NotImplementedError

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        """Return the result as lines for people."""
        return (f"{name}: {value}" for name, value in result.items())

    def code(self, result: dict[str, Any]) -> int:
        """Return the exit code of a result."""
        return 0

    def handle(self, *args: Any, **options: Any) -> None:
        """Execute the command."""
        self._is_json, self._is_quiet = options["json"], options["verbosity"] == 0
        self._shown_at = time.monotonic()
        try:
            with self._stopped_softly():
                result = self.operate(options)
        except CommandError as error:
            raise self._told(str(error), error.returncode) from error
        except (Interrupted, KeyboardInterrupt) as error:
            done = f" after {self._done}" if self._done else ""
            raise self._told(f"Interrupted{done}. {self.resume}", INTERRUPTED) from error
        except (OperationalError, InterfaceError) as error:
            raise self._told(_away("database", error, self.resume), UNAVAILABLE) from error
        except ProgrammingError as error:
            raise self._told(TABLES, UNAVAILABLE) from error
        except LayerUnavailable as error:
            raise self._told(str(error), UNAVAILABLE) from error
        except Refusal as error:
            raise self._told(str(error.message), WRONG) from error
        self._write(result)
        if code := self.code(result):
            sys.exit(code)

    def parts(self, work: Iterable[T], describe: Any) -> Iterator[T]:
        """Yield the parts of a long work; show its progress, and stop between two of them.

        `describe` returns what is done after a part, as text. The caller has counted the part.
        """
        for part in work:
            yield part
            self._done = describe()
            self._show_progress()
            if self._is_stopping:
                raise Interrupted

    def _show_progress(self) -> None:
        now = time.monotonic()
        if self._done and not self._is_quiet and now - self._shown_at >= PROGRESS_SECONDS:
            self._shown_at = now
            self.stderr.write(self._done, style_func=str)

    def _write(self, result: dict[str, Any]) -> None:
        if self._is_json:
            self.stdout.write(json.dumps({"ok": not self.code(result), **result}, default=str))
            return
        for line in self.lines(result):
            self.stdout.write(line)

    def _told(self, text: str, code: int) -> CommandError:
        """Return the error that ends the command; with `--json`, it is a result too."""
        if self._is_json:
            self.stdout.write(json.dumps({"ok": False, "error": text, "code": code}))
        return CommandError(text, returncode=code)

    @contextmanager
    def _stopped_softly(self) -> Iterator[None]:
        """Let the first Ctrl-C or SIGTERM stop the work after its part; the second one ends it."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self._is_stopping:
                raise KeyboardInterrupt
            self._is_stopping = True
            self.stderr.write("Stopping after this part. Press Ctrl-C again to stop at once.")

        before = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, stop)
        except ValueError:  # not the main thread, as in tests of a site
            pass
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _away(what: str, error: Exception, resume: str) -> str:
    if "no such table" in str(error):  # SQLite has no error of its own for it
        return TABLES
    lines = str(error).strip().splitlines() or [repr(error)]
    return f"The {what} is not available: {lines[0].rstrip('.')}. {resume}".rstrip()
