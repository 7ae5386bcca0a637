"""The sections of docs/reliability.md: one a fault, with the figures of its last full run."""

import math
import re
from collections.abc import Iterable
from pathlib import Path

from harness.site import ROOT
from tests.faults.fault import Fault, Figures, Outcome, order

__all__ = ["PAGE", "limits", "limits_of", "section", "sections", "write"]

PAGE = ROOT / "docs" / "reliability.md"
NAME = re.compile(r"^### (\w+)\n", re.MULTILINE)
LIMIT = re.compile(r"^\| (.+?) \| ([0-9][^|]*) \| .+ \|$", re.MULTILINE)
HEAD = ["| figure | at most | counted |", "|---|---|---|"]


def section(outcome: Outcome) -> str:
    """Return the section of a fault, with its heading."""
    result = "**missed**: " + "; ".join(outcome.broken) if outcome.broken else "held"
    must = _told(outcome.fault.must)
    rows = [
        f"| {name} | {must[name]} | {value} |" if name in must else f"| {name} | | {value} |"
        for name, value in _told(outcome.figures).items()
    ]
    title = [f"### {outcome.fault.name}", f"Fault: {outcome.fault.title}.", f"Result: {result}."]
    return "\n".join([*title, "", *HEAD, *rows, "", ""])


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by the names of their faults, with their headings."""
    names = list(NAME.finditer(page))
    ends = [found.start() for found in names[1:]] + [len(page)]
    return {found[1]: page[found.start() : end] for found, end in zip(names, ends, strict=True)}


def limits(fault: Fault) -> dict[str, str]:
    """Return the most that each figure of a fault may be, as the page writes it."""
    return _told(fault.must)


def limits_of(text: str) -> dict[str, str]:
    """Return the most that each figure may be, by the section of its fault."""
    return dict(LIMIT.findall(text))


def write(outcomes: Iterable[Outcome], page: Path = PAGE) -> None:
    """Put the sections into the page, in place of those that the same faults had."""
    text = page.read_text()
    found = sections(text)
    intro = text.removesuffix("".join(found.values()))
    found |= {outcome.fault.name: section(outcome) for outcome in outcomes}
    ordered = [found[name].rstrip("\n") for name in sorted(found, key=order)]
    page.write_text(intro + "\n\n".join(ordered) + "\n")


def _told(figures: Figures) -> dict[str, str]:
    return {name: _number(value) for name, value in figures.items()}


def _number(value: float) -> str:
    if math.isnan(value):
        return "not counted"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
