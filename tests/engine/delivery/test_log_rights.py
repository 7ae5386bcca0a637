"""Rechecks of rights: of the users concerned, in any order of notes."""

import pytest

from harness.waiting import eventually
from realtime.engine.bus.notes import RightsChanged
from realtime.engine.delivery import log_rights
from realtime.models import Log, Room
from realtime.store.messages import history
from tests.engine.ends import in_thread
from tests.engine.process import Process


async def test_a_user_is_rechecked_even_if_the_change_was_counted_before(
    process: Process, room: Room
) -> None:
    """The pulse may have come before the note."""
    rechecked = await _rechecked(process, room)
    await in_thread(lambda: history.change_rights([room.pk], "7"))
    process.hub.recheck(await process.marks())
    await in_thread(lambda: history.change_rights([room.pk], "8"))
    for seq, user_id in enumerate(["7", "8"], start=1):
        process.hub.publish(f"room.{room.pk}", RightsChanged(user_id, seq))
    await eventually(lambda: "8" in rechecked)
    assert rechecked == ["", "7", "8"]


async def test_two_changes_of_one_user_recheck_no_other(process: Process, room: Room) -> None:
    """A kick removes a membership and bans, both in one transaction."""
    rechecked = await _rechecked(process, room)
    for _ in range(2):
        await in_thread(lambda: history.change_rights([room.pk], "7"))
    for seq in (1, 2):
        process.hub.publish(f"room.{room.pk}", RightsChanged("7", seq))
    await eventually(lambda: len(rechecked) == 2)
    assert rechecked == ["7", "7"]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_a_change_for_all_rechecks_all_in_any_order_of_notes(
    process: Process, room: Room, order: tuple[int, int]
) -> None:
    """The note of one user's change never stands for another's."""
    rechecked = await _rechecked(process, room)
    for user_id in ("", "7"):
        await in_thread(lambda user_id=user_id: history.change_rights([room.pk], user_id))
    for seq in order:
        process.hub.publish(f"room.{room.pk}", RightsChanged({1: "", 2: "7"}[seq], seq))
    await eventually(lambda: "" in rechecked)


async def test_a_second_change_in_a_large_topic_is_not_put_off_for_long(
    process: Process, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then, a member whose right has ended would still get events."""
    monkeypatch.setattr(log_rights, "MEMBER_SECONDS", 10)  # as if there were thousands
    rechecked = await _rechecked(process, room)
    for seq in (1, 2):
        await in_thread(lambda: history.change_rights([room.pk]))
        process.hub.publish(f"room.{room.pk}", RightsChanged("", seq))
        await eventually(lambda: rechecked or process.hub.room(room.pk).is_recheck_due)
    await eventually(lambda: rechecked == ["", ""], timeout=1)


@pytest.mark.parametrize("is_told", [False, True])
async def test_a_restored_database_has_earlier_versions_of_rights(
    process: Process, room: Room, is_told: bool
) -> None:
    """A larger number that is remembered must not hide them, nor the next changes."""
    for _ in range(3):
        await in_thread(lambda: history.change_rights([room.pk]))
    rechecked = await _rechecked(process, room)
    await in_thread(lambda: Log.objects.filter(room=room).update(rights_seq=1))
    if is_told:
        await in_thread(lambda: history.change_rights([room.pk], "7"))
        process.hub.publish(f"room.{room.pk}", RightsChanged("7", 2))
    else:
        process.hub.recheck(await process.marks())
    await eventually(lambda: rechecked == [""])


async def _rechecked(process: Process, room: Room) -> list[str]:
    """The users whose rights a member has to recheck, in order."""
    return (await process.joined(room)).rechecked
