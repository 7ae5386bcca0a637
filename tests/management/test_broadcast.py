"""`manage.py realtime_broadcast`."""

import io
import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError

import realtime.testing
from realtime.models import Message, Room
from realtime.push import rooms
from tests.management.conftest import run

pytestmark = pytest.mark.django_db(transaction=True)


async def ran(*arguments: str) -> Any:
    return await sync_to_async(run)("realtime_broadcast", *arguments)


async def test_a_notice_goes_to_everyone_a_room_or_a_user() -> None:
    """And to no other client; users may have any name."""
    await Room.objects.acreate(slug="general")
    ada = await User.objects.acreate(username="Ädä 'o' \"b\" 🎈")
    connect = realtime.testing.connect
    async with connect() as guest, connect(user=ada) as user:
        await guest.join("general")
        await guest.settled()
        for to, received in (
            (["--everyone"], (1, 1)),
            (["--room", "general"], (1, 0)),
            (["--user-id", str(ada.pk)], (0, 1)),
            (["--username", ada.username], (0, 1)),
        ):
            done = await ran("Back at five", *to, "--level", "warning")
            assert (done.code, done.out.startswith("A notice was sent to ")) == (0, True)
            for one, number in zip((guest, user), received, strict=True):
                notices = [event for event in await one.settled() if event["type"] == "notice"]
                assert [event["level"] for event in notices] == ["warning"] * number


def test_a_message_is_stored_in_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    Room.objects.create(slug="general")
    monkeypatch.setattr("sys.stdin", io.StringIO("The build\nis green."))
    done = run("realtime_broadcast", "-", "--room", "general", "--message", "CI", "--json")
    assert done.result == {"ok": True, "sent": "message", "to": "the room general", "position": 1}
    one = Message.objects.get()
    assert (one.content, one.username) == ("The build\nis green.", "CI")


def test_a_message_whose_commit_was_not_heard_is_stored_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the key with which to repeat it."""
    Room.objects.create(slug="general")
    given = ["The build is green.", "--room", "general", "--message", "CI"]
    store = rooms.post

    def lost(draft: Any) -> Any:
        store(draft)
        raise OperationalError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(rooms, "post", lost)
        ran = run("realtime_broadcast", *given)
    assert ran.code == 3
    [nonce] = re.findall(r"again with --nonce (\w+)", ran.error)
    done = run("realtime_broadcast", *given, "--nonce", nonce, "--json")
    assert done.result["position"] == 1
    assert Message.objects.count() == 1
    run("realtime_broadcast", *given)
    assert Message.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["x"], "one of the arguments"),
        (["x", "--everyone", "--room", "general"], "not allowed with"),
        (["x", "--everyone", "--level", "loud"], "invalid choice"),
        ([" ", "--everyone"], "The text is empty."),
        (["nul\0", "--everyone"], "NUL"),
        (["\udcff", "--everyone"], "must be Unicode without NUL"),
        (["x", "--room", "general", "--message", "\udcff"], "must be Unicode without NUL"),
        (["x", "--room", "\udcff"], "There is no room"),
        (["x" * 70_000, "--everyone"], "at most 65536 bytes"),
        (["x", "--everyone", "--message", "CI"], "--message needs --room"),
        (["x", "--everyone", "--nonce", "a"], "--nonce needs --message"),
        (["x", "--room", "r", "--message", "CI", "--nonce", ""], "--nonce must have"),
        (["x", "--room", "r", "--message", "CI", "--nonce", "n" * 65], "--nonce must have"),
        (["x", "--room", "r", "--message", "CI", "--nonce", "~n"], "--nonce must have"),
        (["x", "--room", "r", "--message", "CI", "--nonce", "\0"], "--nonce must have"),
        (["x", "--room", "nowhere"], "There is no room 'nowhere'."),
        (["x", "--username", "nobody"], "There is no user 'nobody'."),
        (["x", "--user-id", "12345"], "There is no user with the id '12345'."),
        (["x", "--user-id", "guest:\0"], "cannot be the id"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], text: str) -> None:
    ran = run("realtime_broadcast", *arguments)
    assert text in ran.error
    assert ran.code in (1, 2)  # 1: as `call_command` raises what the command line ends with 2


def test_where_no_process_can_be_reached_the_command_says_so() -> None:
    """The in-memory layer reaches nobody outside of a server process."""
    ran = run("realtime_broadcast", "x", "--everyone", "--json")
    assert (ran.code, ran.result["ok"]) == (3, False)
    assert "CHANNEL_LAYERS" in ran.error
