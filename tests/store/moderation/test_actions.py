"""Bans, mutes, reports: the rows, whom they hit, and what the admin's log says."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.db import connections
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from realtime import moderation as acts
from realtime.models import Connection, Log, Membership, Message, Node, Report, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.accounts.visitor import Visitor
from realtime.store.messages.drafts import Draft
from realtime.store.moderation import actions, sanctions
from realtime.store.outbox import room_numbering
from realtime.store.rooms import access, management, memberships, sanctioning
from realtime.store.rooms.access import AccessRequest, RoomAccess
from realtime.wire.commands import Ban, Kick
from realtime.wire.errors import CommandError, ErrorCode
from tests.store.conftest import together

GUEST = Identity("guest:1", "Guest")
HERE, ELSEWHERE = "8.8.4.4", "8.8.8.8"


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create(username="ada")


@pytest.fixture
def moderator() -> Identity:
    return Identity.of(get_user_model().objects.create(username="mod"))


def verdict(room: Room, who: Identity, address: str = "") -> RoomAccess | ErrorCode:
    ask = AccessRequest(room.slug, who, address)
    found = access.all_rights([ask])[ask]
    if isinstance(found, CommandError):
        return found.code
    assert isinstance(found, RoomAccess)
    return found


def say(room: Room, content: str = "a") -> int:
    draft = Draft(room_id=room.pk, content=content, sender="guest:1", username="Guest")
    return room_numbering.append([draft])[0].state.id


# Whom it hits.


def test_a_kick_is_not_called_a_ban(room: Room, ada: Any) -> None:
    """It is over in a minute."""
    acts.kick(room, ada, reason="spam")
    with pytest.raises(CommandError, match=r"removed for a moment.*spam") as caught:
        access.enter(room.slug, Identity.of(ada))
    assert 50 < (caught.value.retry_after or 0) <= 60


def test_a_banned_user_may_not_enter(room: Room, ada: Any) -> None:
    """Told why and until when, as the room is known to be there."""
    actions.sanction("ban", room, str(ada.pk), seconds=3600, reason="spam")
    with pytest.raises(CommandError, match=r"banned until .*spam") as caught:
        access.enter(room.slug, Identity.of(ada))
    assert 3590 < (caught.value.retry_after or 0) <= 3600
    assert caught.value.code == ErrorCode.PERMISSION_DENIED


def test_a_ban_in_one_room_is_none_in_another(room: Room, other_room: Room, ada: Any) -> None:
    actions.sanction("ban", room, str(ada.pk))
    assert isinstance(verdict(other_room, Identity.of(ada)), RoomAccess)


def test_a_ban_of_the_site_is_one_in_every_room(room: Room, other_room: Room) -> None:
    actions.sanction("ban", None, GUEST.user_id)
    assert verdict(room, GUEST) == verdict(other_room, GUEST) == ErrorCode.PERMISSION_DENIED


def test_a_private_room_does_not_show_by_its_bans(ada: Any) -> None:
    """Who may not see it hears what everybody hears."""
    private = Room.objects.create(slug="secret", kind="private")
    actions.sanction("ban", private, str(ada.pk))
    assert verdict(private, Identity.of(ada)) == ErrorCode.UNKNOWN_ROOM


def test_what_is_over_is_over(room: Room) -> None:
    actions.sanction("ban", room, GUEST.user_id, seconds=60)
    Sanction.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    assert isinstance(verdict(room, GUEST), RoomAccess)


def test_who_comes_from_a_banned_address_may_not_enter(room: Room) -> None:
    """By whatever name; from elsewhere the name alone counts."""
    actions.sanction("ban", room, "guest:2", [HERE])
    assert verdict(room, GUEST, HERE) == ErrorCode.PERMISSION_DENIED
    assert isinstance(verdict(room, GUEST, ELSEWHERE), RoomAccess)
    assert verdict(room, Identity("guest:2", "G"), ELSEWHERE) == ErrorCode.PERMISSION_DENIED


def test_a_banned_address_does_not_lock_its_moderators_out(room: Room, ada: Any) -> None:
    Membership.objects.create(room=room, user=ada, role="owner")
    actions.sanction("ban", room, "guest:2", [HERE])
    assert isinstance(verdict(room, Identity.of(ada), HERE), RoomAccess)


def test_a_muted_user_may_enter_and_listen(room: Room, ada: Any) -> None:
    [mute] = actions.sanction("mute", room, str(ada.pk), seconds=60, reason="loud")
    found = verdict(room, Identity.of(ada))
    assert isinstance(found, RoomAccess)
    assert (found.may_post, found.may_signal, found.may_read_history) == (False, False, True)
    assert found.until == mute.ends_at
    assert found.rights == []
    assert "loud" in str(found.muted)


def test_what_counts_on_the_site_is_found_for_many_in_one_query(
    django_assert_num_queries: Any,
) -> None:
    """By name and by address; a room's own is no matter of the site."""
    actions.sanction("ban", None, "guest:1")
    actions.sanction("ban", None, "", [HERE])
    actions.sanction("mute", None, "guest:4")
    actions.sanction("ban", Room.objects.create(slug="r"), "guest:3")
    visitors = [
        Visitor(Identity(name, "G"), address)
        for name, address in [("guest:1", ""), ("guest:2", HERE), ("guest:3", ""), ("guest:4", "")]
    ]
    with django_assert_num_queries(1):
        found = sanctions.on_site(visitors)
    assert [visitors.index(one) for one in found] == [0, 1, 3]
    bans = [sanctions.ban_among(found.get(one, ())) is not None for one in visitors]
    assert bans == [True, True, False, False]


