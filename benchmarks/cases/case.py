"""The structs of a case: it compares entries, and targets judge their figures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COST", "RATE", "Case", "Entry", "Figures", "Options", "Target", "growth", "ratio"]

RATE = "deliveries_per_second"
COST = "cpu_us_per_delivery"

Figures = dict[str, dict[str, float]]
"""By an entry's label, then by a figure's name: the medians of all rounds."""
Options = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line of a case: a contender, the dialect of its clients, and its own options."""

    contender: str
    dialect: str
    label: str = ""
    options: Options = field(default_factory=dict)
    x: float | None = None
    """The place of the entry on the x axis, in a case that grows."""
    ground: Options = field(default_factory=dict)
    """The options with which its server starts: `processes`, `rooms`."""
    paced_by: str = ""
    """The label of another entry: this one runs at that one's rate of the round, times `pace`."""
    pace: float = 1


@dataclass(frozen=True)
class Target:
    """A bound for a value that is computed from the medians."""

    text: str
    needed: float
    measured: Callable[[Figures], float]
    is_at_most: bool = False
    why_missed: str = ""
    """One or two sentences for the page: they say where the time goes if the target is missed."""

    def is_met(self, value: float) -> bool:
        """Return whether a value reaches the target."""
        return value <= self.needed if self.is_at_most else value >= self.needed


@dataclass(frozen=True)
class Case:
    """A scenario of the load client, the entries that are compared, and the targets."""

    name: str
    title: str
    about: str
    """One to three sentences for the page: they describe the comparison."""
    scenario: str
    options: Options
    entries: list[Entry]
    columns: list[str]
    targets: list[Target]
    quick: Options = field(default_factory=dict)
    chart: str = ""
    """The figure that the chart shows."""
    counts_queries: bool = False
    """Whether PostgreSQL logs every statement."""
    axis: str = ""
    """The label of the chart's x axis, for a case that grows."""


def ratio(above: str, below: str, figure: str) -> Callable[[Figures], float]:
    """Return a function that divides the figure of one entry by that of another."""
    return lambda figures: figures[above][figure] / figures[below][figure]


def growth(labels: list[str], figure: str) -> Callable[[Figures], float]:
    """Return a function that divides the largest figure of some entries by that of the first."""
    return lambda figures: max(figures[one][figure] for one in labels) / figures[labels[0]][figure]
