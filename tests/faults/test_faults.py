"""Every fault in its short form."""

import pytest

from tests.faults.fault import Fault, Ground, all_faults
from tests.services import Services
from tests.site import Factory

FAULTS = all_faults()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_must_hold_holds(fault: Fault, make_site: Factory, services: Services) -> None:
    outcome = await fault.outcome(Ground(make_site, services))
    assert outcome.broken == [], outcome.figures
