"""Bans and mutes, as administrators deal with them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from realtime.models import Report, Room, Sanction
from realtime.store.accounts.identity import Identity
from realtime.store.messages import history
from realtime.store.moderation import actions
from tests.admin.conftest import act, entries, listed, offered, say, until

SANCTIONS = reverse("admin:realtime_sanction_changelist")
ADD = reverse("admin:realtime_sanction_add")
REPORTS = reverse("admin:realtime_report_changelist")
GUEST = "guest:1"
XSS = "<script>alert(1)</script>"


def change(one: Sanction) -> str:
    return reverse("admin:realtime_sanction_change", args=[one.pk])


def delete(one: Sanction) -> str:
    return reverse("admin:realtime_sanction_delete", args=[one.pk])


def add(client: Client, **data: Any) -> Any:
    return client.post(ADD, {"kind": "ban", **data})


def errors(response: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


@pytest.fixture
def ban(room: Room) -> Sanction:
    [made] = actions.sanction("ban", room, GUEST, reason="spam")
    return made


# Making them.


def test_a_user_is_banned(admin_client: Client, admin_user: User, room: Room) -> None:
    """With all that the form says, and one entry in the log."""
    ada = User.objects.create(username="ada")
    before = history.mark(room.pk).rights_seq
    end = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
    response = add(admin_client, user_key=ada.pk, room=room.pk, reason="spam", **until(end))
    assert response.status_code == 302
    made = Sanction.objects.get()
    assert (made.kind, made.room, made.user_key, made.username) == (
        "ban",
        room,
        str(ada.pk),
        "ada",
    )
    assert (made.reason, made.by, made.address) == ("spam", admin_user, "")
    assert made.ends_at is not None
    assert abs(made.ends_at - end) < timedelta(seconds=1)
    assert history.mark(room.pk).rights_seq > before
    assert entries() == [(ADDITION, "admin")]


def test_a_guest_is_muted_on_the_site_for_good(admin_client: Client, db: None) -> None:
    add(admin_client, kind="mute", user_key=GUEST)
    made = Sanction.objects.get()
    assert (made.kind, made.room, made.user_key, made.ends_at) == ("mute", None, GUEST, None)


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [("8.8.4.4", "8.8.4.4"), ("2600:1:2:3:4::5", "2600:1:2:3::/64"), ("::ffff:8.8.4.4", "8.8.4.4")],
)
def test_an_address_is_banned_as_it_is_counted(
    admin_client: Client, db: None, address: str, counts_as: str
) -> None:
    add(admin_client, address=address)
    made = Sanction.objects.get()
    assert (made.address, made.user_key) == (counts_as, "")


def test_behind_proxies_of_ones_own_a_private_address_is_one(
    admin_client: Client, db: None, settings: Settings
) -> None:
    settings.REALTIME = {"TRUSTED_PROXIES": 1}
    add(admin_client, address="10.0.0.7", user_key=GUEST)
    made = Sanction.objects.get()
    assert (made.address, made.user_key) == ("10.0.0.7", GUEST)


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        ({}, "__all__", "Name a user or an address."),
        ({"user_key": "404"}, "user_key", "There is no such user."),
        ({"user_key": "9" * 40}, "user_key", "There is no such user."),
        ({"user_key": "nobody"}, "user_key", "There is no such user."),
        ({"address": "10.0.0.1"}, "address", "proxy"),
        ({"address": "fd00::1"}, "address", "proxy"),
        ({"address": "somewhere"}, "address", "no IPv4 or IPv6 address"),
        ({"address": "8.8.8.0/24"}, "address", "no IPv4 or IPv6 address"),
        ({"user_key": GUEST, "room": "404"}, "room", "Select a valid choice"),
        ({"user_key": GUEST, "kind": "praise"}, "kind", "Select a valid choice"),
        (
            {"user_key": GUEST, "ends_at_0": "2020-01-01", "ends_at_1": "00:00"},
            "ends_at",
            "This moment is over.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    admin_client: Client, db: None, data: dict[str, str], field: str, text: str
) -> None:
    """In one sentence, at the field that it is about."""
    found = errors(add(admin_client, **data))
    assert list(found) == [field]
    assert len(found[field]) == 1
    assert text in found[field][0]
    assert not Sanction.objects.exists()


def test_one_that_is_there_is_replaced(admin_client: Client, ban: Sanction) -> None:
    add(admin_client, user_key=GUEST, room=ban.room_id, reason="worse")
    made = Sanction.objects.get()
    assert (made.pk, made.reason) == (ban.pk, "worse")
    assert len(entries()) == 1


# Changing and lifting them.


def test_only_reason_and_end_change(admin_client: Client, ban: Sanction) -> None:
    before = history.mark(ban.room_id).rights_seq
    end = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
    data = {"reason": "worse", "kind": "mute", "user_key": "guest:2", "room": "", **until(end)}
    admin_client.post(change(ban), data)
    ban.refresh_from_db()
    assert (ban.kind, ban.user_key, ban.reason, ban.ends_at) == ("ban", GUEST, "worse", end)
    assert ban.room is not None
    assert history.mark(ban.room_id).rights_seq > before
    assert entries() == [(CHANGE, "admin")]


def test_the_reason_of_what_is_over_can_be_changed(admin_client: Client, ban: Sanction) -> None:
    ended = timezone.now().replace(microsecond=0) - timedelta(days=1)
    Sanction.objects.update(ends_at=ended)
    admin_client.post(change(ban), {"reason": "a mistake", **until(ended)})
    ban.refresh_from_db()
    assert ban.reason == "a mistake"
    response = admin_client.post(change(ban), {**until(ended - timedelta(days=1))})
    assert "ends_at" in errors(response)


@pytest.mark.parametrize("is_action", [False, True])
def test_deleting_lifts(admin_client: Client, ban: Sanction, is_action: bool) -> None:
    """One entry each; what else is against them stays."""
    actions.sanction("mute", ban.room, GUEST)
    before = history.mark(ban.room_id).rights_seq
    if is_action:
        act(admin_client, SANCTIONS, "delete_selected", ban.pk, post="yes")
    else:
        admin_client.post(delete(ban), {"post": "yes"})
    assert Sanction.objects.get().kind == "mute"
    assert history.mark(ban.room_id).rights_seq > before
    assert entries() == [(DELETION, "admin")]


# Looking at them.


def test_the_list_is_filtered(admin_client: Client, ban: Sanction) -> None:
    [mute] = actions.sanction("mute", None, "", ["8.8.4.4"])
    Sanction.objects.filter(pk=mute.pk).update(ends_at=timezone.now())
    for query, found in [
        ({}, [mute, ban]),
        ({"kind__exact": "ban"}, [ban]),
        ({"state": "now"}, [ban]),
        ({"state": "over"}, [mute]),
        ({"room": 0}, [mute]),
        ({"room": ban.room_id}, [ban]),
        ({"q": "8.8.4.4"}, [mute]),
        ({"q": GUEST}, [ban]),
        ({"q": "spa"}, [ban]),
    ]:
        assert listed(admin_client, SANCTIONS, **query) == found
    html = admin_client.get(SANCTIONS).content.decode()
    assert all(text in html for text in ("the whole site", "for good", "8.8.4.4", GUEST))
    assert ("icon-yes" in html, "icon-no" in html) == (True, True)


def test_what_somebody_is_called_is_only_text(admin_client: Client, room: Room) -> None:
    message = say(room, XSS, username=XSS, sender=XSS)
    actions.report(message.pk, room.pk, Identity(XSS, XSS), XSS)
    Sanction.objects.create(kind="ban", room=room, user_key=XSS, username=XSS, reason=XSS)
    Room.objects.update(title=XSS)
    one, report = Sanction.objects.get(), Report.objects.get()
    pages = [
        SANCTIONS,
        change(one),
        delete(one),
        REPORTS,
        reverse("admin:realtime_report_change", args=[report.pk]),
    ]
    shown = [admin_client.get(page).content.decode() for page in pages]
    for action in ("delete_message", "ban_sender"):
        shown.append(act(admin_client, REPORTS, action, report.pk).content.decode())
    for html in shown:
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert(1)" not in html


# Who may.


def test_nobody_judges_without_the_permission(staff: Callable[..., Client], ban: Sanction) -> None:
    """To look is not to touch."""
    client = staff("view_sanction")
    assert listed(client, SANCTIONS) == [ban]
    assert offered(client, SANCTIONS) == set()
    for response in (
        client.get(ADD),
        add(client, user_key="guest:2"),
        client.post(change(ban), {"reason": "x"}),
        client.post(delete(ban), {"post": "yes"}),
    ):
        assert response.status_code == 403
    act(client, SANCTIONS, "delete_selected", ban.pk, post="yes")
    assert Sanction.objects.get().reason == "spam"
    assert entries() == []


@pytest.mark.parametrize("permission", ["add", "change", "delete"])
def test_each_permission_is_for_one_thing(
    staff: Callable[..., Client], ban: Sanction, permission: str
) -> None:
    client = staff("view_sanction", f"{permission}_sanction")
    assert client.get(ADD).status_code == (200 if permission == "add" else 403)
    assert ("_save" in client.get(change(ban)).content.decode()) == (permission == "change")
    assert client.get(delete(ban)).status_code == (200 if permission == "delete" else 403)


def test_judging_is_guarded_against_forgery(admin_user: User, db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert add(client, user_key=GUEST).status_code == 403
