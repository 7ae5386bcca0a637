"""Every fault in its short form."""

import pytest

from tests.faults.fault import Fault, Ground, all_faults
from tests.services import Services
from tests.site import Factory

FAULTS = all_faults()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_must_hold_holds(fault: Fault, make_site: Factory, services: Services) -> None:
    ground = Ground(make_site, services)
    outcome = await fault.outcome(ground)
    if outcome.broken and outcome.is_only_late:  # what is counted gets no second try
        outcome = await fault.outcome(ground)
    assert outcome.broken == [], outcome.figures
