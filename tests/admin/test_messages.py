"""What was said, as administrators see it."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from realtime.models import Message, Room
from realtime.store import log
from realtime.store.log import Draft

LIST = reverse("admin:realtime_message_changelist")


def say(room: Room, content: str, username: str = "Ada", sender: str = "7") -> Message:
    draft = Draft(room_id=room.pk, content=content, sender=sender, username=username)
    [stored] = log.append([draft])
    return Message.objects.get(pk=stored.state.id)


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
        if "ORDER BY" in query["sql"] and "content" in query["sql"]
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
