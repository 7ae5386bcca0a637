"""Acts on many users and messages are those on one, with few queries."""

from contextlib import suppress
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.utils import timezone

from realtime.models import (
    Connection,
    LastAddress,
    Log,
    Membership,
    Message,
    Node,
    Report,
    Room,
    Sanction,
)
from realtime.signals import rights_changed
from realtime.store.accounts.identity import Identity
from realtime.store.messages import history
from realtime.store.moderation import actions, bulk, many
from tests.store.says import say

SIGNALS = {
    "pre_save": pre_save,
    "post_save": post_save,
    "pre_delete": pre_delete,
    "post_delete": post_delete,
}
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


@pytest.mark.parametrize("is_site", [False, True])
def test_sanctions_of_many_by_address_are_those_of_each(
    room: Room, staff: Identity, users: list[str], is_site: bool
) -> None:
    """A user without a known address is sanctioned by name alone."""
    node = Node.objects.create(id="n", hostname="h", pid=1, expires_at="2999-01-01T00:00Z")
    networks = {users[0]: {"8.8.4.4", "9.9.9.9"}, users[1]: set[str](), users[2]: {"8.8.4.4"}}
    for key, found in networks.items():
        for address in found:
            number = Connection.objects.count()
            Connection.objects.create(id=f"n.{number}", node=node, user_key=key, address=address)
    LastAddress.objects.create(user_key=users[2], address="8.8.8.8", left_at=timezone.now())
    networks[users[2]].add("8.8.8.8")
    assert many.addresses_of(users) == networks
    where, columns = (None if is_site else room), (*COLUMNS, "address")
    for user in users:
        addresses = actions.addresses_of(user)
        actions.sanction("ban", where, user, addresses, reason="spam", by=staff)
    expected = list(Sanction.objects.order_by("user_key", "address").values_list(*columns))
    assert len(expected) == 5
    Sanction.objects.all().delete()
    for _ in range(2):
        assert many.sanction_users("ban", where, users, addresses=networks, reason="spam", by=staff)
    found = Sanction.objects.order_by("user_key", "address").values_list(*columns)
    assert list(found) == expected


def test_a_kick_of_many_sends_the_signals_of_each(
    room: Room, staff: Identity, users: list[str]
) -> None:
    """To receivers of the site, which may count members."""
    sent: list[tuple[Any, ...]] = []

    def receive(signal: Any, sender: Any, instance: Any, **more: Any) -> None:
        name = next(name for name, one in SIGNALS.items() if one is signal)
        given = {key: more[key] for key in ("created", "raw", "using") if key in more}
        user = getattr(instance, "user_key", None) or str(instance.user_id)
        sent.append((name, sender.__name__, user, *sorted(given.items())))

    for signal in SIGNALS.values():
        for sender in (Membership, Sanction):
            signal.connect(receive, sender)
    try:
        for user in users:
            actions.kick(room, user, by=staff)
        expected = sorted(sent)
        sent.clear()
        Sanction.objects.all()._raw_delete("default")
        for user in users[:2]:
            Membership.objects.bulk_create([Membership(room=room, user_id=user)])
        many.kick_users(room, users, reason="", by=staff)
    finally:
        for signal in SIGNALS.values():
            for sender in (Membership, Sanction):
                signal.disconnect(receive, sender)
    assert sorted(sent) == expected
    assert len(expected) == 10


def test_a_kick_of_many_changes_the_rights_of_a_room_once(
    room: Room, staff: Identity, users: list[str]
) -> None:
    told: list[Any] = []

    def receive(sender: Any, rooms: Any, user_id: str, **_: Any) -> None:
        told.append(user_id)

    rights_changed.connect(receive)
    try:
        many.kick_users(room, users, reason="", by=staff)
        many.kick_users(room, ["guest:2"], reason="", by=staff)
    finally:
        rights_changed.disconnect(receive)
    assert told == ["", "guest:2"]


def test_a_block_that_fails_changes_no_rights(room: Room) -> None:
    """Nor does it keep later changes."""
    before = history.mark(room.pk).rights_seq
    with suppress(ZeroDivisionError), history.rights_together():
        history.change_rights([room.pk])
        raise ZeroDivisionError
    assert history.mark(room.pk).rights_seq == before
    history.change_rights([room.pk])
    assert history.mark(room.pk).rights_seq == before + 1


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
