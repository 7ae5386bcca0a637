"""`manage.py demo`: makes what is missing, says where to go, and becomes Daphne."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from harness.services import free_port
from harness.site import ROOT, Demo, environment
from project.management.commands import demo
from project.seed import seed
from realtime.models import Message, Room

Run = Callable[..., str]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that the process would have become."""
    lines: list[list[str]] = []
    monkeypatch.setattr(demo.os, "execv", lambda program, line: lines.append(line))
    monkeypatch.setenv("ALLOWED_HOSTS", "")
    return lines


@pytest.fixture
def run(db: None, executed: list[list[str]]) -> Run:
    """Runs the command up to the point where it becomes Daphne; gives what it printed."""

    def run(**options: Any) -> str:
        printed = StringIO()
        call_command("demo", stdout=printed, **{"port": free_port(), **options})
        return printed.getvalue()

    return run


def password_in(printed: str) -> str | None:
    match = re.search(r"password (\S{16,}) ", printed)
    return match[1] if match else None


def contents() -> tuple[list[str], int, list[str]]:
    rooms = Room.objects.order_by("pk").values_list("slug", flat=True)
    users = User.objects.order_by("pk").values_list("username", flat=True)
    return list(rooms), Message.objects.count(), list(users)


def test_first_run_makes_rooms_history_people_and_an_admin(run: Run) -> None:
    """The printed password is the admin's."""
    printed = run()
    rooms, messages, users = contents()
    assert rooms == ["general", "random", "help"]
    assert messages >= 6
    assert sorted(users) == ["admin", "alice", "bob", "carol"]
    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(password_in(printed) or "")
    assert not User.objects.get(username="alice").has_usable_password()


def test_seeded_history_is_a_log(run: Run) -> None:
    """Positions have no gap, and everybody is who they are in the protocol."""
    run()
    for room in Room.objects.all():
        messages = room.messages.order_by("seq")
        assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
        assert all(message.sender == str(message.user_id) for message in messages)
        assert room.log.last_seq == len(messages)


def test_second_run_changes_nothing_and_keeps_the_password(run: Run) -> None:
    """Not shown again, not replaced."""
    password = password_in(run())
    before = contents()
    again = run()
    assert password_in(again) is None
    assert contents() == before
    assert User.objects.get(username="admin").check_password(password or "")


def test_reset_password_makes_a_new_one(run: Run) -> None:
    """Also for an admin who was locked out."""
    old = password_in(run())
    User.objects.filter(username="admin").update(is_active=False, is_staff=False)
    new = password_in(run(reset_password=True))
    admin = User.objects.get(username="admin")
    assert new not in {None, old}
    assert admin.is_active
    assert admin.is_staff
    assert admin.check_password(new or "")


def test_what_people_changed_stays(run: Run) -> None:
    """A deleted room does not come back, and another superuser is enough."""
    run()
    Room.objects.get(slug="random").delete()
    User.objects.filter(username="admin").update(username="root")
    run()
    assert contents()[0] == ["general", "help"]
    assert not User.objects.filter(username="admin").exists()


def test_seeding_that_breaks_leaves_nothing(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the next run seeds everything."""

    def broken(drafts: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("project.seed.append", broken)
        with pytest.raises(RuntimeError):
            seed()
    assert not Room.objects.exists()
    assert seed()
    assert not seed()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:{}/"),
        ("localhost", "http://localhost:{}/"),
        ("0.0.0.0", "http://localhost:{}/"),
    ],
)
def test_daphne_listens_where_the_url_says(
    run: Run, executed: list[list[str]], host: str, url: str
) -> None:
    """On the host and port that were asked for."""
    port = free_port()
    assert url.format(port) in run(host=host, port=port)
    [line] = executed
    assert line[:3] == [sys.executable, "-m", "daphne"]
    assert line[line.index("-b") + 1] == host
    assert line[line.index("-p") + 1] == str(port)
    assert line[-1] == "project.asgi:application"


def test_address_of_ipv6_is_in_brackets() -> None:
    """As in RFC 3986."""
    assert demo.address("::1", 8000) == "http://[::1]:8000/"


def test_host_that_was_asked_for_is_allowed(executed: None, monkeypatch: Any) -> None:
    """Django would answer 400 to its own address otherwise."""
    monkeypatch.setenv("ALLOWED_HOSTS", "chat.example")
    demo.allow("192.0.2.7")
    assert demo.os.environ["ALLOWED_HOSTS"] == "chat.example,192.0.2.7"
    demo.allow("0.0.0.0")
    assert demo.os.environ["ALLOWED_HOSTS"] == "chat.example,192.0.2.7"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_taken_port_is_told_before_anything_else(
    run: Run, executed: list[list[str]], taken_port: int
) -> None:
    """With another one to try."""
    with pytest.raises(CommandError, match=rf"{taken_port} is in use.*--port {taken_port + 1}"):
        run(port=taken_port)
    assert executed == []
    assert contents() == ([], 0, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "70000 is not a port"),
        ({"port": -1}, "-1 is not a port"),
        ({"host": "no.such.host.invalid"}, "Cannot listen on no.such.host.invalid"),
        ({"host": "a" * 64}, "is not a host"),
        ({"host": "192.0.2.7"}, "Cannot listen on 192.0.2.7"),
    ],
)
def test_impossible_address_is_told(run: Run, options: dict[str, Any], message: str) -> None:
    """In one line, without a traceback."""
    with pytest.raises(CommandError, match=message):
        run(**options)


@pytest.mark.servers
def test_demo_runs_twice_for_real(tmp_path: Path) -> None:
    """The page answers; what is printed first is printed once."""
    process = Demo(tmp_path)
    process.start()
    try:
        log = process.log()
        assert process.url in log
        assert password_in(log)
        taken = subprocess.run(
            process.command, cwd=ROOT, env=process.options["env"], capture_output=True, text=True
        )
        assert taken.returncode == 1
        assert taken.stdout == ""
        assert taken.stderr.startswith("CommandError: Port")
    finally:
        process.kill()
    process.start()
    try:
        assert password_in(process.log().removeprefix(log)) is None
    finally:
        process.kill()


def test_wrong_option_shows_the_usage(tmp_path: Path) -> None:
    """As every Django command does."""
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", "--port", "abc"],
        cwd=ROOT,
        env=environment(f"sqlite:///{tmp_path / 'db.sqlite3'}"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "invalid int value" in done.stderr
