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
from pytest_django import Settings

from realtime.admin.windows import WindowFilter
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


def test_many_texts_are_deleted_in_parts_with_progress(
    admin_client: Client, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages may be chosen with one click; what comes after the question stays."""
    monkeypatch.setattr("realtime.admin.messages.SECONDS", 0)
    monkeypatch.setattr("realtime.store.moderation.bulk.BATCH", 2)
    one, *_ = [say(room, text).pk for text in "abcde"]
    page = act(admin_client, LIST, "delete_text", one, select_across="1")
    assert page.context["kept"]["total"] == 5
    say(room, "late")
    data = {**page.context["kept"], "is_sure": "True", "select_across": "1"}
    for done in (2, 4):
        page = act(admin_client, LIST, "delete_text", one, **data)
        assert page.context["progress"] == (done, 5)
        assert f"{done} of 5 messages were deleted." in page.content.decode()
        data |= page.context["kept"]
    page = act(admin_client, LIST, "delete_text", one, **data)
    assert "5 messages were deleted." in page.content.decode()
    assert shown(admin_client) == ["late", "", "", "", "", ""]
    assert LogEntry.objects.count() == 5


@pytest.mark.parametrize("value", ["x", "-1", "9" * 40, ""])
def test_wrong_progress_deletes_what_was_chosen(
    admin_client: Client, room: Room, value: str
) -> None:
    chosen = say(room, "a").pk
    say(room, "b")
    data = {"is_sure": "True", "through": value, "done": value, "total": value}
    done = act(admin_client, LIST, "delete_text", chosen, **data)
    assert "1 message was deleted." in done.content.decode()
    assert shown(admin_client) == ["b", ""]


def test_deleting_more_texts_costs_no_more_queries(admin_client: Client, room: Room) -> None:
    """Whatever the number of rooms is."""
    numbers = []
    for more in (2, 8):
        rooms = [Room.objects.create(slug=f"r{more}-{number}") for number in range(more)]
        chosen = [say(one, "rude").pk for one in rooms for _ in range(2)]
        Report.objects.create(message_id=chosen[0], reporter="guest:1", username="G")
        with CaptureQueriesContext(connection) as queries:
            admin_client.post(
                LIST, {"action": "delete_text", "_selected_action": chosen, "is_sure": "True"}
            )
        numbers.append(len(queries))
    assert not Message.objects.exclude(content="").exists()
    assert not Report.objects.filter(resolved_at=None).exists()
    assert numbers[0] == numbers[1] <= 24


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


# A search reads a bounded number of rows.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of three messages."""
    monkeypatch.setattr("realtime.admin.windows.ROWS", 3)


def older(client: Client, **query: object) -> str | None:
    """The value of the link to the window before."""
    [window] = [
        one
        for one in client.get(LIST, query).context["cl"].filter_specs
        if isinstance(one, WindowFilter)
    ]
    return window.next_value


def sent_at(message: Message, day: int) -> None:
    Message.objects.filter(pk=message.pk).update(created_at=datetime(2020, 1, day, tzinfo=UTC))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("filtered", [False, True], ids=["site", "room"])
def test_a_search_goes_on_in_the_window_before(
    admin_client: Client, room: Room, filtered: bool
) -> None:
    query = {"q": "apple", **({"room": room.pk} if filtered else {})}
    for text in ("apple 1", "pear 2", "apple 3", "pear 4", "pear 5", "apple 6"):
        say(room, text)
    assert shown(admin_client, **query) == ["apple 6"]
    link = older(admin_client, **query)
    assert shown(admin_client, **query, before=link) == ["apple 3", "apple 1"]
    assert older(admin_client, **query, before=link) is None
    assert "the 3 before these" in admin_client.get(LIST, query).content.decode()


@pytest.mark.usefixtures("small")
def test_a_few_messages_are_searched_as_a_whole(admin_client: Client, room: Room) -> None:
    """Of a room, of a user, of a day, beside many others."""
    user, quiet = User.objects.create(username="u"), Room.objects.create(slug="quiet")
    for text in ("first", "second"):
        one = say(quiet, text, sender=str(user.pk))
        Message.objects.filter(pk=one.pk).update(user=user)
        sent_at(one, 2)
    for text in "cdef":
        say(room, text)
    day = {"created_at__gte": "2020-01-01", "created_at__lt": "2020-01-03"}
    for query in ({"room": quiet.pk}, {"sender": str(user.pk)}, day, {"room": quiet.pk, **day}):
        assert sorted(shown(admin_client, **query)) == ["first", "second"]
        assert shown(admin_client, q="first", **query) == ["first"]
        assert older(admin_client, **query) is None


@pytest.mark.usefixtures("small")
def test_the_messages_of_a_period_are_read_in_parts(admin_client: Client, room: Room) -> None:
    for day, text in enumerate("abcde", 1):
        sent_at(say(room, text), day)
    say(room, "new")
    query = {"created_at__lt": "2020-02-01"}
    assert shown(admin_client, **query) == ["e", "d", "c"]
    assert shown(admin_client, **query, before=older(admin_client, **query)) == ["b", "a"]


@pytest.mark.usefixtures("small")
def test_the_messages_of_a_deleted_user_are_found(admin_client: Client, room: Room) -> None:
    for text in "ab":
        say(room, text, sender="77")
    assert shown(admin_client, sender="77") == ["b", "a"]


@pytest.mark.parametrize(
    "query",
    [
        {"before": "pk:x"},
        {"before": "pk:"},
        {"sender": "\0"},
        {"created_at__gte": "yesterday"},
        {"created_at__gte": "2020-13-01"},
        {"created_at__gte": "2020-01-01 25:00"},
        {"created_at__gte": "9999-12-31T23:59:59-12:00"},
        {"created_at__lt": "2020-01-01", "before": "created_at:9999-12-31T23:59:59-12:00"},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(
    admin_client: Client, room: Room, query: dict[str, str]
) -> None:
    assert admin_client.get(LIST, query).status_code == 302


@pytest.mark.parametrize("before", ["", "seq:1", "nothing"])
def test_a_window_of_another_list_is_ignored(admin_client: Client, room: Room, before: str) -> None:
    """Another filter was chosen meanwhile."""
    say(room, "a")
    assert shown(admin_client, before=before) == ["a"]


def test_a_date_without_a_zone_is_one_of_the_site(
    admin_client: Client, room: Room, settings: Settings
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    one = say(room, "a")
    Message.objects.filter(pk=one.pk).update(created_at=datetime(2020, 1, 1, 16, tzinfo=UTC))
    assert shown(admin_client, created_at__gte="2020-01-02") == ["a"]
    window = {"created_at__lt": "2021-01-01", "before": "created_at:2020-01-02"}
    assert shown(admin_client, **window) == []
    assert shown(admin_client, created_at__lt="2020-01-02") == []


def test_the_fields_of_a_period_keep_the_other_filters(admin_client: Client, room: Room) -> None:
    query = {"room": room.pk, "q": "a<b", "created_at__gte": "2020-01-01"}
    html = admin_client.get(LIST, query).content.decode()
    assert 'name="created_at__gte" value="2020-01-01"' in html
    assert f'<input type="hidden" name="room" value="{room.pk}">' in html
    assert '<input type="hidden" name="q" value="a&lt;b">' in html


def test_a_message_is_shown_in_its_conversation(admin_client: Client, room: Room) -> None:
    """With what was said before and after it, as text; by few queries."""
    texts = [f"text {number:02}" for number in range(30)]
    found = [say(room, text) for text in [*texts[:-1], "<i>"]]
    Message.objects.filter(pk=found[16].pk).update(deleted_at=datetime.now(UTC))
    url = reverse("admin:realtime_message_change", args=[found[15].pk])
    with CaptureQueriesContext(connection) as queries:
        html = admin_client.get(url).content.decode()
    assert "<mark>text 15</mark>" in html
    assert [text for text in texts if f"</b>: {text}" in html] == [*texts[5:15], *texts[17:26]]
    assert "(deleted)" in html
    assert f"?room={room.pk}&amp;before=seq:17" in html.replace("&before", "&amp;before")
    assert len(queries) <= 8
    last = reverse("admin:realtime_message_change", args=[found[29].pk])
    assert "<mark>&lt;i&gt;</mark>" in admin_client.get(last).content.decode()
