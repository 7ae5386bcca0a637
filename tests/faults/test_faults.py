"""Every fault in its short form, and the page that tells of the long ones."""

import pytest

from harness.services import Services
from harness.site import Factory
from tests.faults.fault import Fault, Ground, all_faults
from tests.faults.report import PAGE, promise

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
def test_the_page_has_a_row_of_what_is_done_now(name: str) -> None:
    """Neither missing nor of an earlier promise; and it held."""
    begins = promise(all_faults()[name])
    [line] = [one for one in PAGE.read_text().splitlines() if one.startswith(begins)]
    assert line.endswith("| held |")
