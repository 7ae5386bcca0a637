"""What was said, as administrators see it."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from realtime.models import Message, Report, Room
from tests.admin.conftest import act, offered, say

LIST = reverse("admin:realtime_message_changelist")


def shown(client: Client, **query: object) -> list[str]:
    response = client.get(LIST, query)
    assert response.status_code == 200
    return [message.content for message in response.context["cl"].result_list]


@pytest.mark.parametrize(
    ("term", "found"),
    [("apple", ["an APPLE a day"]), ("bob", ["pear"]), ("guest:1", ["pear"]), ("guest", [])],
)
def test_messages_are_found_by_text_name_and_sender(
    admin_client: Client, room: Room, term: str, found: list[str]
) -> None:
    say(room, "an APPLE a day")
    say(room, "pear", username="Bob", sender="guest:1")
    assert shown(admin_client, q=term) == found


def test_messages_are_found_by_date(admin_client: Client, room: Room) -> None:
    old, _ = say(room, "old"), say(room, "new")
    Message.objects.filter(pk=old.pk).update(created_at=datetime(2020, 1, 2, tzinfo=UTC))
    assert shown(admin_client, created_at__gte="2021-01-01 00:00:00+00:00") == ["new"]
    assert shown(admin_client, created_at__lt="2021-01-01 00:00:00+00:00") == ["old"]


def test_the_newest_message_comes_first(admin_client: Client, room: Room) -> None:
    for text in "abc":
        say(room, text)
    assert shown(admin_client) == ["c", "b", "a"]
    assert shown(admin_client, room=room.pk) == ["c", "b", "a"]


@pytest.mark.parametrize("filtered", [False, True])
def test_the_list_is_read_by_an_index(admin_client: Client, room: Room, filtered: bool) -> None:
    say(room, "a")
    with CaptureQueriesContext(connection) as queries:
        shown(admin_client, **({"room": room.pk} if filtered else {}))
    [sql] = [
        query["sql"]
        for query in queries
        if "ORDER BY" in query["sql"] and '"content"' in query["sql"]
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = "\n".join(row[-1] for row in cursor.fetchall())
    assert "TEMP B-TREE" not in plan
    assert not filtered or "SEARCH realtime_message USING INDEX" in plan


def test_a_deleted_message_shows_no_text(admin_client: Client, room: Room) -> None:
    message = say(room, "")
    Message.objects.filter(pk=message.pk).update(deleted_at=datetime.now(UTC))
    assert "(deleted)" in admin_client.get(LIST).content.decode()


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:7 }}"]
)
def test_what_somebody_wrote_is_only_text(admin_client: Client, text: str) -> None:
    room = Room.objects.create(slug="r", title=text)
    message = say(room, text, username=text, sender=text)
    pages = [LIST, reverse("admin:realtime_message_change", args=[message.pk])]
    pages.append(reverse("admin:realtime_room_changelist"))
    for page in pages:
        html = admin_client.get(page).content.decode()
        assert "<script>alert(1)" not in html
        assert "<img src=x" not in html


def test_a_room_with_messages_is_not_deleted(admin_client: Client, room: Room) -> None:
    say(room, "kept")
    url = reverse("admin:realtime_room_delete", args=[room.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [room.pk], "post": "yes"}
    admin_client.post(reverse("admin:realtime_room_changelist"), data)
    assert Message.objects.count() == 1


# Taking the text away.


def test_a_text_is_taken_away_once_somebody_is_sure(
    admin_client: Client, admin_user: User, room: Room
) -> None:
    """The page before it names what will go; the place in the log stays."""
    message, other = say(room, "<b>rude</b>"), say(room, "fine")
    page = act(admin_client, LIST, "delete_text", message.pk).content.decode()
    assert "Ada: &lt;b&gt;rude&lt;/b&gt;" in page
    assert "fine" not in page
    assert shown(admin_client) == ["fine", "<b>rude</b>"]
    done = act(admin_client, LIST, "delete_text", message.pk, is_sure="True")
    assert "1 message was deleted." in done.content.decode()
    message.refresh_from_db()
    assert (message.seq, message.changed_seq, message.content, message.data) == (1, 3, "", None)
    other.refresh_from_db()
    assert other.deleted_at is None
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (admin_user, str(message.pk))


def test_what_was_deleted_is_nowhere(admin_client: Client, room: Room) -> None:
    """Neither in a list, nor on a page, nor in the admin's log; nor can it be found."""
    message = say(room, "secret")
    Report.objects.create(message=message, reporter="guest:1", username="G")
    act(admin_client, LIST, "delete_text", message.pk, is_sure="True")
    pages = [
        LIST,
        reverse("admin:realtime_message_change", args=[message.pk]),
        reverse("admin:realtime_message_history", args=[message.pk]),
        reverse("admin:realtime_report_changelist") + "?state=all",
        reverse("admin:realtime_report_change", args=[Report.objects.get().pk]),
        reverse("admin:index"),
    ]
    for page in pages:
        response = admin_client.get(page)
        assert response.status_code == 200
        assert "secret" not in response.content.decode()
    assert shown(admin_client, q="secret") == []
    [entry] = LogEntry.objects.all()
    assert "secret" not in f"{entry.object_repr}{entry.change_message}"


