"""The page `docs/python-client.md`: its programs run as they are written."""

import asyncio
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import realtime
from harness.services import wait_until
from harness.site import Site
from realtime.client import OWN_CODES
from realtime.client.sync import Client
from tests.client.scripted import Script

PAGE = (Path(realtime.__file__).parent.parent / "docs/python-client.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[_, COMMANDS] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
ADDRESS = "ws://localhost:8000/ws/"
PK = """
import django; django.setup()
from realtime.models import Room
print(Room.objects.create(slug={slug!r}, kind="public").pk)
"""
FOLLOW = """
import asyncio
asyncio.run(asyncio.wait_for({name}({arguments}), 60))
"""


def program(
    site: Site, number: int, more: str = "", words: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[str]:
    """Start a program of the page, with other words in some places."""
    code = PROGRAMS[number].replace(ADDRESS, f"{site.urls[0]}/") + more
    for word, other in words.items():
        code = code.replace(word, other)
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(run: subprocess.Popen[str]) -> str:
    """Return the next line that a program prints; fail once it has ended."""
    assert run.stdout is not None
    assert run.stderr is not None
    line = run.stdout.readline()
    assert line, run.stderr.read()
    return line.strip()


def is_kept(file: Path, position: int) -> bool:
    return f'"seq": {position}' in file.read_text()


def ended(run: subprocess.Popen[str]) -> str:
    run.kill()
    out, _ = run.communicate(timeout=20)
    return out


def test_the_bot_answers(site: Site) -> None:
    run = program(site, 0)
    with Client(site.urls[1]) as client:
        room = client.room("general").join()
        wait_until(lambda: "Parrot" in room.members.values(), 60, "the bot joins")
        room.send("hello")
        contents = [getattr(event, "content", None) for event in _until(room, "You said: hello")]
    ended(run)
    assert "You said: hello" in contents


def _until(room: object, content: str) -> list[object]:
    found: list[object] = []
    for event in room.listen(timeout=60):  # type: ignore[attr-defined]
        found.append(event)
        if getattr(event, "content", None) == content:
            break
    return found


def test_the_topic_is_followed(site: Site) -> None:
    pk = site.run("-c", PK.format(slug=f"o-{uuid.uuid4().hex[:12]}")).strip()
    code = FOLLOW.format(name="follow", arguments='""')
    run = program(site, 1, code, {"order/7": f"order/{pk}"})
    assert [line_of(run) for _ in range(2)] == ["{'total': 0}", "1 -4"]
    ended(run)


async def test_a_question_is_answered(script: Script) -> None:
    """By a scripted server, as a site must know the id of the connection."""
    space: dict[str, Any] = {"__name__": __name__}
    exec(PROGRAMS[2].replace(ADDRESS, script.url), space)
    serving = asyncio.create_task(space["serve"]("secret"))
    socket = await script.welcomed()
    fields = {"ref": "r", "name": "confirm", "data": {"text": "Restart?"}, "timeout": 20}
    await socket.send({"type": "ask", **fields})
    assert (await socket.expect("answer"))["data"] == {"is_sure": True}
    serving.cancel()
    await asyncio.wait([serving])


def test_a_program_goes_on_where_it_ended(site: Site, tmp_path: Path) -> None:
    slug = f"r-{uuid.uuid4().hex[:12]}"
    site.run("-c", PK.format(slug=slug))
    with Client(site.urls[1]) as client:
        room = client.room(slug).join()
        code = FOLLOW.format(name="index", arguments="")
        shown: list[str] = []
        for number in range(3):
            room.send(str(number))
            run = program(site, 3, code, {"general": slug, "positions.json": f"{tmp_path}/p.json"})
            while not shown or shown[-1] != str(number):
                shown.append(line_of(run))
            if number:
                wait_until(partial(is_kept, tmp_path / "p.json", number), 60, "a kept position")
            ended(run)
    assert shown == ["0", "0", "1", "1", "2"]  # the one that was being handled comes again


def test_the_script_without_async_ends(site: Site) -> None:
    run = program(site, 4)
    out, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (0, "")
    assert "deployed" in out


def test_the_command_lines_run(site: Site, tmp_path: Path) -> None:
    """The chat ends with its input, and `--follow` is cut after its first line."""
    pk = site.run("-c", PK.format(slug=f"o-{uuid.uuid4().hex[:12]}")).strip()
    lines = COMMANDS.replace(ADDRESS, f"{site.urls[0]}/").replace("order/7", f"order/{pk}")
    lines = lines.replace("python -m", f"{sys.executable} -m")
    root = str(Path(realtime.__file__).parent.parent)
    env = os.environ | {"PYTHONPATH": root}
    for line in lines.strip().splitlines():
        command = f"timeout 3 {line} </dev/null" if "--follow" in line else f"{line} </dev/null"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode in ((124,) if "--follow" in line else (0,)), (line, done.stderr)


def test_each_code_is_on_the_page() -> None:
    assert {code for code in OWN_CODES if f"`{code}`" not in PAGE} == set()