def test_a_banned_address_does_not_keep_the_sites_moderators_off(ada: Any) -> None:
    """What is against them by name does."""
    ada.is_staff = ada.is_superuser = True
    actions.sanction("ban", None, "", [HERE])
    visitor = Visitor(Identity.of(ada), HERE)
    assert sanctions.on_site([visitor]) == {}
    actions.sanction("ban", None, str(ada.pk))
    assert [one.user_key for one in sanctions.on_site([visitor])[visitor]] == [str(ada.pk)]


# The rows.


def test_another_ban_takes_the_place_of_the_first(room: Room, moderator: Identity) -> None:
    actions.sanction("ban", room, "guest:1", seconds=60)
    actions.sanction("ban", room, "guest:1", reason="worse", by=moderator)
    ban = Sanction.objects.get()
    assert (ban.ends_at, ban.reason, ban.by) == (None, "worse", moderator.user)


def test_lifting_ends_what_was_for_a_user_and_its_addresses(room: Room) -> None:
    actions.sanction("ban", room, "guest:1", [HERE, ELSEWHERE])
    assert Sanction.objects.count() == 2
    assert actions.lift("ban", room, "guest:1") == 2
    assert isinstance(verdict(room, GUEST, HERE), RoomAccess)


def test_lifting_a_mute_leaves_the_ban(room: Room) -> None:
    actions.sanction("ban", room, "guest:1")
    actions.sanction("mute", room, "guest:1")
    assert actions.lift("mute", room, "guest:1") == 1
    assert Sanction.objects.get().kind == "ban"


def test_each_change_of_rights_is_counted(room: Room, ada: Any) -> None:
    """So that whoever is in the room is asked again."""
    Membership.objects.create(room=room, user=ada)
    room_numbering.append([Draft(room_id=room.pk, content="a", sender="1", username="a")])
    counts = [Log.objects.get(room=room).rights_seq]
    for act in (
        lambda: actions.sanction("mute", room, "guest:1"),
        lambda: actions.lift("mute", room, "guest:1"),
        lambda: actions.remove_member(room, str(ada.pk)),
    ):
        act()
        counts.append(Log.objects.get(room=room).rights_seq)
    assert counts == sorted(set(counts))


