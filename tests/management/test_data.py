"""`realtime_export`, `realtime_erase` and `realtime_import`: the data of a user or a room."""

import json
import os
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from pytest_django.fixtures import Settings

from realtime.importing import OldMessage, import_messages
from realtime.models import (
    Block,
    Connection,
    Departure,
    Entry,
    Membership,
    Message,
    Node,
    Report,
    Room,
    Sanction,
    Trace,
)
from realtime.store.messages import history, rows
from realtime.store.moderation import erasing
from realtime.store.outbox import topic_numbering
from realtime.store.topics.drafts import EntryDraft
from tests.management.conftest import Ran, run
from tests.store.conftest import database, room, together, url

__all__ = ["database", "room", "url"]

THEN = datetime(2019, 5, 1, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def ada(room: Room) -> User:
    """A user with an odd name, and one row of each kind."""
    user = User.objects.create(username="Ädä 'o' \"b\" 🎈")
    other = User.objects.create(username="bob")
    old = [
        OldMessage("mine\n🎈", THEN, user=user, nonce="1", data={"a": 1}),
        OldMessage("of another", THEN, user=other, nonce="2"),
        OldMessage("mine too", THEN, user=user, nonce="3"),
    ]
    import_messages(room, old)
    Membership.objects.create(room=room, user=user)
    Departure.objects.create(room=room, user=user)
    node = Node.objects.create(id="n", hostname="h", pid=1, expires_at=THEN)
    Connection.objects.create(id="n.1", node=node, user_key=str(user.pk), address="192.0.2.7")
    Block.objects.create(user=user, blocked="guest:1")
    Sanction.objects.create(kind="mute", room=room, user_key=str(user.pk), reason="loud")
    message = Message.objects.get(content="of another")
    Report.objects.create(message=message, reporter=str(user.pk), username="a", reason="spam")
    Trace.objects.create(subject=str(user.pk), by=other, ends_at=THEN)
    return user


def lines(ran: Ran) -> list[Any]:
    return [json.loads(line) for line in ran.out.splitlines()]


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def old(number: int, **fields: Any) -> dict[str, Any]:
    row = {"id": f"m{number}", "content": f"text {number}", "created_at": THEN.isoformat()}
    return row | fields


# Export.


@pytest.mark.parametrize("by", ["id", "name"])
def test_the_data_of_a_user_is_complete(ada: User, by: str) -> None:
    """And nothing of another user is in it."""
    named = ["--user-id", str(ada.pk)] if by == "id" else ["--username", ada.username]
    found = lines(run("realtime_export", *named))
    kinds = ["user", "message", "message", "membership", "departure", "block", "sanction"]
    assert [row["kind"] for row in found] == [*kinds, "report", "trace", "connection"]
    assert found[0] == {"kind": "user", "user_id": str(ada.pk), "username": ada.username}
    assert (found[1]["content"], found[1]["data"]) == ("mine\n🎈", {"a": 1})
    assert "of another" not in json.dumps(found)


def test_the_data_of_a_guest_is_exported(ada: User, room: Room) -> None:
    import_messages(room, [OldMessage("hi", THEN, sender="guest:9", username="G")])
    found = lines(run("realtime_export", "--user-id", "guest:9"))
    assert [row["kind"] for row in found] == ["user", "message"]


def test_a_room_is_exported_and_imported_again(
    ada: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dates and senders, page by page, once."""
    monkeypatch.setattr("realtime.exporting.PAGE", 2)
    file = tmp_path / "rows.jsonl"
    done = run("realtime_export", "--room", "general", "--output", str(file), "--json")
    assert done.result["rows"] == {"message": 3}
    text = file.read_text().replace('"room": "general"', '"room": "copy"')
    file.write_text(text)
    copy = Room.objects.create(slug="copy")
    for stored in (3, 0):
        done = run("realtime_import", str(file), "--json")
        assert done.result == {"ok": True, "dry_run": False, "lines": 3, "stored": stored}
    columns = ("content", "created_at", "sender", "username", "user", "data")
    assert list(Message.objects.filter(room=copy).order_by("seq").values_list(*columns)) == list(
        Message.objects.exclude(room=copy).order_by("seq").values_list(*columns)
    )


def test_an_interrupted_export_leaves_no_file(
    ada: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even in place of an earlier one."""
    file = tmp_path / "rows.jsonl"
    file.write_text("before")
    monkeypatch.setattr(
        "realtime.exporting._memberships", lambda pk: signal.raise_signal(signal.SIGINT) or []
    )
    ran = run("realtime_export", "--user-id", str(ada.pk), "--output", str(file))
    assert (ran.code, file.read_text()) == (130, "before")
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]


def test_an_export_is_for_its_owner_alone(room: Room, tmp_path: Path) -> None:
    """Whatever the umask is, and whatever was there."""
    file = tmp_path / "rows.jsonl"
    file.touch(0o666)
    before = os.umask(0)
    try:
        run("realtime_export", "--room", "general", "--output", str(file))
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--room", "nowhere"], "There is no room 'nowhere'."),
        (["--username", "nul\0"], "There is no user"),
        (["--username", "\udcff"], "There is no user"),
        (["--room", "\udcff"], "There is no room"),
        (["--room", "general", "--output", "/"], "/ is a folder, not a file."),
        (["--user-id", "x" * 300], "cannot be the id"),
        (["--room", "general", "--json"], "--json needs --output"),
        (["--room", "general", "--output", "/nowhere/at/all"], "cannot be written: No such file"),
    ],
)
def test_a_wrong_export_is_refused(room: Room, arguments: list[str], text: str) -> None:
    ran = run("realtime_export", *arguments)
    assert (ran.code, text in ran.error) == (2, True), ran.error


