"""The joint result of several notes."""

import pytest

from realtime.engine.bus.joint import Joint


def test_all_are_published_once_each_is() -> None:
    joint = Joint(3)
    joint.settle("", 2)
    assert not joint.result.done()
    joint.settle("")
    assert joint.result.result(0) == ""


def test_the_first_failure_decides_at_once() -> None:
    """The caller need not wait for the rest."""
    joint = Joint(3)
    joint.settle("away")
    assert joint.result.result(0) == "away"
    joint.settle("later")
    joint.settle("")
    assert joint.result.result(0) == "away"


@pytest.mark.parametrize("reason", ["", "away"])
def test_a_part_counts_for_the_whole(reason: str) -> None:
    whole = Joint(3)
    parts = Joint(2, whole), Joint(1, whole)
    parts[0].settle("", 2)
    assert (parts[0].result.done(), whole.result.done()) == (True, False)
    parts[1].settle(reason)
    assert whole.result.result(0) == parts[1].result.result(0) == reason
