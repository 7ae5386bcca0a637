"""Rooms and memberships, as administrators change them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from realtime.admin import RoomAdmin
from realtime.models import Membership, Room
from realtime.store.messages import history
from realtime.store.messages.drafts import Draft
from realtime.store.outbox import room_numbering
from realtime.store.rooms.access import direct_key
from tests.admin.conftest import LOST, Connect, act, offered

ADD = reverse("admin:realtime_room_add")
LIST = reverse("admin:realtime_room_changelist")


def change(room: Room) -> str:
    return reverse("admin:realtime_room_change", args=[room.pk])


def cells(client: Client, *names: str) -> list[list[Any]]:
    response = client.get(LIST)
    return [[getattr(room, name) for name in names] for room in response.context["cl"].result_list]


def test_a_room_is_made(admin_client: Client, db: None) -> None:
    admin_client.post(ADD, {"title": "News", "slug": "news", "kind": "private"})
    room = Room.objects.get()
    assert (room.slug, room.title, room.kind, room.direct_key) == ("news", "News", "private", None)


def test_a_direct_room_is_not_made_here(admin_client: Client, db: None) -> None:
    response = admin_client.post(ADD, {"title": "x", "slug": "x", "kind": "direct"})
    assert "kind" in response.context["adminform"].form.errors
    assert not Room.objects.exists()


def test_a_slug_stays_what_it_was(admin_client: Client, room: Room) -> None:
    admin_client.post(change(room), {"title": "New", "slug": "other", "kind": "private"})
    room.refresh_from_db()
    assert (room.slug, room.title, room.kind) == ("general", "New", "private")


def test_a_direct_room_stays_direct(admin_client: Client, db: None) -> None:
    key = direct_key("1", "2")
    room = Room.objects.create(slug="d", kind="direct", direct_key=key)
    admin_client.post(change(room), {"title": "New", "kind": "public", "direct_key": "x"})
    room.refresh_from_db()
    assert (room.title, room.kind, room.direct_key) == ("New", "direct", key)


def test_saving_a_room_between_two_messages_rewinds_nothing(
    admin_client: Client, room: Room
) -> None:
    draft = {"room_id": room.pk, "content": "a", "sender": "1", "username": "a"}
    form = admin_client.get(change(room)).context["adminform"].form
    room_numbering.append([Draft(**draft), Draft(**draft)])
    admin_client.post(change(room), {**form.initial, "keep_days": "", "title": "New"})
    [stored] = room_numbering.append([Draft(**draft)])
    assert stored.state.seq == 3


def test_making_a_room_private_is_a_change_of_rights(admin_client: Client, room: Room) -> None:
    before = history.mark(room.pk).rights_seq
    admin_client.post(change(room), {"title": "", "kind": "private"})
    assert history.mark(room.pk).rights_seq > before


def test_an_empty_room_is_deleted(admin_client: Client, room: Room) -> None:
    history.mark(room.pk)
    admin_client.post(reverse("admin:realtime_room_delete", args=[room.pk]), {"post": "yes"})
    assert not Room.objects.exists()


def test_the_list_shows_the_position_and_the_live_users(
    admin_client: Client, room: Room, connect: Connect
) -> None:
    Room.objects.create(slug="quiet")
    room_numbering.append([Draft(room_id=room.pk, content="a", sender="1", username="a")])
    connect("ada", room)
    connect("ada", room)
    connect("bob", room)
    connect("eve", room, node=LOST)
    assert cells(admin_client, "slug", "position", "here") == [["general", 1, 2], ["quiet", 0, 0]]


def test_the_list_leads_to_what_belongs_to_a_room(admin_client: Client, room: Room) -> None:
    html = admin_client.get(LIST).content.decode()
    for name in ("message", "membership", "sanction"):
        link = f"{reverse(f'admin:realtime_{name}_changelist')}?room={room.pk}"
        assert link in html
        assert admin_client.get(link).status_code == 200


def test_rooms_are_found_by_slug_and_title(admin_client: Client, room: Room) -> None:
    for term, number in (("gener", 1), ("nothing", 0)):
        assert len(admin_client.get(LIST, {"q": term}).context["cl"].result_list) == number


def test_a_room_is_made_slow_and_read_only(admin_client: Client, room: Room) -> None:
    """Open sockets are told, as it is a change of rights; one entry in the log."""
    before = history.mark(room.pk).rights_seq
    data = {"title": "General", "kind": "public", "slow_seconds": "30", "is_read_only": "on"}
    admin_client.post(change(room), data)
    room.refresh_from_db()
    assert (room.slow_seconds, room.is_read_only) == (30, True)
    assert history.mark(room.pk).rights_seq > before
    assert LogEntry.objects.get().action_flag == CHANGE
    assert "30 s" in admin_client.get(LIST).content.decode()


@pytest.mark.parametrize("seconds", ["-1", "86401", "x"])
def test_slow_mode_has_its_bounds(admin_client: Client, room: Room, seconds: str) -> None:
    data = {"title": "General", "kind": "public", "slow_seconds": seconds}
    form = admin_client.post(change(room), data).context["adminform"].form
    assert "slow_seconds" in form.errors


def test_saving_a_room_leaves_what_others_change(
    admin_client: Client, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner makes it slow, while an administrator, who has read it, names it."""
    checked = RoomAdmin.form.full_clean

    def meanwhile(form: Any) -> None:
        checked(form)
        Room.objects.update(slow_seconds=7, invitation_key="another")

    monkeypatch.setattr(RoomAdmin.form, "full_clean", meanwhile)
    admin_client.post(change(room), {"title": "New", "kind": "public", "slow_seconds": "0"})
    room.refresh_from_db()
    assert (room.title, room.slow_seconds, room.invitation_key) == ("New", 7, "another")


