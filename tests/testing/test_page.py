"""docs/testing.md does what it says, in a fresh project with the wheel's own contents."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from harness.site import ROOT
from realtime import push, testing
from realtime.models import Room

PAGE = (ROOT / "docs/testing.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = dict(
    re.findall(r"```python\n# (chat/\w+\.py)\n(.*?)```", PAGE, re.DOTALL),
)
SETTINGS = """
INSTALLED_APPS = ["daphne", *INSTALLED_APPS, "channels", "realtime", "chat"]
ASGI_APPLICATION = "mysite.asgi.application"
"""
ASGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from realtime.asgi import get_asgi_application

application = get_asgi_application()
"""
MANAGE = [sys.executable, "-W", "error", "manage.py"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `startproject` with one app, whose tests are those of the page."""
    folder = tmp_path_factory.mktemp("testing")
    run(folder, sys.executable, "-m", "django", "startproject", "mysite", ".")
    run(folder, *MANAGE, "startapp", "chat")
    with (folder / "mysite/settings.py").open("a") as settings:
        settings.write(SETTINGS)
    (folder / "mysite/asgi.py").write_text(ASGI)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def run(folder: Path, *command: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_page_has_a_file_for_each_runner() -> None:
    assert sorted(FILES) == ["chat/test_chat.py", "chat/tests.py"]


def test_its_first_test_runs_with_manage_py(project: Path) -> None:
    (project / "chat/test_chat.py").rename(project / "chat/chat.txt")
    try:
        assert "Ran 1 test" in run(project, *MANAGE, "test")
    finally:
        (project / "chat/chat.txt").rename(project / "chat/test_chat.py")


@pytest.mark.parametrize("mode", ["none", "strict", "auto"])
def test_its_second_test_runs_with_pytest(project: Path, mode: str) -> None:
    """Without pytest-asyncio, with each of its modes, and in a worker of pytest-xdist."""
    scope = ["-o", "asyncio_default_fixture_loop_scope=function"]
    options = ["-p", "no:asyncio"] if mode == "none" else ["-o", f"asyncio_mode={mode}", *scope]
    plugin = ["-p", "realtime.pytest_plugin", "--strict-markers"]
    found = run(
        project,
        *(sys.executable, "-W", "error", "-m", "pytest", "--ds=mysite.settings", *plugin),
        *(
            *options,
            *(["-n", "1"] if mode == "auto" else []),
            "-o",
            "python_files=test*.py",
            "chat",
        ),
    )
    assert "2 passed" in found


def test_the_plugin_is_registered() -> None:
    """As pytest finds it in an environment with the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"realtime": "realtime.pytest_plugin"}


def test_the_plugin_imports_no_django() -> None:
    """It is loaded for every project of an environment."""
    code = "import sys, realtime.pytest_plugin; assert 'django' not in sys.modules"
    run(ROOT, sys.executable, "-c", code)


@pytest.mark.parametrize("number", [6, 7])
async def test_its_steps_of_a_client_do_what_they_say(
    number: int, ada: Any, bob: Any, room: Room
) -> None:
    """Lost connections, and the clock."""
    await Room.objects.aupdate(slow_seconds=30 if number == 7 else 0)
    await run_snippet(SNIPPETS[number], ada=ada, bob=bob, room=room)


async def test_its_other_steps_do_what_they_say(ada: Any, room: Room) -> None:
    """A command, and the engine with other settings."""
    async with testing.connect(ada) as client:
        await client.join(room)
        await run_snippet(SNIPPETS[2], client=client)
    await run_snippet(SNIPPETS[8])


class Confirm(msgspec.Struct):
    text: str


async def test_a_client_answers_questions(room: Room) -> None:
    async with testing.connect() as client:
        await run_snippet(SNIPPETS[9], client=client, push=push, Confirm=Confirm)


async def run_snippet(snippet: str, **given: Any) -> None:
    lines = "".join(f"    {line}\n" for line in snippet.splitlines())
    space = {**vars(testing), **given}
    exec(f"async def steps():\n{lines}", space)
    await space["steps"]()


def test_a_view_is_tested_as_the_page_says(room: Room) -> None:
    """Its example has a view that pushes on commit."""
    assert "assert_published(OrderTopic(pk=7), Paid" in SNIPPETS[5]
    with pytest.raises(AssertionError, match=r"Nothing was\. Inside of a transaction"):
        testing.assert_published("general")

    with transaction.atomic():
        with testing.committing():
            push.room("general").message("Build 7 is green.", username="CI", data={"build": 7})
        found = testing.assert_published("general", content="Build 7 is green.", data={"build": 7})
        assert testing.published(room) == [found]
        with pytest.raises(AssertionError, match=r"There are:\n.*Build 7"):
            testing.assert_published(room, content="Build 8 is green.")
        transaction.set_rollback(True)
    assert testing.published(room) == []


def test_nothing_is_committed_for_a_block_that_fails(room: Room) -> None:
    ran: list[int] = []

    def fail() -> None:
        with testing.committing():
            transaction.on_commit(lambda: ran.append(1))
            raise ZeroDivisionError

    with transaction.atomic():
        with pytest.raises(ZeroDivisionError):
            fail()
        assert ran == []
        transaction.set_rollback(True)


async def test_the_twins_do_the_same(room: Room) -> None:
    await push.room(room).amessage("hi", username="CI")
    [found] = await testing.apublished(room)
    assert await testing.aassert_published(room, username="CI") == found


def test_a_callback_that_fails_is_an_error_unless_it_is_robust(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a commit."""

    def fail() -> None:
        raise ZeroDivisionError

    with transaction.atomic():
        with testing.committing():
            transaction.on_commit(fail, robust=True)
        assert "an on_commit callback failed" in caplog.text
        with pytest.raises(ZeroDivisionError), testing.committing():
            transaction.on_commit(fail)


async def test_async_code_commits_in_the_thread_of_its_connection(room: Room) -> None:
    """Which is not that of the event loop."""
    async with testing.committing():
        await sync_to_async(push.room(room).message)("hi", username="CI")
    assert await testing.apublished(room)
