"""The end of a log, and changes since a position."""

import pytest

from realtime.store.logs import Changes, LogMark, RightsVersion
from realtime.wire.entries import EntryState

MARK = LogMark(3, 0, 0, "e1")
STATES = [EntryState(name="paid", seq=seq, at="2026-01-01T00:00:00.000Z") for seq in (1, 2, 3)]


@pytest.mark.parametrize(("rights_seq", "version"), [(0, ("", 0)), (2, ("e1", 2))])
def test_a_log_without_a_change_of_rights_has_the_version_of_no_log(
    rights_seq: int, version: RightsVersion
) -> None:
    """So the first entry of a topic is no change of rights."""
    assert LogMark(3, 0, rights_seq, "e1").rights == version


def test_changes_that_are_cut_end_earlier() -> None:
    """The rest is still to be read."""
    changes = Changes(STATES, 5, MARK, has_more=False)
    cut = changes.cut(STATES[:2])
    assert (cut.states, cut.through, cut.has_more) == (STATES[:2], 2, True)
    assert changes.cut(STATES) is changes
