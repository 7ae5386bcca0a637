"""The scenarios: steps that know no language."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["FOLDER", "Scenario", "Step", "groups", "load"]

FOLDER = Path(__file__).parent / "scenarios"
ACTS = ("client", "line", "server", "raw", "cut", "refuse", "clock", "restart")
CHECKS = ("expect", "refute", "told", "state", "settled")
KINDS = frozenset((*ACTS, *CHECKS))
"""What a step may do; each step does one of these."""
Step = dict[str, Any]


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    steps: list[Step]
    needs: list[str] = []
    options: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One behaviour of a client. `needs` names what a driver must be able to do."""

    group: str
    name: str
    steps: list[Step]
    needs: frozenset[str]
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the client, for the command `connect`."""


def groups(folder: Path = FOLDER) -> list[str]:
    """Return the names of all groups."""
    return sorted(file.stem for file in folder.glob("*.json"))


def load(folder: Path = FOLDER) -> list[Scenario]:
    """Return all scenarios; raise `ValueError` for a file that is not valid."""
    return [one for group in groups(folder) for one in _read(group, (folder / f"{group}.json"))]


def _read(group: str, file: Path) -> list[Scenario]:
    try:
        written = msgspec.json.decode(file.read_bytes(), type=list[_Written])
    except msgspec.DecodeError as error:
        raise ValueError(f"{file} is not valid: {error}") from error
    return [_checked(group, one) for one in written]


def _checked(group: str, one: _Written) -> Scenario:
    for number, step in enumerate(one.steps, 1):
        if len(KINDS & step.keys()) != 1:
            expected = ", ".join(sorted(KINDS))
            raise ValueError(f"{group}/{one.name}, step {number}: it must have one of {expected}")
    return Scenario(group, one.name, one.steps, frozenset({group, *one.needs}), one.options)
