"""What a fault is: something done to a running site, what was counted, and what must hold."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeVar

from harness.services import Services
from harness.site import Factory

__all__ = ["Fault", "Figures", "Ground", "Outcome", "all_faults", "fault", "order"]

T = TypeVar("T")
Figures = dict[str, float]
"""What was counted, by a name that says its unit: `{"acked lost": 0, "resumed p99, s": 1.2}`."""
TIMES = (", s", ", ms", ", times")
_faults: dict[str, "Fault"] = {}


@dataclass(frozen=True)
class Ground:
    """Where a fault happens: sites on demand, which end with it, and how much is to be done."""

    make_site: Factory
    services: Services
    is_full: bool = False
    in_topics: bool = False
    """Whether clients speak in topics instead of rooms."""

    def size(self, short: T, full: T) -> T:
        """How much: `short` in CI, `full` by command."""
        return full if self.is_full else short


@dataclass(frozen=True)
class Outcome:
    """What came of one fault."""

    fault: "Fault"
    figures: Figures

    @property
    def broken(self) -> list[str]:
        """The promises that did not hold, in words; empty is good."""
        return [
            f"{name}: {self.figures[name]:g}, may be {self.fault.must[name]:g}"
            for name in self._broken
        ]

    @property
    def is_only_late(self) -> bool:
        """Whether nothing but times is wrong, as on a machine that was busy for a moment."""
        return all(name.endswith(TIMES) for name in self._broken)

    @property
    def _broken(self) -> list[str]:
        return [name for name, most in self.fault.must.items() if not self.figures[name] <= most]


@dataclass(frozen=True)
class Fault:
    """Something that breaks, and the most that each figure may be."""

    name: str
    title: str
    must: Figures
    run: Callable[[Ground], Awaitable[Figures]]
    in_topics: bool = False
    """Whether clients speak in topics instead of rooms."""

    @property
    def is_sensitive(self) -> bool:
        """Whether what it measures takes a machine on which nothing else goes on."""
        return any(name.endswith((", ms", ", times")) for name in self.must)

    async def outcome(self, ground: Ground) -> Outcome:
        """Do it."""
        if self.in_topics:
            make_site = partial(ground.make_site, in_topics=True)
            ground = replace(ground, make_site=make_site, in_topics=True)
        return Outcome(self, await self.run(ground))


def fault(
    name: str,
    title: str,
    must: Figures,
    *,
    in_topics: bool = False,
    must_in_topics: Figures | None = None,
) -> Callable[[Callable[[Ground], Awaitable[Figures]]], Fault]:
    """Make a function the fault `name` (a section of docs/reliability.md).

    It returns its figures; those that `must` names may be at most so much. With `in_topics` there
    is another fault, `T` and the name, whose clients speak in topics instead of rooms. With
    `must_in_topics` other figures must hold there.
    """

    def register(run: Callable[[Ground], Awaitable[Figures]]) -> Fault:
        _faults[name] = Fault(name, title, must, run)
        if in_topics:
            also = must if must_in_topics is None else must_in_topics
            _faults[f"T{name}"] = Fault(f"T{name}", f"in topics, {title}", also, run, True)
        return _faults[name]

    return register


def all_faults() -> dict[str, Fault]:
    """Those of every file here, by name, in the order of their letters and numbers."""
    for module in iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith(("_", "test_")):
            import_module(f"{__package__}.{module.name}")
    return dict(sorted(_faults.items(), key=lambda item: order(item[0])))


def order(name: str) -> tuple[str, int, str]:
    """F2 comes before F10, and F before A."""
    letters = name.rstrip("0123456789")
    number = name[len(letters) :]
    return ("" if letters == "F" else letters), int(number or 0), name
