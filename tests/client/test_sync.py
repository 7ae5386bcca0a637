"""The client for code without `async`, and the command line, against real servers."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.site import Site
from realtime.client import MessageEvent, RealtimeError, TopicEvent
from realtime.client.sync import Client, Room

MODULE = [sys.executable, "-m", "realtime.client"]


@pytest.fixture
def slug(site: Site) -> str:
    """A room of its own."""
    name = f"r-{uuid.uuid4().hex[:12]}"
    site.run("-c", MAKE.format(slug=name))
    return name


MAKE = """
import django; django.setup()
from realtime.models import Room
print(Room.objects.create(slug={slug!r}, kind="public").pk)
"""


def texts(room: Room, number: int) -> list[str | None]:
    """The texts of the next messages."""
    found: list[str | None] = []
    for event in room.listen(timeout=20):
        if isinstance(event, MessageEvent):
            found.append(event.content)
            if len(found) == number:
                break
    return found


def test_a_further_loop_gets_what_comes_from_now_on(site: Site, slug: str) -> None:
    """As in async code; the loop over the room itself gets everything."""
    with Client(site.urls[0]) as client:
        room = client.room(slug).join()
        room.send("one")
        assert texts(room, 1) == ["one"]
        further = room.events(MessageEvent, timeout=20)
        room.send("two")
        assert next(further).content == "two"
        assert texts(room, 1) == ["two"]


def test_a_script_sends_and_reads(site: Site, slug: str) -> None:
    with Client(site.urls[0], name="Ada") as client:
        room = client.room(slug).join()
        assert room.send("one").seq == 1
        assert room.send("two", data={"x": 1}).seq == 2
        assert texts(room, 2) == ["one", "two"]
        assert [one.content for one in room.history().messages or []] == ["one", "two"]
        assert client.username == "Ada"
        assert list(room.members.values()) == ["Ada"]
        room.typing()
    with pytest.raises(RealtimeError, match="closed"):
        room.send("three")


def test_a_loop_ends_when_nothing_comes(site: Site, slug: str) -> None:
    """And goes on behind what it has had."""
    with Client(site.urls[0]) as client, Client(site.urls[1]) as other:
        room = client.room(slug).join()
        writing = other.room(slug).join()
        for number in range(3):
            writing.send(str(number))
        assert texts(room, 2) == ["0", "1"]
        assert texts(room, 1) == ["2"]
        assert [one for one in room.listen(timeout=0.05) if isinstance(one, MessageEvent)] == []


def test_many_threads_share_a_client(site: Site, slug: str) -> None:
    with Client(site.urls[0]) as client:
        room = client.room(slug).join()
        seqs: list[int] = []

        def send(name: str) -> None:
            seqs.extend(room.send(f"{name} {number}").seq for number in range(10))

        threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seqs) == list(range(1, 41))


def test_a_topic_in_a_script(site: Site) -> None:
    pk = int(site.run("-c", MAKE.format(slug=f"o-{uuid.uuid4().hex[:12]}")))
    with Client(site.urls[0]) as client:
        topic = client.topic(f"order/{pk}").subscribe()
        assert topic.call("cancel", {"reason": "late"}) == {"total": 0}
        event = next(topic.listen(timeout=20))
        assert isinstance(event, TopicEvent)
        assert (event.name, event.data, event.seq) == ("paid", {"total": -4}, 1)
        with pytest.raises(RealtimeError) as raised:
            topic.call("cancel", {"reason": 7})
        assert (raised.value.code, raised.value.path) == ("invalid_message", "data.reason")
        assert dict(topic.values) == {}


def use_in_child(client: Client, results: Any) -> None:
    try:
        client.room("general")
    except RuntimeError as error:
        results.put(str(error))


def test_a_client_does_not_survive_a_fork(site: Site) -> None:
    """It says so, in place of a hang."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with Client(site.urls[0]) as client:
        child = context.Process(target=use_in_child, args=(client, results))
        child.start()
        assert "does not survive a fork" in results.get(timeout=20)
        child.join(20)
        assert client.request({"type": "ping"}).server_time


def test_a_client_that_was_not_opened_says_so() -> None:
    with pytest.raises(RuntimeError, match="with Client"):
        Client("ws://127.0.0.1:1/ws/").room("general")


def test_a_server_that_is_away_is_an_error(site: Site) -> None:
    with pytest.raises(RealtimeError, match="timeout"), Client("ws://127.0.0.1:1/ws/", timeout=0.2):
        pass
    assert "realtime-client" not in [thread.name for thread in threading.enumerate()]


