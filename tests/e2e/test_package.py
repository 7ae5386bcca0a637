"""The wheel in somebody else's project: check, migrate, connect, chat."""

import asyncio
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.services import Process, Services, answers, free_port
from realtime.client import Client, MessageEvent
from tests.e2e.fresh import Environment, run

SETTINGS = """
INSTALLED_APPS = ["daphne", *INSTALLED_APPS, "channels", "realtime"]
ASGI_APPLICATION = "mysite.asgi.application"
REALTIME = {"GUESTS": True}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
"""
ASGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from realtime.asgi import get_asgi_application

application = get_asgi_application()
"""
CLIENT_FILE = re.compile(
    r"realtime/static/realtime/(\w+\.js(\.map)?|admin/(continue\.js|(live|trace)\.(css|js)|live/\w+\.js))"
)
SEED = "from realtime.models import Room; Room.objects.create(slug='lobby', title='Lobby')"


class Project(Environment):
    """A fresh `startproject` in an environment that has `realtime` from the wheel."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        super().__init__(folder, wheel)
        self.folder = folder / "site"
        self.folder.mkdir()
        self.manage = [str(self.python), "-W", "error", "manage.py"]
        start = ("-m", "django", "startproject", "mysite")
        run(str(self.python), *start, str(self.folder), env=self.env)
        with (self.folder / "mysite" / "settings.py").open("a") as settings:
            settings.write(SETTINGS)
        (self.folder / "mysite" / "asgi.py").write_text(ASGI)

    def run(self, *command: str) -> str:
        return run(*self.manage, *command, cwd=self.folder, env=self.env)


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"), wheel)


@pytest.fixture(scope="module")
def server(project: Project, services: Services) -> Iterator[tuple[Process, int]]:
    project.run("migrate", "-v", "0")
    project.run("shell", "-c", SEED)
    port = free_port()
    command = [str(project.python), "-m", "daphne", "-p", str(port), "mysite.asgi:application"]
    log = services.folder / f"project-{port}.log"
    process = Process(command, log, cwd=project.folder, env=project.env)
    process.spawn()
    process.wait_ready(lambda: answers(port))
    yield process, port
    process.kill()
    process.show_log()


def test_the_package_is_the_one_from_the_wheel(project: Project, tmp_path: Path) -> None:
    code = "import realtime; print(realtime.__file__)"
    found = run(str(project.python), "-c", code, cwd=tmp_path, env=project.env)
    assert Path(found.strip()).is_relative_to(project.python.parent.parent)


def test_the_wheel_holds_what_a_site_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"realtime", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
    for name in (
        "py.typed",
        "migrations/0001_initial.py",
        "static/realtime/client.js",
        "locale/de/LC_MESSAGES/django.mo",
    ):
        assert f"realtime/{name}" in names
    others = [name for name in names if not name.startswith("realtime/testing/")]
    assert [name for name in others if "test" in name] == ["realtime/pytest_plugin.py"]


def test_the_wheel_has_no_files_of_the_demos_page(wheel: Path) -> None:
    """What a site collects is what a site can use: the browser client, and what the admin needs."""
    names = zipfile.ZipFile(wheel).namelist()
    static = [name for name in names if name.startswith("realtime/static/")]
    assert [name for name in static if not CLIENT_FILE.fullmatch(name)] == []


def test_check_is_clean_and_no_migration_is_missing(project: Project) -> None:
    assert "no issues" in project.run("check")
    project.run("makemigrations", "--check", "--dry-run")


async def test_two_clients_chat(server: tuple[Process, int]) -> None:
    """Connected to Daphne, in a project with nothing but the lines of the README."""
    url = f"ws://127.0.0.1:{server[1]}/ws"
    async with asyncio.timeout(60), Client(url, encoding="json") as alice, Client(url) as bob:
        lobby = await alice.room("lobby").join()
        heard = (await bob.room("lobby").join()).events(MessageEvent)
        ack = await lobby.send("hello from a wheel")
        message = await anext(heard)
        assert (message.content, message.seq, message.id) == ("hello from a wheel", 1, ack.id)