# Erase.


def test_a_user_is_erased_once_it_is_confirmed(ada: User) -> None:
    key = ["--user-id", str(ada.pk)]
    assert run("realtime_erase", *key, "--dry-run", "--json").result["messages"] == 2
    refused = run("realtime_erase", *key)
    assert (refused.code, "give --yes" in refused.error) == (2, True)
    assert Message.objects.filter(deleted_at=None).count() == 3
    for erased in (2, 0):
        assert run("realtime_erase", *key, "--yes", "--json").result["messages"] == erased
    assert list(Message.objects.order_by("seq").values_list("content", "username")) == [
        ("", "Deleted user"),
        ("of another", "bob"),
        ("", "Deleted user"),
    ]
    assert not Membership.objects.exists()
    assert [row["kind"] for row in lines(run("realtime_export", *key))][1:] == [
        "sanction",
        "report",
        "connection",
    ]


def test_a_terminal_is_asked(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []
    for answer, code in (("n", 2), ("", 2), ("y", 0)):
        monkeypatch.setattr("builtins.input", lambda text, a=answer: asked.append(text) or a)
        assert run("realtime_erase", "--user-id", str(ada.pk)).code == code
    assert asked[0].startswith("Erase 2 messages of the user")


def test_a_deleted_account_can_be_erased(ada: User) -> None:
    key = str(ada.pk)
    ada.delete()
    assert run("realtime_erase", "--user-id", key, "--yes").code == 0
    assert Message.objects.filter(deleted_at=None).count() == 1


def test_a_legal_hold_keeps_messages_and_is_told(ada: User) -> None:
    Room.objects.update(is_held=True)
    ran = run("realtime_erase", "--user-id", str(ada.pk), "--yes")
    assert (ran.code, "2 messages are in rooms on legal hold" in ran.out) == (1, True)
    assert Message.objects.filter(deleted_at=None).count() == 3


def test_entries_of_topics_are_erased_and_counted(ada: User, settings: Settings) -> None:
    """Those in topics on legal hold stay, and are told."""
    settings.REALTIME = {**settings.REALTIME, "HELD_TOPICS": ["held/*"]}
    key = str(ada.pk)
    topic_numbering.append(
        [
            EntryDraft(topic=topic, type="paid", data="1", sender=key)
            for topic in ("orders", "orders", "held/1")
        ]
    )
    dry = run("realtime_erase", "--user-id", key, "--dry-run", "--json").result
    done = run("realtime_erase", "--user-id", key, "--yes", "--json").result
    for result in (dry, done):
        assert (result["entries"], result["held_entries"]) == (2, 1)
    assert (dry["ok"], done["ok"]) == (False, False)
    assert list(Entry.objects.values_list("log__name", flat=True)) == ["held/1"]
    text = run("realtime_erase", "--user-id", key, "--yes").out
    assert "0 messages and 0 entries of topics" in text
    assert "1 entries are in topics on legal hold" in text


def test_an_interrupted_erasure_goes_on(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "CHUNK", 1)
    rewrite = erasing._rewrite_chunk

    def interrupted(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return rewrite(*args)

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "_rewrite_chunk", interrupted)
        ran = run("realtime_erase", "--user-id", str(ada.pk), "--yes")
    assert (ran.code, ran.error.startswith("Interrupted after 1 of 2 messages.")) == (130, True)
    assert Message.objects.filter(deleted_at=None).count() == 2
    assert run("realtime_erase", "--user-id", str(ada.pk), "--yes").code == 0
    assert Message.objects.filter(deleted_at=None).count() == 1


# Import.


def test_lines_become_messages_with_their_senders(ada: User, tmp_path: Path) -> None:
    file = write(
        tmp_path / "old.jsonl",
        old(1, sender=str(ada.pk), username="Ada then"),
        old(2, sender="old:7", username="Bob", data={"x": [1]}),
        old(3, username="CI"),
        old(4, id=4, created_at="2019-05-01 12:00"),
    )
    ran = run("realtime_import", file, "--room", "general", "--zone", "Asia/Tokyo")
    assert ran.out == "4 messages were stored; 0 were there already.\n"
    rows = Message.objects.filter(seq__gt=3).order_by("seq")
    assert list(rows.values_list("sender", "username", "user")) == [
        (str(ada.pk), "Ada then", ada.pk),
        ("old:7", "Bob", None),
        ("site:CI", "CI", None),
        ("site:", "", None),
    ]
    assert rows[3].created_at == datetime(2019, 5, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("{", "Line 2: it is not JSON"),
        ("[]", "Line 2: it must be a JSON object"),
        ('{"text": 1}', "Line 2: there is no field 'text'; known: content, created_at"),
        (old(2, created_at="2019-05-01T12:00:00"), "has no time zone. Add it, or give --zone."),
        (old(2, created_at="May"), "must be a date such as"),
        (old(2, created_at=7), "`created_at` must be a string, not 7"),
        (old(2, content=None), "`content` is missing"),
        (old(2, id=""), "`id` must have from 1"),
        (old(2, id=True), "`id` must be a string"),
        (old(2, room="other"), "it is of the room 'other', not of 'general'"),
        (old(2, content="nul \0"), "Line 2: `content` has NUL or half a surrogate pair"),
        (old(2, room="half \ud800"), "Line 2: `room` has NUL or half a surrogate pair"),
        (old(2, sender="\ud800"), "Line 2: `sender` has NUL or half a surrogate pair"),
        (old(2, id=10**70), "`id` must have from 1"),
        ("[" * 100_000, "Line 2: its JSON is nested too deeply"),
        (old(2, content="x" * 70_000), "cannot be stored: a text may have at most 65536 bytes"),
        (old(2, sender="old:1", username="x" * 200), "cannot be stored: username may have"),
        (old(2, sender="x" * 200), "cannot be stored: "),
        (old(2, data=[1]), "cannot be stored: "),
    ],
)
def test_a_wrong_line_is_named(room: Room, tmp_path: Path, row: Any, text: str) -> None:
    """Nothing of its batch is stored; a dry run says the same."""
    file = tmp_path / "old.jsonl"
    second = row if isinstance(row, str) else json.dumps(row)
    file.write_text(f"{json.dumps(old(1))}\n{second}\n")
    for more in (["--dry-run"], []):
        ran = run("realtime_import", str(file), "--room", "general", *more)
        assert (ran.code, text in ran.error) == (2, True), ran.error
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["/nowhere"], "cannot be read: No such file"),
        (["{file}"], "it names no room"),
        (["{file}", "--room", "nowhere"], "there is no room 'nowhere'"),
        (["{file}", "--room", "general", "--zone", "Mars"], "There is no time zone 'Mars'"),
        (["{binary}", "--room", "general"], "is not UTF-8 text"),
    ],
)
def test_a_wrong_import_is_refused(
    room: Room, tmp_path: Path, arguments: list[str], text: str
) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    file = write(tmp_path / "old.jsonl", old(1))
    given = [one.format(file=file, binary=binary) for one in arguments]
    ran = run("realtime_import", *given)
    assert (ran.code, text in ran.error) == (2, True), ran.error