def test_a_deletion_locks_the_room_for_few_statements(room: Room, moderator: Identity) -> None:
    """The writers wait meanwhile: for the message, the head, the entry and the reports."""
    moderator.user.is_staff = True
    actions.delete(say(room), moderator)  # which looks up the content type
    message = say(room)
    with CaptureQueriesContext(connections["default"]) as queries:
        actions.delete(message, moderator)
    statements = [one["sql"] for one in queries]
    [lock] = [at for at, sql in enumerate(statements) if "changed_seq FROM realtime_message" in sql]
    tables = ("FROM", '"realtime_message" SET', '"realtime_head" SET', "log", '"realtime_report"')
    after = [sql for sql in statements[lock + 1 :] if not sql.startswith("COMMIT")]
    assert len(after) == len(tables)
    assert all(table in sql for table, sql in zip(tables, after, strict=True))


def test_the_admins_log_says_who_did_what(room: Room, moderator: Identity) -> None:
    """Without the text that was deleted, and nothing of what the site does by itself."""
    actions.sanction("ban", room, "guest:1", seconds=60, reason="spam", by=moderator)
    actions.lift("ban", room, "guest:1", by=moderator)
    actions.delete(say(room, "very secret"), moderator)
    actions.sanction("ban", room, "guest:1")
    entries = list(LogEntry.objects.order_by("pk"))
    assert [(entry.action_flag, entry.user) for entry in entries] == [
        (1, moderator.user),
        (3, moderator.user),
        (3, moderator.user),
    ]
    assert "spam" in entries[0].change_message
    assert not any("secret" in f"{one.object_repr} {one.change_message}" for one in entries)


def test_addresses_of_somebody_are_those_of_open_connections(room: Room) -> None:
    """Of IPv6 the network; not those of proxies, which everybody shares."""
    node = Node.objects.create(id="n", hostname="h", pid=1, expires_at=timezone.now())
    for number, address in enumerate([HERE, "2600:1:2:3:4::5", "10.0.0.1", ""]):
        Connection.objects.create(
            id=f"n.{number}", node=node, user_key="guest:1", username="G", address=address
        )
    assert actions.addresses_of("guest:1") == {HERE, "2600:1:2:3::/64"}


@pytest.mark.parametrize(
    ("address", "counts_as"), [("::ffff:8.8.4.4", HERE), ("2600:1:2:3::5", "2600:1:2:3::/64")]
)
def test_an_address_is_banned_as_it_is_counted(address: str, counts_as: str) -> None:
    """However it is written; IPv4 in IPv6 is not a network of all."""
    [ban] = acts.ban(None, addresses={address})
    assert ban.address == counts_as
    assert acts.unban(None, address=address) == 1


def test_lifting_names_somebody(room: Room) -> None:
    """Nobody at all would be everybody."""
    actions.sanction("ban", room, "guest:1")
    with pytest.raises(ValueError, match="a user or an address"):
        acts.unban(room)
    assert Sanction.objects.exists()


def test_a_kick_shortens_no_ban_of_the_same_moment(room: Room) -> None:
    """Two moderators who see the same spam."""
    for number in range(10):
        start, whom = Barrier(2), f"guest:{number}"

        def judge(act: Any, start: Barrier = start, whom: str = whom) -> None:
            Room.objects.exists()  # to be connected
            start.wait(10)
            act(room, whom)

        together([partial(judge, acts.ban), partial(judge, acts.kick)])
    assert set(Sanction.objects.values_list("ends_at", flat=True)) == {None}


def test_a_kick_shortens_no_ban(room: Room) -> None:
    actions.sanction("ban", room, "guest:1", reason="for good")
    acts.kick(room, "guest:1")
    assert Sanction.objects.get().reason == "for good"
    Sanction.objects.update(ends_at=timezone.now())
    acts.kick(room, "guest:1")
    assert isinstance(verdict(room, GUEST), ErrorCode)


