"""The table of docs/reliability.md: one row a fault, of its last full run."""

import math
from collections.abc import Iterable
from pathlib import Path

from harness.site import ROOT
from tests.faults.fault import Fault, Figures, Outcome, order

__all__ = ["PAGE", "promise", "row", "write"]

PAGE = ROOT / "docs" / "reliability.md"
HEAD = "| fault | what is done | must be at most | counted | result |"


def promise(fault: Fault) -> str:
    """How its line of the table begins: what is done, and what must hold."""
    return f"| {fault.name} | {fault.title} | {_told(fault.must)} |"


def row(outcome: Outcome) -> str:
    """One line of the table."""
    result = "**missed**: " + "; ".join(outcome.broken) if outcome.broken else "held"
    return f"{promise(outcome.fault)} {_told(outcome.figures)} | {result} |"


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


def _told(figures: Figures) -> str:
    return "; ".join(f"{name} {_number(value)}" for name, value in figures.items())


def _number(value: float) -> str:
    if math.isnan(value):
        return "not counted"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
