"""What a case is: the entries that are compared, and the targets that they should reach."""

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
    """One line of a case: a contender, how it is spoken to, and what differs from the case."""

    contender: str
    dialect: str
    label: str = ""
    options: Options = field(default_factory=dict)
    x: float | None = None
    """Where it stands on the axis of a case that grows."""
    ground: Options = field(default_factory=dict)
    """What its server is started with: `processes`, `rooms`."""
    paced_by: str = ""
    """Whose rate of the same round decides its own, times `pace`."""
    pace: float = 1


@dataclass(frozen=True)
class Target:
    """Something that has to be at least (or at most) so much, computed from the medians."""

    text: str
    needed: float
    measured: Callable[[Figures], float]
    is_at_most: bool = False
    why_missed: str = ""
    """Where the time goes if it is missed, in one or two sentences of the page."""

    def is_met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value <= self.needed if self.is_at_most else value >= self.needed


@dataclass(frozen=True)
class Case:
    """A scenario of the load client, the entries that are compared, and the targets."""

    name: str
    title: str
    about: str
    """What is compared, in one to three sentences."""
    scenario: str
    options: Options
    entries: list[Entry]
    columns: list[str]
    targets: list[Target]
    quick: Options = field(default_factory=dict)
    chart: str = ""
    """The figure that the chart shows."""
    counts_queries: bool = False
    """Whether PostgreSQL is to log every statement."""
    axis: str = ""
    """What the chart's x axis says, for a case that grows."""


def ratio(above: str, below: str, figure: str) -> Callable[[Figures], float]:
    """How many times the figure of one entry is that of another."""
    return lambda figures: figures[above][figure] / figures[below][figure]


def growth(labels: list[str], figure: str) -> Callable[[Figures], float]:
    """How far the figures of entries lie above that of the first, at the most."""
    return lambda figures: max(figures[one][figure] for one in labels) / figures[labels[0]][figure]
