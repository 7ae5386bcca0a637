"""Acts on many users and messages are those on one, with few queries."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model

from realtime.models import Log, Membership, Message, Report, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.messages import history
from realtime.store.moderation import actions, bulk, many
from tests.store.says import say

COLUMNS = ("kind", "room", "user_key", "username", "reason", "by", "rank", "ends_at")


@pytest.fixture
def staff() -> Identity:
    user = get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True)
    return Identity.of(user)


@pytest.fixture
def users(room: Room) -> list[str]:
    made = [get_user_model().objects.create(username=name) for name in ("ada", "bob")]
    for user in made:
        Membership.objects.create(room=room, user=user)
    return [*(str(user.pk) for user in made), "guest:1"]


@pytest.mark.parametrize("kind", ["ban", "mute"])
@pytest.mark.parametrize("is_site", [False, True])
def test_sanctions_of_many_are_those_of_each(
    room: Room, staff: Identity, users: list[str], kind: str, is_site: bool
) -> None:
    """A second time nothing is written; a later end replaces the first."""
    where = None if is_site else room
    for user in users:
        actions.sanction(kind, where, user, reason="spam", by=staff)
    expected = list(Sanction.objects.order_by("user_key").values_list(*COLUMNS))
    Sanction.objects.all().delete()
    LogEntry.objects.all().delete()
    before = history.mark(room.pk).rights_seq
    for _ in range(2):
        assert many.sanction_users(kind, where, [*users, "987654"], reason="spam", by=staff) == 3
    assert list(Sanction.objects.order_by("user_key").values_list(*COLUMNS)) == expected
    assert LogEntry.objects.count() == 3
    assert history.mark(room.pk).rights_seq - before == (0 if is_site else 1)
    many.sanction_users(kind, where, users, seconds=60, reason="spam", by=staff)
    assert Sanction.objects.exclude(ends_at=None).count() == 3
    assert LogEntry.objects.count() == 6


def test_kicks_of_many_leave_longer_bans(room: Room, staff: Identity, users: list[str]) -> None:
    actions.sanction("ban", room, users[0], reason="for good")
    assert many.kick_users(room, users, reason="calm down", by=staff) == 3
    assert not Membership.objects.exists()
    reasons = Sanction.objects.order_by("pk").values_list("reason", flat=True)
    assert list(reasons) == ["for good", "calm down", "calm down"]


def test_texts_of_many_are_deleted_in_their_logs(room: Room, staff: Identity) -> None:
    """Each change has a position of its own, in each room."""
    other = Room.objects.create(slug="other")
    rows: list[Any] = [*say(room, "a", "b", "kept"), *say(other, "c")]
    Report.objects.create(message=rows[0], reporter="guest:1", username="G")
    chosen = [one.pk for one in rows if one.content != "kept"]
    assert bulk.delete_texts(chosen, staff) == 3
    assert bulk.delete_texts([*chosen, 0], staff) == 0
    found = Message.objects.order_by("pk").values_list("content", "seq", "changed_seq")
    assert list(found) == [("", 1, 4), ("", 2, 5), ("kept", 3, 3), ("", 1, 2)]
    assert set(Log.objects.values_list("room__slug", "last_seq")) == {("general", 5), ("other", 2)}
    assert not Report.objects.filter(resolved_at=None).exists()
    assert LogEntry.objects.count() == 3