def test_invitations_are_made_void(admin_client: Client, room: Room) -> None:
    """Those to private rooms; there are no others."""
    private = Room.objects.create(slug="secret", kind="private")
    keys = {one.pk: one.invitation_key for one in Room.objects.all()}
    act(admin_client, LIST, "void_invitations", room.pk, private.pk)
    assert not LogEntry.objects.exists()
    act(admin_client, LIST, "void_invitations", room.pk, private.pk, is_sure="True")
    changed = [one for one in Room.objects.all() if one.invitation_key != keys[one.pk]]
    assert changed == [private]
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.username) == (str(private.pk), "admin")


def test_only_who_may_change_rooms_makes_invitations_void(
    staff: Callable[..., Client], room: Room
) -> None:
    client = staff("view_room")
    assert offered(client, LIST) == set()
    Room.objects.update(kind="private")
    act(client, LIST, "void_invitations", room.pk, is_sure="True")
    assert Room.objects.get().invitation_key == room.invitation_key


@pytest.fixture
def direct(db: None) -> list[Membership]:
    """The places of two users in a room of their own."""
    users = [User.objects.create(username=name) for name in ("cy", "di")]
    key = direct_key(*(str(user.pk) for user in users))
    room = Room.objects.create(slug="d", kind="direct", direct_key=key)
    return [Membership.objects.create(room=room, user=user) for user in users]


def test_a_direct_room_takes_nobody_else(admin_client: Client, direct: list[Membership]) -> None:
    eve = User.objects.create(username="eve")
    data = {"room": direct[0].room_id, "user": eve.pk, "role": "member"}
    response = admin_client.post(reverse("admin:realtime_membership_add"), data)
    assert response.context["adminform"].form.errors == {"room": ["A direct room is for two."]}
    assert Membership.objects.count() == 2


def test_a_direct_room_loses_nobody(
    admin_client: Client, direct: list[Membership], membership: Membership
) -> None:
    """Neither one by one nor among others."""
    url = reverse("admin:realtime_membership_delete", args=[direct[0].pk])
    assert "cy · d" in admin_client.post(url, {"post": "yes"}).content.decode()
    chosen = [direct[1].pk, membership.pk]
    url = reverse("admin:realtime_membership_changelist")
    act(admin_client, url, "delete_selected", *chosen, post="yes")
    assert Membership.objects.count() == 3
    act(admin_client, url, "delete_selected", membership.pk, post="yes")
    assert Membership.objects.count() == 2


def test_a_user_of_a_direct_room_can_be_deleted(
    admin_client: Client, direct: list[Membership]
) -> None:
    url = reverse("admin:auth_user_delete", args=[direct[0].user_id])
    admin_client.post(url, {"post": "yes"})
    assert list(Membership.objects.all()) == [direct[1]]


@pytest.fixture
def membership(room: Room) -> Membership:
    return Membership.objects.create(room=room, user=User.objects.create(username="ada"))


def test_a_membership_is_made_and_changed(admin_client: Client, membership: Membership) -> None:
    bob = User.objects.create(username="bob")
    before = history.mark(membership.room_id).rights_seq
    data = {"room": membership.room_id, "user": bob.pk, "role": "moderator"}
    admin_client.post(reverse("admin:realtime_membership_add"), data)
    made = Membership.objects.get(user=bob)
    assert made.role == "moderator"
    url = reverse("admin:realtime_membership_change", args=[made.pk])
    admin_client.post(url, {"role": "owner", "user": membership.user_id, "read_seq": 99})
    made.refresh_from_db()
    assert (made.role, made.user, made.read_seq) == ("owner", bob, 0)
    assert history.mark(membership.room_id).rights_seq == before + 2


def test_removing_memberships_is_a_change_of_rights(
    admin_client: Client, membership: Membership
) -> None:
    before = history.mark(membership.room_id).rights_seq
    data = {"action": "delete_selected", "_selected_action": [membership.pk], "post": "yes"}
    admin_client.post(reverse("admin:realtime_membership_changelist"), data)
    assert not Membership.objects.exists()
    assert history.mark(membership.room_id).rights_seq > before


def test_memberships_are_found_by_room_and_user(
    admin_client: Client, membership: Membership
) -> None:
    url = reverse("admin:realtime_membership_changelist")
    for term, number in (("general", 1), ("ada", 1), ("bob", 0)):
        assert len(admin_client.get(url, {"q": term}).context["cl"].result_list) == number


def test_a_notice_goes_to_the_chosen_rooms(
    admin_client: Client, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a page has asked for the text; where no process is reached, the page says so."""
    url = reverse("admin:realtime_room_changelist")
    page = act(admin_client, url, "send_notice", room.pk).content.decode()
    assert "<li>General</li>" in page
    assert not LogEntry.objects.exists()
    done = act(admin_client, url, "send_notice", room.pk, text="Back at five", level="info")
    assert "1 room was notified." in done.content.decode()
    assert LogEntry.objects.get().change_message == "Notice (info): Back at five"


def test_a_notice_to_a_room_needs_the_permission_to_notify(
    staff: Callable[..., Client], room: Room
) -> None:
    client = staff("view_room")
    url = reverse("admin:realtime_room_changelist")
    assert offered(client, url) == set()
    act(client, url, "send_notice", room.pk, text="x", level="info")
    assert not LogEntry.objects.exists()
