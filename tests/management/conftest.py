"""Run a command of the package as an operator does."""

import json
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.core.management import BaseCommand, CommandError, call_command


class Ran(NamedTuple):
    """What a command has written, and its exit code."""

    out: str
    err: str
    code: int
    error: str

    @property
    def result(self) -> Any:
        """The line of JSON."""
        return json.loads(self.out)


def run(command: str | BaseCommand, *arguments: str, **options: Any) -> Ran:
    out, err = StringIO(), StringIO()
    code, error = 0, ""
    try:
        call_command(command, *arguments, stdout=out, stderr=err, **options)
    except CommandError as raised:
        code, error = raised.returncode, str(raised)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return Ran(out.getvalue(), err.getvalue(), code, error)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the progress of each part."""
    monkeypatch.setattr("realtime.management.operation.PROGRESS_SECONDS", 0)
