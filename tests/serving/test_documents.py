"""What docs/deploy.md says of the command."""

import re
from typing import Any

import pytest

from harness.site import ROOT
from realtime.management.commands.realtime_serve import Command
from realtime.serving.supervisor import Code

PAGE = (ROOT / "docs" / "deploy.md").read_text()
PART = PAGE.split("## Several processes on one socket\n")[1].split("\n## ")[0]
UNIT = (ROOT / "docs" / "realtime.service").read_text()
GENERAL = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback"}
GENERAL |= {"--no-color", "--force-color", "--skip-checks"}


def parser() -> Any:
    return Command().create_parser("manage.py", "realtime_serve")


def test_each_option_is_described() -> None:
    named = {name for row in re.findall(r"^\| (`--.*?) \|", PART, re.M) for name in words(row)}
    own = {name for action in parser()._actions for name in action.option_strings}
    assert named | {"--workers"} == {name for name in own if name.startswith("--")} - GENERAL


def words(row: str) -> list[str]:
    return re.findall(r"--[a-z-]+", row.split("=")[0])


def test_each_exit_code_is_described() -> None:
    named = {int(code) for code in re.findall(r"^\| (\d) \|", PART, re.M)}
    assert named == {1, 2, *(value for name, value in vars(Code).items() if name.isupper())}


COMMANDS = [
    *re.findall(r"^manage.py realtime_serve (.*)$", PART, re.M),
    " ".join(re.findall(r'"(.*?)"', re.findall(r"^CMD \[(.*)\]$", PART, re.M)[0])[3:]),
    *re.findall(r"^ExecStart=.* realtime_serve (.*)$", UNIT, re.M),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_accepted(command: str) -> None:
    assert parser().parse_args(command.split()).workers == 2


@pytest.mark.parametrize("name", ["TimeoutStopSec", "terminationGracePeriodSeconds", "stop --time"])
def test_whoever_kills_waits_longer_than_the_grace(name: str) -> None:
    [seconds] = re.findall(rf"{name}[=: ]+(\d+)", UNIT + PART)
    assert int(seconds) > parser().parse_args([]).grace
