"""What was complained about, as administrators deal with it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from realtime.models import Message, Report, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.moderation import actions
from tests.admin.conftest import act, entries, listed, offered, say, until

REPORTS = reverse("admin:realtime_report_changelist")
GUEST = "guest:1"


@pytest.fixture
def reported(room: Room) -> Report:
    message = say(room, "rude", username="Eve", sender=GUEST)
    actions.report(message.pk, room.pk, Identity("guest:2", "Bob"), "it hurts")
    return Report.objects.get()


def test_open_reports_come_first(admin_client: Client, reported: Report) -> None:
    """Alone, unless asked otherwise."""
    closed = Report.objects.create(message=reported.message, reporter="guest:3", username="C")
    Report.objects.filter(pk=closed.pk).update(resolved_at=timezone.now())
    assert listed(admin_client, REPORTS) == [reported]
    assert listed(admin_client, REPORTS, state="closed") == [closed]
    assert listed(admin_client, REPORTS, state="all") == [reported, closed]
    assert listed(admin_client, REPORTS, room=reported.message.room_id) == [reported]
    assert listed(admin_client, REPORTS, room=10**6) == []
    html = admin_client.get(REPORTS).content.decode()
    assert all(text in html for text in ("rude", "General", "Eve", "Bob", "it hurts", "0\xa0min"))


def test_dismissing_asks_first(admin_client: Client, reported: Report) -> None:
    """A dismissed report cannot be opened again."""
    page = act(admin_client, REPORTS, "dismiss", reported.pk).content.decode()
    assert "rude" in page
    assert "closed for good" in page
    reported.refresh_from_db()
    assert reported.resolved_at is None
    assert entries() == []


def test_open_reports_of_a_message_are_one_row(admin_client: Client, reported: Report) -> None:
    """Which says how many there are, and why; what is done closes all of them."""
    room_id = reported.message.room_id
    for number in range(3, 7):
        who = Identity(f"guest:{number}", "C")
        actions.report(reported.message_id, room_id, who, f"reason {number}")
    assert listed(admin_client, REPORTS) == [reported]
    assert '<td class="field-number">5</td>' in admin_client.get(REPORTS).content.decode()
    page = admin_client.get(reverse("admin:realtime_report_change", args=[reported.pk]))
    assert all(f"C: reason {number}" in page.content.decode() for number in range(3, 7))
    act(admin_client, REPORTS, "dismiss", reported.pk, is_sure="True")
    assert not Report.objects.filter(resolved_at=None).exists()
    assert len(entries()) == 1


@pytest.mark.parametrize(
    ("action", "data", "flag"),
    [
        ("delete_message", {"is_sure": "True"}, DELETION),
        ("ban_sender", {"reason": "bad"}, ADDITION),
        ("mute_sender", {"reason": "bad"}, ADDITION),
        ("dismiss", {"is_sure": "True"}, CHANGE),
    ],
)
def test_what_is_done_about_a_report_closes_it(
    admin_client: Client,
    admin_user: User,
    reported: Report,
    action: str,
    data: dict[str, str],
    flag: int,
) -> None:
    """With one entry in the log."""
    act(admin_client, REPORTS, action, reported.pk, **data)
    reported.refresh_from_db()
    assert reported.resolved_by == admin_user
    assert listed(admin_client, REPORTS) == []
    assert entries() == [(flag, "admin")]
    assert (Message.objects.get().content == "") == (action == "delete_message")


@pytest.mark.parametrize("kind", ["ban", "mute"])
def test_the_sender_is_judged_in_the_room(
    admin_client: Client, reported: Report, kind: str
) -> None:
    """A page asks how; two complaints about one sender are one act."""
    actions.report(reported.message_id, reported.message.room_id, Identity("guest:3", "C"), "")
    chosen = [one.pk for one in Report.objects.all()]
    page = act(admin_client, REPORTS, f"{kind}_sender", *chosen)
    assert "Eve (guest) · General" in page.content.decode()
    assert not Sanction.objects.exists()
    end = timezone.now() + timedelta(hours=1)
    act(admin_client, REPORTS, f"{kind}_sender", *chosen, reason="bad", **until(end))
    made = Sanction.objects.get()
    assert (made.kind, made.user_key, made.room) == (kind, GUEST, reported.message.room)
    assert made.ends_at is not None
    assert len(entries()) == 1


def test_an_end_that_is_over_asks_again(admin_client: Client, reported: Report) -> None:
    over = until(timezone.now() - timedelta(hours=1))
    page = act(admin_client, REPORTS, "ban_sender", reported.pk, reason="", **over)
    assert "This moment is over." in page.content.decode()
    assert not Sanction.objects.exists()


def test_the_site_itself_is_not_judged(admin_client: Client, room: Room) -> None:
    message = say(room, "news", sender="site:CI")
    actions.report(message.pk, room.pk, Identity("guest:2", "Bob"), "")
    done = act(admin_client, REPORTS, "ban_sender", Report.objects.get().pk, reason="")
    assert "by the site itself" in done.content.decode()
    assert not Sanction.objects.exists()
    assert Report.objects.get().resolved_at is None


def test_a_complaint_about_what_is_deleted_is_closed(
    admin_client: Client, reported: Report
) -> None:
    """Somebody else was faster."""
    actions.delete(reported.message_id)
    Report.objects.update(resolved_at=None)
    act(admin_client, REPORTS, "delete_message", reported.pk, is_sure="True")
    assert listed(admin_client, REPORTS) == []
    assert entries() == []


@pytest.mark.parametrize(
    ("permission", "actions"),
    [
        ("view_report", set()),
        ("delete_message", {"delete_message"}),
        ("add_sanction", {"ban_sender", "mute_sender"}),
        ("change_report", {"dismiss"}),
    ],
)
def test_each_act_needs_its_permission(
    staff: Callable[..., Client], reported: Report, permission: str, actions: set[str]
) -> None:
    client = staff("view_report", permission)
    assert offered(client, REPORTS) == actions
    for action in {"delete_message", "ban_sender", "mute_sender", "dismiss"} - actions:
        act(client, REPORTS, action, reported.pk, reason="", is_sure="True")
    reported.refresh_from_db()
    assert reported.resolved_at is None
    assert (Message.objects.get().content, Sanction.objects.exists()) == ("rude", False)
    assert entries() == []


def test_a_report_is_only_looked_at(admin_client: Client, reported: Report) -> None:
    url = reverse("admin:realtime_report_change", args=[reported.pk])
    assert "_save" not in admin_client.get(url).content.decode()
    assert admin_client.post(url, {"reason": "x"}).status_code == 403
    assert admin_client.get(reverse("admin:realtime_report_add")).status_code == 403


@pytest.mark.parametrize(
    ("permissions", "is_shown"),
    [((), False), (("view_message",), False), (("view_message", "moderate_room"), True)],
)
def test_a_report_shows_the_conversation_to_those_who_may_read_the_room(
    staff: Callable[..., Client], reported: Report, permissions: tuple[str, ...], is_shown: bool
) -> None:
    room = reported.message.room
    Room.objects.filter(pk=room.pk).update(kind="private")
    say(room, "a remark of another")
    url = reverse("admin:realtime_report_change", args=[reported.pk])
    html = staff("view_report", *permissions).get(url).content.decode()
    assert "rude" in html
    assert ("a remark of another" in html) is is_shown


def test_dismissing_more_reports_costs_no_more_queries(
    admin_client: Client, reported: Report
) -> None:
    room, numbers = reported.message.room, []
    for more in (3, 12):
        for number in range(more):
            message = say(room, f"text {more} {number}")
            actions.report(message.pk, room.pk, Identity("guest:9", "C"), "spam")
        given = {"action": "dismiss", "_selected_action": ["0"], "select_across": "1"}
        with CaptureQueriesContext(connection) as queries:
            admin_client.post(REPORTS, {**given, "is_sure": "True"})
        numbers.append(len(queries))
        assert not Report.objects.filter(resolved_at=None).exists()
    assert numbers[0] == numbers[1]