# The command line


def line(
    site: Site, *arguments: str, text: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MODULE, site.urls[0], *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | more,
    )


def test_lines_are_sent_in_their_order(site: Site, slug: str) -> None:
    assert line(site, "--room", slug, "--send", "first").returncode == 0
    done = line(site, "--room", slug, "--send", "-", text="a\n\nb\nc")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Client(site.urls[0]) as client:
        messages = client.room(slug).join().history().messages or []
    assert [one.content for one in messages] == ["first", "a", "b", "c"]


def test_follow_misses_nothing_between_two_runs(site: Site, slug: str, tmp_path: Path) -> None:
    """Killed in the middle, it goes on where it was."""
    state = tmp_path / "state.json"
    follow = [*MODULE, site.urls[0], "--room", slug, "--follow", "--state", str(state)]
    with Client(site.urls[1]) as client:
        room = client.room(slug).join()
        room.send("0")
        found: list[str] = []
        for round_ in range(3):
            run = subprocess.Popen([*follow, "--history", "100"], stdout=subprocess.PIPE, text=True)
            assert run.stdout is not None
            try:
                while len(found) < 2 * round_ + 1:
                    event = json.loads(run.stdout.readline())
                    if event["type"] == "message":
                        found.append(event["content"])
                until_kept(state, len(found))
            finally:
                run.send_signal(signal.SIGKILL)
                run.wait()
                run.stdout.close()
            for number in (1, 2):
                room.send(str(2 * round_ + number))
    assert found == ["0", "1", "2", "3", "4"]


def until_kept(state: Path, position: int) -> None:
    deadline = time.monotonic() + 20
    while not state.exists() or f'"seq":{position},' not in state.read_text():
        assert time.monotonic() < deadline, state.read_text()
        time.sleep(0.01)


def test_a_command_is_called(site: Site) -> None:
    pk = int(site.run("-c", MAKE.format(slug=f"o-{uuid.uuid4().hex[:12]}")))
    done = line(site, "--topic", f"order/{pk}", "--call", "cancel", '{"reason": "late"}')
    assert (done.returncode, done.stdout) == (0, '{"total":0}\n')
    done = line(site, "--topic", f"order/{pk}", "--call", "cancel", '{"reason": 7}')
    assert done.returncode == 1
    assert "data.reason" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "--room"),
        (["--topic", "order/7", "--send", "hi"], "--send needs --room"),
        (["--room", "general", "--call", "x", "{}"], "--call needs --topic"),
        (["--topic", "order/7", "--call", "x", "[1]"], "JSON object"),
        (["--room", "general", "--token-file", "/nowhere"], "/nowhere"),
        (["--room", "general", "--state", "/dev/stdin"], "does not hold positions"),
    ],
)
def test_wrong_arguments_end_with_two(site: Site, arguments: list[str], fault: str) -> None:
    done = line(site, *arguments, text="x")
    assert done.returncode == 2
    assert fault in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exit_status_tells_a_refusal_from_a_server_that_is_away(site: Site) -> None:
    assert line(site, "--room", "no-such-room", "--send", "hi").returncode == 1
    token = {"REALTIME_TOKEN": "nonsense"}
    done = line(site, "--room", "general", "--send", "hi", **token)
    assert done.returncode == 1
    assert "nonsense" not in done.stderr
    away = subprocess.run(
        [*MODULE, "ws://127.0.0.1:1/ws", "--room", "general", "--timeout", "0.2", "--send", "hi"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert away.returncode == 3
    assert "Traceback" not in away.stderr


def test_a_chat_shows_what_comes_without_its_control_characters(site: Site, slug: str) -> None:
    with Client(site.urls[1], name="Mallory") as client:
        client.room(slug).join().send("red \x1b[31m alert")
        done = line(site, "--room", slug, "--name", "Ada", text="hello\n")
    assert done.returncode == 0
    assert "red" in done.stdout
    assert "\x1b" not in done.stdout
    assert "Ada" in done.stderr


def test_a_closed_pipe_ends_quietly(site: Site, slug: str) -> None:
    with Client(site.urls[1]) as client:
        room = client.room(slug).join()
        for number in range(5):
            room.send(str(number))
        run = subprocess.Popen(
            [*MODULE, site.urls[0], "--room", slug, "--follow", "--history", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        while run.poll() is None:
            room.send("more")
        assert (run.returncode, run.stderr.read()) == (0, "")
        run.stderr.close()