def test_a_text_is_taken_away_once(admin_client: Client, room: Room) -> None:
    message = say(room, "rude")
    for number in (1, 0):
        done = act(admin_client, LIST, "delete_text", message.pk, is_sure="True")
        assert f"{number} message" in done.content.decode()
    assert LogEntry.objects.count() == 1


def test_only_who_may_delete_takes_texts_away(staff: Callable[..., Client], room: Room) -> None:
    message = say(room, "kept")
    client = staff("view_message")
    assert offered(client, LIST) == set()
    act(client, LIST, "delete_text", message.pk, is_sure="True")
    assert shown(client) == ["kept"]


def test_who_may_delete_deletes_no_row(staff: Callable[..., Client], room: Room) -> None:
    message = say(room, "kept")
    client = staff("view_message", "delete_message")
    assert offered(client, LIST) == {"delete_text"}
    url = reverse("admin:realtime_message_delete", args=[message.pk])
    assert client.post(url, {"post": "yes"}).status_code == 403
    act(client, LIST, "delete_selected", message.pk, post="yes")
    assert shown(client) == ["kept"]


def test_too_many_at_once_are_refused(
    admin_client: Client, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages may be chosen with one click; nothing is done then."""
    monkeypatch.setattr("realtime.admin.confirmation.MOST", 1)
    one = say(room, "a").pk
    say(room, "b")
    for data in ({}, {"is_sure": "True"}):
        done = act(admin_client, LIST, "delete_text", one, select_across="1", **data)
        assert "At most 1 at once." in done.content.decode()
    assert shown(admin_client) == ["b", "a"]


def test_taking_away_is_guarded_against_forgery(admin_user: User, room: Room) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    done = act(client, LIST, "delete_text", say(room, "kept").pk, is_sure="True")
    assert done.status_code == 403


@pytest.mark.parametrize(
    ("permissions", "seen"),
    [
        ((), {"public"}),
        (("moderate_room",), {"public", "private"}),
        (("view_direct_message",), {"public", "direct"}),
        (("moderate_room", "view_direct_message"), {"public", "private", "direct"}),
    ],
)
def test_reading_rooms_that_are_not_public_takes_more_permissions(
    staff: Callable[..., Client], db: None, permissions: tuple[str, ...], seen: set[str]
) -> None:
    """In the list, by searches and filters, on the page of a message, by its actions."""
    messages = {}
    for kind in ("public", "private", "direct"):
        key = "k" if kind == "direct" else None
        messages[kind] = say(Room.objects.create(slug=kind, kind=kind, direct_key=key), kind)
    client = staff("view_message", "delete_message", "view_report", *permissions)
    assert set(shown(client)) == seen
    for kind, message in messages.items():
        is_seen = [kind] if kind in seen else []
        assert shown(client, q=kind) == shown(client, room=message.room_id) == is_seen
        for view in ("change", "history", "delete"):
            page = client.get(reverse(f"admin:realtime_message_{view}", args=[message.pk]))
            assert (page.status_code == 302) == (kind not in seen) or view == "delete"
            assert page.status_code != 200 or kind in seen
        act(client, LIST, "delete_text", message.pk, is_sure="True")
    left = set(Message.objects.exclude(content="").values_list("content", flat=True))
    assert left == set(messages) - seen