@pytest.mark.parametrize("seconds", [None, 60, 3600])
def test_the_same_again_writes_nothing(
    room: Room, ada: Any, moderator: Identity, seconds: float | None
) -> None:
    """Neither rows, nor the admin's log, nor a change of rights that others have to ask about."""
    Membership.objects.create(room=room, user=moderator.user, role="owner")
    Membership.objects.create(room=room, user=ada, role="moderator")
    say(room)
    given: dict[str, Any] = {"seconds": seconds, "reason": "spam", "by": moderator}

    def act() -> None:
        acts.ban(room, "guest:1", **given)
        acts.mute(room, "guest:1", addresses={HERE}, **given)
        acts.ban(room, "guest:2", by=moderator)
        acts.kick(room, "guest:2", by=moderator)
        acts.unban(room, "guest:9", by=moderator)
        memberships.appoint(room, ada, "moderator", moderator)
        management.configure(room, moderator, title="T", slow_seconds=3, is_read_only=True)

    act()
    written = [LogEntry.objects.count(), Log.objects.get(room=room).rights_seq]
    for _ in range(3):
        act()
    assert [LogEntry.objects.count(), Log.objects.get(room=room).rights_seq] == written
    ends = list(Sanction.objects.filter(user_key="guest:1").values_list("reason", flat=True))
    assert ends == ["spam", "spam"]


def test_another_end_or_reason_is_not_the_same(room: Room, moderator: Identity) -> None:
    for seconds, reason in [(60, ""), (120, ""), (120, "spam"), (None, "spam"), (60, "spam")]:
        acts.ban(room, "guest:1", seconds=seconds, reason=reason, by=moderator)
        ban = Sanction.objects.get()
        left = ban.ends_at and (ban.ends_at - timezone.now()).total_seconds()
        assert (left and round(left / 60) * 60, ban.reason) == (seconds, reason)
    assert LogEntry.objects.count() == 5


@pytest.mark.parametrize("act", [acts.ban, acts.mute, acts.kick])
def test_only_who_exists_is_judged(room: Room, ada: Any, act: Any) -> None:
    """In one spelling, however the key is written; a guest's id has to be one."""
    for nobody in (
        "987654",
        987654,
        "x",
        "",
        "guest:",
        "guest:a b",
        "guest:" + "a" * 140,
        "site:x",
    ):
        with pytest.raises(CommandError) as caught:
            act(room, nobody)
        assert caught.value.code == ErrorCode.UNKNOWN_USER
    for spelling in (ada.pk, f"0{ada.pk}", f" {ada.pk}", f"{ada.pk} ", f"+{ada.pk}", ada):
        act(room, spelling)
    assert Sanction.objects.get().user_key == str(ada.pk)


def test_the_store_sanctions_only_who_exists(room: Room, ada: Any) -> None:
    """Whoever calls it; a deleted user loses the place, and gets no ban."""
    key = str(ada.pk)
    ada.delete()
    for act in (
        lambda: actions.sanction("ban", room, key),
        lambda: actions.sanction("mute", None, "None"),
        lambda: actions.kick(room, key),
    ):
        with pytest.raises(CommandError, match="unknown_user"):
            act()
    assert not Sanction.objects.exists()


