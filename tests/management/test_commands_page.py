"""docs/commands.md: each example runs, and the tables are true."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import load_command_class

from realtime.management import operation
from realtime.models import Message, Room
from tests.management.conftest import run

PAGE = (Path(__file__).parents[2] / "docs/commands.md").read_text()
COMMANDS = Path(operation.__file__).parent / "commands"
EXAMPLES = re.findall(r"^manage\.py (.+)$", PAGE, re.MULTILINE)


def test_the_page_has_every_command() -> None:
    """A section each, except for the two that another page describes."""
    names = sorted(file.stem for file in COMMANDS.glob("realtime_*.py"))
    assert sorted(re.findall(r"^\| \[`(realtime_\w+)`\]", PAGE, re.MULTILINE)) == names
    sections = re.findall(r"^## `(realtime_\w+)`$", PAGE, re.MULTILINE)
    assert sorted([*sections, "realtime_schema", "realtime_serve"]) == names


def test_the_page_has_every_exit_code() -> None:
    codes = re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE)
    names = (operation.FAILED, operation.WRONG, operation.UNAVAILABLE, operation.INTERRUPTED)
    assert [int(code) for code in codes] == [0, *names]


def test_the_page_names_options_that_exist() -> None:
    for name in re.findall(r"^## `(realtime_\w+)`$", PAGE, re.MULTILINE):
        section = PAGE.split(f"## `{name}`\n")[1].split("\n## ")[0]
        parser = load_command_class("realtime", name).create_parser("manage.py", name)
        known = {option for action in parser._actions for option in action.option_strings}
        assert set(re.findall(r"(--[a-z-]+)", section)) <= known, name


def stop(command: operation.Operation, seconds: float) -> None:
    """Press Ctrl-C in place of waiting."""
    command._is_stopping = True


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only notices need other processes, and a shared channel layer."""
    monkeypatch.chdir(tmp_path)
    Room.objects.create(slug="general")
    User.objects.create(username="ada")
    [line] = re.findall(r"```json\n(.+)\n```", PAGE)
    Path("old.jsonl").write_text(line)
    name, *arguments = shlex.split(example)
    monkeypatch.setattr("realtime.doctor.address.OPEN_SECONDS", 1)
    monkeypatch.setattr("realtime.management.commands.realtime_status.Command._wait", stop)
    arguments = [one.replace("wss://example.com", "ws://127.0.0.1:1") for one in arguments]
    ran: Any = run(name, *arguments)
    is_notice = name == "realtime_broadcast" and "--message" not in arguments
    # No server process runs, which is what two commands are about.
    expected = 3 if is_notice else int(name in ("realtime_doctor", "realtime_status"))
    assert ran.code == expected, ran.error
    if name == "realtime_import":
        stored = Message.objects.values_list("content", flat=True)
        assert list(stored) == [json.loads(line)["content"]][: "--dry-run" not in arguments]
