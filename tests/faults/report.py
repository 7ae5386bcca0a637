"""The table of docs/reliability.md: one row a fault, of its last full run."""

from collections.abc import Iterable
from pathlib import Path

from tests.faults.fault import Outcome, order
from tests.site import ROOT

__all__ = ["row", "write"]

PAGE = ROOT / "docs" / "reliability.md"
HEAD = "| fault | what is done | must be at most | counted | result |"


def row(outcome: Outcome) -> str:
    """One line of the table."""
    fault = outcome.fault
    counted = [f"{name} {_number(value)}" for name, value in outcome.figures.items()]
    must = [f"{name} {_number(most)}" for name, most in fault.must.items()]
    result = "**missed**: " + "; ".join(outcome.broken) if outcome.broken else "held"
    cells = [fault.name, fault.title, "; ".join(must), "; ".join(counted), result]
    return f"| {' | '.join(cells)} |"


def write(outcomes: Iterable[Outcome], page: Path = PAGE) -> None:
    """Put the rows into the page's table, in place of those that the same faults had."""
    new = {outcome.fault.name: row(outcome) for outcome in outcomes}
    lines = page.read_text().splitlines()
    start = lines.index(HEAD) + 2
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    rows = {line.split("|")[1].strip(): line for line in lines[start:end]} | new
    ordered = [rows[name] for name in sorted(rows, key=order)]
    page.write_text("\n".join([*lines[:start], *ordered, *lines[end:], ""]))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