def test_a_dry_run_checks_all_lines(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path / "old.jsonl", old(1), old(2))
    ran = run("realtime_import", file, "--room", "general", "--dry-run")
    assert ran.out == "2 lines are right. Nothing was stored.\n"
    assert not Message.objects.exists()


@pytest.mark.parametrize("ending", ["interrupt", "database"])
def test_an_import_that_ends_in_the_middle_goes_on(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Whole batches are stored, and nothing twice."""
    monkeypatch.setattr("realtime.management.commands.realtime_import.BATCH", 2)
    file = write(tmp_path / "old.jsonl", *map(old, range(6)))
    insert, calls = rows.import_drafts, []

    def end(drafts: Any) -> int:
        calls.append(1)
        if len(calls) == 2 and ending == "database":
            raise OperationalError("server closed the connection unexpectedly")
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return insert(drafts)

    with monkeypatch.context() as patch:
        patch.setattr(rows, "import_drafts", end)
        ran = run("realtime_import", file, "--room", "general")
    stored = 4 if ending == "interrupt" else 2
    assert ran.code == (130 if ending == "interrupt" else 3)
    assert "Run the same command again to go on." in ran.error
    assert Message.objects.count() == stored
    assert (
        run("realtime_import", file, "--room", "general", "--json").result["stored"] == 6 - stored
    )
    assert history.mark(room.pk).last_seq == 6


def test_two_imports_at_once_store_each_line_once(room: Room, tmp_path: Path) -> None:
    file = write(tmp_path / "old.jsonl", *map(old, range(40)))
    start = Barrier(2)

    def work() -> None:
        start.wait(10)
        run("realtime_import", file, "--room", "general")

    together([work, work])
    run("realtime_import", file, "--room", "general")  # SQLite may have been locked
    assert Message.objects.count() == history.mark(room.pk).last_seq == 40
