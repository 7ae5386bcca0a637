"""Every fault in its short form, and the page that tells of the long ones."""

from pathlib import Path

import pytest

from harness.services import Services
from harness.site import Factory
from tests.faults.fault import Fault, Ground, Outcome, all_faults
from tests.faults.report import PAGE, limits, limits_of, sections, write

ALL = [
    pytest.param(fault, id=name, marks=[pytest.mark.alone] if fault.is_sensitive else [])
    for name, fault in all_faults().items()
]


@pytest.mark.parametrize("fault", ALL)
async def test_what_must_hold_holds(fault: Fault, make_site: Factory, services: Services) -> None:
    ground = Ground(make_site, services)
    outcome = await fault.outcome(ground)
    if outcome.broken and outcome.is_only_late:  # what is counted gets no second try
        outcome = await fault.outcome(ground)
    assert outcome.broken == [], outcome.figures


@pytest.mark.parametrize("name", all_faults())
def test_the_page_has_a_section_of_what_is_done_now(name: str) -> None:
    """Neither missing nor of an earlier promise; and it held."""
    fault, section = all_faults()[name], sections(PAGE.read_text())[name]
    assert section.startswith(f"### {name}\nFault: {fault.title}.\nResult: held.\n")
    assert limits_of(section) == limits(fault)


def test_a_full_run_replaces_its_section_alone(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(PAGE.read_text())
    fault = all_faults()["F17"]
    write([Outcome(fault, {"offline, s": 61, "clients": 1000})], page)
    before, after = sections(PAGE.read_text()), sections(page.read_text())
    assert list(after) == list(before)
    assert {name for name in after if after[name] != before[name]} == {"F17"}
    assert after["F17"].splitlines()[2:] == [
        "Result: **missed**: offline, s: 61, may be 60.",
        "",
        "| figure | at most | counted |",
        "|---|---|---|",
        "| offline, s | 60 | 61 |",
        "| clients | | 1,000 |",
        "",
    ]
