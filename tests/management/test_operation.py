"""What all operating commands share: results, progress, interrupts and exit codes."""

import signal
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError

from realtime.engine.bus.publisher import LayerUnavailable
from realtime.management.operation import Operation, wrong
from realtime.store.accounts.users import unknown_user
from tests.management.conftest import run


class Counting(Operation):
    """Counts to five, and does something in each part."""

    def __init__(self, act: Callable[[int], object] = lambda number: None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.act = act

    def declare(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fail", action="store_true")

    def operate(self, options: dict[str, Any]) -> dict[str, Any]:
        done = []
        for number in self.parts(range(5), lambda: f"{len(done)} parts"):
            self.act(number)
            done.append(number)
        return {"done": len(done), "failed": options["fail"]}

    def lines(self, result: dict[str, Any]) -> Iterable[str]:
        yield f"{result['done']} parts were done."

    def code(self, result: dict[str, Any]) -> int:
        return 1 if result["failed"] else 0


def raising(error: BaseException) -> Callable[[int], object]:
    def act(number: int) -> object:
        if number == 2:
            raise error
        return None

    return act


def test_a_result_is_for_people_or_for_programs() -> None:
    assert run(Counting()).out == "5 parts were done.\n"
    assert run(Counting(), json=True).result == {"ok": True, "done": 5, "failed": False}
    assert run(Counting(), json=True, fail=True)[::2] == (
        '{"ok": false, "done": 5, "failed": true}\n',
        1,
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("verbosity", "shown"), [(0, 0), (1, 5)])
def test_progress_is_shown_beside_the_result(verbosity: int, shown: int) -> None:
    ran = run(Counting(), json=True, verbosity=verbosity)
    assert len(ran.err.splitlines()) == shown
    assert ran.result["done"] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_after_the_part_that_runs(number: signal.Signals) -> None:
    """And says how to go on; the handlers of the process are back then."""
    before = signal.getsignal(number)
    acted: list[int] = []

    def act(part: int) -> None:
        acted.append(part)
        if part == 1:
            signal.raise_signal(number)

    ran = run(Counting(act))
    assert (acted, ran.code) == ([0, 1], 130)
    assert ran.error == "Interrupted after 2 parts. Run the same command again to go on."
    assert signal.getsignal(number) is before


def test_a_second_interrupt_ends_the_part_that_runs() -> None:
    def act(part: int) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    assert run(Counting(act))[2:] == (130, "Interrupted. Run the same command again to go on.")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (wrong("--days is wrong."), 2, "--days is wrong."),
        (unknown_user(), 2, "There is no such user."),
        (OperationalError("gone\nmore"), 3, "The database is not available: gone. Run the same"),
        (ProgrammingError("no table"), 3, "The tables are missing or old. Run manage.py migrate."),
        (OperationalError("no such table: x"), 3, "The tables are missing or old."),
        (LayerUnavailable("No Redis."), 3, "No Redis."),
    ],
    ids=["wrong", "refused", "database", "tables", "sqlite", "layer"],
)
def test_an_error_has_a_sentence_and_a_code(error: Exception, code: int, text: str) -> None:
    """Also with `--json`, for programs."""
    assert run(Counting(raising(error)))[2:4] == (code, run(Counting(raising(error))).error)
    ran = run(Counting(raising(error)), json=True)
    assert ran.code == code
    assert ran.error.startswith(text)
    assert ran.result == {"ok": False, "error": ran.error, "code": code}


def test_a_fault_of_the_code_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(Counting(raising(ZeroDivisionError())))
