"""The cases fit together: all that one names is there."""

from collections.abc import Iterator

import pytest

from benchmarks.cases import CASES, Case
from benchmarks.contenders import CONTENDERS
from benchmarks.load.dialects import DIALECTS
from benchmarks.load.scenarios import SCENARIOS
from benchmarks.report import UNITS


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


class Asked(dict[str, dict[str, float]]):
    """Figures that remember whose were asked for, also of those who are not there."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__({label: dict.fromkeys(UNITS, 1.0) for label in labels})
        self.labels: set[str] = set()

    def __contains__(self, label: object) -> bool:
        self.labels.add(str(label))
        return super().__contains__(label)

    def __getitem__(self, label: str) -> dict[str, float]:
        self.labels.add(label)
        return super().__getitem__(label)

    def values(self) -> Iterator[dict[str, float]]:  # type: ignore[override]
        return (self[label] for label in self)


def labels(case: Case) -> list[str]:
    return [entry.label for entry in case.entries]


def test_each_case_stands_under_its_name() -> None:
    """The command line finds what the report calls it."""
    assert [case.name for case in CASES.values()] == list(CASES)


def test_every_scenario_and_contender_and_dialect_exists(case: Case) -> None:
    """Nobody finds out after an hour."""
    assert case.scenario in SCENARIOS
    assert {entry.contender for entry in case.entries} <= set(CONTENDERS)
    assert {entry.dialect for entry in case.entries} <= set(DIALECTS)


def test_labels_are_unique(case: Case) -> None:
    """Figures are kept by label."""
    assert all(labels(case))
    assert len(set(labels(case))) == len(case.entries)


def test_every_target_can_be_computed(case: Case) -> None:
    """From the figures of entries that exist; figures have a unit, or they are misspelled."""
    for target in case.targets:
        asked = Asked(labels(case))
        assert target.measured(asked) in (0, 1)
        assert asked.labels
        assert asked.labels <= set(labels(case))


def test_targets_are_told_apart_by_their_text(case: Case) -> None:
    """The report looks them up by it."""
    texts = [target.text for target in case.targets]
    assert len(set(texts)) == len(texts)


def test_every_target_can_be_met_and_missed(case: Case) -> None:
    """The right way around: at most, or at least."""
    for target in case.targets:
        assert target.is_met(target.needed)
        assert target.is_met(0) is target.is_at_most
        assert target.is_met(float("inf")) is not target.is_at_most


def test_whoever_is_paced_by_another_comes_after_it(case: Case) -> None:
    """Its rate of the same round must be known."""
    seen: list[str] = [""]
    for entry in case.entries:
        assert entry.paced_by in seen
        seen.append(entry.label)


def test_every_column_has_a_unit(case: Case) -> None:
    """The table and the charts name it."""
    assert case.columns
    assert set(case.columns) <= set(UNITS)


def test_a_chart_shows_a_column(case: Case) -> None:
    """What it shows can be read in the table, too; on an axis each entry has its place."""
    assert case.chart in ("", *case.columns)
    assert bool(case.axis) is any(entry.x is not None for entry in case.entries)
    assert case.chart or not case.axis