@pytest.fixture
def hidden(ada: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user whom the default manager hides, as it does with an inactive one."""
    manager = UserManager.from_queryset(QuerySet)()
    manager.model = type(ada)
    monkeypatch.setattr(manager, "get_queryset", lambda: type(ada)._base_manager.none())
    monkeypatch.setitem(vars(type(ada)._meta), "default_manager", manager)
    return ada


def test_a_hidden_user_can_be_banned(room: Room, hidden: Any) -> None:
    """Whoever has the object knows that the user exists."""
    [ban] = acts.ban(room, hidden)
    assert (ban.user_key, ban.username) == (str(hidden.pk), "ada")


@pytest.mark.parametrize("command", [Ban, Kick])
def test_a_hidden_user_keeps_the_rank(
    room: Room, hidden: Any, moderator: Identity, command: type[Ban | Kick]
) -> None:
    """An owner who has been deactivated is not for a moderator to ban."""
    room_numbering.append([Draft.by(Identity.of(hidden), room.pk, "hi")])
    Membership.objects.create(room=room, user=hidden, role="owner")
    Membership.objects.create(room=room, user_id=moderator.user.pk, role="moderator")
    found = verdict(room, moderator)
    assert isinstance(found, RoomAccess)
    wanted = command(room=room.slug, user_id=str(hidden.pk))
    with pytest.raises(CommandError, match="permission_denied"):
        sanctioning.apply(wanted, found, moderator, is_here=False)
    assert Membership.objects.filter(user=hidden).exists()


def test_what_is_against_a_deleted_user_can_be_lifted(room: Room, ada: Any) -> None:
    key = str(ada.pk)
    acts.ban(room, ada)
    ada.delete()
    assert acts.unban(room, f"0{key}") == 1


@pytest.mark.parametrize("is_staff", [False, True])
def test_the_entries_of_one_user_in_the_admins_log_are_bounded(
    settings: Settings, room: Room, moderator: Identity, is_staff: bool
) -> None:
    """Unless they are staff, whose acts are the site's; entries of other apps stay."""
    settings.REALTIME = {"AUDIT_ENTRIES": 3}
    moderator.user.is_staff = is_staff
    LogEntry.objects.create(user=moderator.user, object_repr="other", action_flag=1)
    for number in range(6):
        acts.ban(room, f"guest:{number}", by=moderator)
    ours = LogEntry.objects.exclude(object_repr="other").order_by("pk")
    told = [entry.object_repr for entry in ours]
    assert told == [f"ban: guest:{number}" for number in range(0 if is_staff else 3, 6)]
    assert LogEntry.objects.filter(object_repr="other").exists()


def test_sanctions_that_ended_long_ago_are_removed(room: Room) -> None:
    """Without asking anybody in the room for rights again."""
    say(room)
    for number, ago in enumerate([None, -1, 29, 31, 300]):
        [one] = actions.sanction("ban", room, f"guest:{number}", seconds=60)
        ends_at = None if ago is None else timezone.now() - timedelta(days=ago)
        Sanction.objects.filter(pk=one.pk).update(ends_at=ends_at)
    before = Log.objects.get(room=room).rights_seq
    assert actions.delete_ended(30, most=1) == 1
    assert actions.delete_ended(30) == 1
    assert actions.delete_ended(30) == 0
    kept = Sanction.objects.order_by("pk").values_list("user_key", flat=True)
    assert list(kept) == ["guest:0", "guest:1", "guest:2"]
    assert Log.objects.get(room=room).rights_seq == before


# Rank.


@pytest.mark.parametrize(
    ("role", "may_manage", "is_possible"),
    [
        ("member", False, True),
        ("moderator", False, False),
        ("moderator", True, True),
        ("owner", True, False),
        (None, False, True),
    ],
)
def test_nobody_judges_those_of_their_own_rank(
    room: Room, ada: Any, role: str | None, may_manage: bool, is_possible: bool
) -> None:
    if role:
        Membership.objects.create(room=room, user=ada, role=role)
    with nullcontext() if is_possible else pytest.raises(CommandError):
        actions.check_rank(room, may_manage, str(ada.pk))


@pytest.mark.parametrize("user_id", ["guest:1", "nobody", "-1", "9" * 40, "1\u0660"])
def test_a_strange_id_is_of_no_rank_and_no_user(room: Room, user_id: str) -> None:
    actions.check_rank(room, False, user_id)
    actions.remove_member(room, user_id)
    with pytest.raises(CommandError) as caught:
        actions.find_user(user_id)
    assert caught.value.code == ErrorCode.UNKNOWN_USER


def test_the_log_tells_the_end_as_others_hear_it(
    settings: Settings, room: Room, moderator: Identity
) -> None:
    """In UTC, also where Django keeps local times."""
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    [ban] = actions.sanction("ban", room, "guest:1", seconds=3600, by=moderator)
    end = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%d %H:}"
    assert f"until {end}" in LogEntry.objects.get().change_message
    assert f"until {end}" in sanctions.describe(ban)


