"""What the ASGI application does to the process it runs in."""

import pytest

from harness.site import environment, run

SHOW = """
import gc
gc.set_threshold(*{before})
import project.asgi
print(*gc.get_threshold(), gc.get_freeze_count() > 50_000)
"""
OURS = "20000 2 2 True"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((700, 10, 10), OURS),
        ((2000, 10, 0), OURS),
        ((50_000, 20, 50), "50000 20 50 True"),
        ((0, 10, 10), "0 10 10 True"),
    ],
    ids=["default", "default of later versions", "rarer", "never"],
)
def test_the_collector_looks_rarely_and_not_at_what_stays(
    before: tuple[int, int, int], after: str
) -> None:
    """A site that had it look as rarely, or never, keeps its own thresholds."""
    assert run("-c", SHOW.format(before=before), env=environment("")).strip() == after
