"""Bringing the messages of another chat in."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from realtime.importing import OldMessage, import_messages
from realtime.models import Message, Room
from realtime.store.messages import history, logs
from realtime.wire.errors import CommandError
from tests.store.conftest import database, room, url
from tests.store.says import say

__all__ = ["database", "room", "url"]
THEN = datetime(2019, 5, 1, 12, 0, 30, tzinfo=UTC)


def test_dates_and_senders_are_kept(room: Room) -> None:
    ada = get_user_model().objects.create_user("ada")
    stored = import_messages(
        room,
        [
            OldMessage("one", THEN, user=ada),
            OldMessage("two", THEN + timedelta(days=1), sender="guest:9", username="Bob"),
            OldMessage("three", THEN + timedelta(days=2), username="CI", data={"a": 1}),
            OldMessage("four", THEN + timedelta(days=3), user=ada, username="Ada as she was"),
        ],
    )
    assert stored == 4
    rows = Message.objects.order_by("seq")
    assert list(rows.values_list("content", "sender", "username", "user")) == [
        ("one", str(ada.pk), "ada", ada.pk),
        ("two", "guest:9", "Bob", None),
        ("three", "site:CI", "CI", None),
        ("four", str(ada.pk), "Ada as she was", ada.pk),
    ]
    assert [one.created_at - THEN for one in rows] == [timedelta(days=n) for n in range(4)]
    assert history.mark(room.pk).last_seq == 4


def test_data_may_hold_what_the_other_chat_has(room: Room) -> None:
    """As with `push`: dates become text."""
    import_messages(room, [OldMessage("a", THEN, data={"edited_at": THEN, "tags": ("x",)})])
    assert Message.objects.get().data == {"edited_at": "2019-05-01T12:00:30Z", "tags": ["x"]}


def test_they_come_after_what_the_room_has_and_before_what_it_gets(room: Room) -> None:
    say(room, "a")
    import_messages("general", [OldMessage(str(n), THEN) for n in range(1200)])
    say(room, "b")
    rows = list(Message.objects.order_by("seq").values_list("content", "seq"))
    assert rows[0] == ("a", 1)
    assert rows[-1] == ("b", 1202)
    assert [content for content, _ in rows[1:-1]] == [str(n) for n in range(1200)]
    assert len(logs.newest(room.pk, 2000).states) == 1202


def test_with_a_nonce_another_try_imports_nothing_twice(room: Room) -> None:
    old = [OldMessage(str(n), THEN, sender="1", nonce=f"old-{n}") for n in range(3)]
    assert import_messages(room, old) == 3
    assert import_messages(room, [*old, OldMessage("4", THEN, sender="1", nonce="old-4")]) == 1
    assert history.mark(room.pk).last_seq == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "nul \0"},
        {"content": "x" * 70_000},
        {"sender": "x" * 151},
        {"nonce": "x" * 65},
        {"username": "x" * 151, "sender": "1"},
        {"created_at": THEN.replace(tzinfo=None)},
        {"data": {"a": float("nan")}},
        {"data": [1]},
        {"content": None},
        {"content": "\ud800"},
        {"created_at": THEN.date()},
        {"created_at": "2019-05-01"},
        {"created_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))},
        {"nonce": ""},
        {"nonce": 7},
        {"user": 1},
        {"user": AnonymousUser()},
        {"user": get_user_model()(username="not saved")},
    ],
)
def test_what_cannot_be_stored_is_said_before_its_batch(room: Room, fields: dict[str, Any]) -> None:
    bad = OldMessage(**{"content": "a", "created_at": THEN, **fields})
    with pytest.raises((ValueError, CommandError)):
        import_messages(room, [OldMessage("good", THEN), bad])
    assert not Message.objects.exists()


def test_the_functions_do_what_their_page_says(room: Room) -> None:
    """Its snippet runs, and leaves what it says."""
    text = (Path(__file__).parent.parent / "docs/importing.md").read_text()
    [snippet] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    user = get_user_model().objects.create_user("ada")
    given: dict[str, Any] = {"room": room, "user": user, "sent_at": THEN}
    exec(snippet, given)
    assert given["stored"] == Message.objects.filter(created_at=THEN).count() == 3


def test_a_room_that_does_not_exist_is_named(room: Room) -> None:
    with pytest.raises(Room.DoesNotExist):
        import_messages("nowhere", [])