# Reports.


def test_a_second_complaint_of_the_same_user_changes_the_first(room: Room) -> None:
    message = say(room)
    for reason in ("rude", "very rude"):
        actions.report(message, room.pk, GUEST, reason)
    assert [one.reason for one in Report.objects.all()] == ["very rude"]


def test_a_dismissed_complaint_stays_so_until_the_message_is_edited(
    room: Room, moderator: Identity
) -> None:
    """For that reporter, whatever the reason; another reporter may still complain."""
    message = say(room)
    actions.report(message, room.pk, GUEST, "rude")
    [report] = Report.objects.all()
    assert actions.dismiss([report], moderator) == 1
    assert actions.dismiss([report], moderator) == 0
    assert LogEntry.objects.get().change_message == "dismissed"
    actions.report(message, room.pk, GUEST, "still rude")
    report.refresh_from_db()
    assert (report.reason, report.resolved_at is None) == ("rude", False)
    actions.report(message, room.pk, Identity("guest:2", "G"), "rude")
    assert Report.objects.filter(resolved_at=None).count() == 1
    Message.objects.update(edited_at=timezone.now())
    actions.report(message, room.pk, GUEST, "rude again")
    report.refresh_from_db()
    assert (report.reason, report.resolved_at, report.resolved_by) == ("rude again", None, None)


def test_the_reports_of_a_message_are_dismissed_together(room: Room, moderator: Identity) -> None:
    message, other = say(room), say(room)
    for number in range(3):
        actions.report(message, room.pk, Identity(f"guest:{number}", "G"), "rude")
    actions.report(other, room.pk, GUEST, "rude")
    assert actions.dismiss(Report.objects.filter(message=message)[:1], moderator) == 3
    assert LogEntry.objects.get().change_message == "dismissed, with 2 more of this message"
    assert Report.objects.get(resolved_at=None).message_id == other


def test_a_deleted_message_is_not_reported(room: Room) -> None:
    message = say(room)
    actions.delete(message)
    with pytest.raises(CommandError, match="unknown_message"):
        actions.report(message, room.pk, GUEST, "rude")


def test_open_reports_are_bounded(
    settings: Settings, room: Room, moderator: Identity, ada: Any
) -> None:
    """By reporter; for guests also by address, as a new name costs them nothing."""
    settings.REALTIME = {"OPEN_REPORTS": 2}
    messages = [say(room) for _ in range(6)]

    def reported(who: Identity, address: str = HERE) -> int:
        for number, message in enumerate(messages):
            try:
                actions.report(message, room.pk, who, "rude", address=address)
            except CommandError:
                return number
        return len(messages)

    guests = [Identity(f"guest:{number}", "G") for number in range(3)]
    assert [reported(guest) for guest in guests] == [2, 2, 0]
    assert reported(guests[2], ELSEWHERE) == 2
    assert reported(Identity.of(ada)) == reported(moderator) == 2
    with pytest.raises(CommandError, match="limit_exceeded: Too many of your reports are open"):
        actions.report(messages[5], room.pk, guests[0], "rude", address=ELSEWHERE)
    actions.resolve(messages[:1])
    actions.report(messages[5], room.pk, guests[0], "rude", address=HERE)


def test_a_message_of_another_room_cannot_be_reported(room: Room, other_room: Room) -> None:
    """Nor be found out about."""
    with pytest.raises(CommandError) as caught:
        actions.report(say(room), other_room.pk, GUEST, "")
    assert caught.value.code == ErrorCode.UNKNOWN_MESSAGE


def test_deleting_a_message_closes_its_reports(room: Room, moderator: Identity) -> None:
    message = say(room)
    actions.report(message, room.pk, GUEST, "rude")
    actions.delete(message, moderator)
    report = Report.objects.get()
    assert (report.resolved_by, report.resolved_at is None) == (moderator.user, False)
    assert Message.objects.get().content == ""
