"""Both clients keep the promises of the protocol, and a client that does not is found."""

import re
import shlex
import sys
from pathlib import Path

import pytest

import realtime
from harness.javascript import PACKAGE, find_node
from realtime.conformance.__main__ import main
from realtime.conformance.runner import Result, run_all
from realtime.conformance.scenario import Scenario, groups, load

ROOT = Path(realtime.__file__).parent.parent
PAGE = (ROOT / "docs/conformance.md").read_text()
PYTHON = [sys.executable, "-m", "realtime.conformance.python_driver"]
SECONDS = 20.0


async def results(
    command: list[str], scenarios: list[Scenario] | None = None, seconds: float = SECONDS
) -> list[Result]:
    chosen = load() if scenarios is None else scenarios
    return [one async for one in run_all(chosen, command, seconds)]


def skipped(found: list[Result]) -> set[str]:
    return {one.scenario.name for one in found if one.skipped}


async def test_the_python_client_passes() -> None:
    found = await results(PYTHON)
    assert [one for one in found if one.fault] == []
    lacking = {one.name for one in load() if one.group in ("store", "http")}
    assert skipped(found) == {"a-gap-is-filled-first-by-pages"} | lacking


def test_the_small_client_of_plain_http_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """As the page starts it."""
    [command] = re.findall(r"^python -m realtime.conformance (--group http .*)$", PAGE, re.M)
    assert main(shlex.split(command.replace('"python ', f'"{sys.executable} '))) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")]
    assert [line.split()[1].rstrip(":") for line in lines] == [
        "http/a-call-over-a-request-that-is-cut-is-not-repeated",
        "http/a-network-without-sockets",
    ]


async def test_the_browser_client_passes() -> None:
    """As it is built. Browsers refuse a server without a subprotocol themselves."""
    found = await results([*find_node(), str(PACKAGE / "conformance.js")])
    assert [one for one in found if one.fault] == []
    assert skipped(found) == {
        "a-gap-is-filled-first-by-a-join",
        "no-subprotocol-means-one-object-a-frame",
    }


SMALLER = {
    "core": {"frames", "handshake", "heartbeat", "identity"},
    "topics": {"frames", "handshake", "heartbeat", "identity", "topic"},
}


@pytest.mark.parametrize("file", SMALLER)
async def test_a_smaller_browser_client_passes_what_it_has(file: str) -> None:
    found = await results([*find_node(), str(PACKAGE / "conformance.js"), file])
    assert [one for one in found if one.fault] == []
    assert {one.scenario.group for one in found if not one.skipped} == SMALLER[file]


OVER_HTTP = ["poll", "fallback", "one-line", "anew-by-join"]
DOES_NOTHING = """
import json, sys
print(json.dumps({"ready": %s}), flush=True)
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "close":
        print(json.dumps({"settled": command["id"]}), flush=True)
"""


async def test_a_client_that_does_nothing_passes_no_scenario() -> None:
    able = [*groups(), "plain-json", "gaps-by-join", "gaps-by-history", "clock", *OVER_HTTP]
    code = DOES_NOTHING % repr(able)
    found = await results([sys.executable, "-c", code.replace("'", '"')], seconds=0.05)
    assert [one.scenario.name for one in found if not one.fault] == []


FORGETFUL = """
from realtime.wire.position import Order, Position
Position.judge = lambda self, seq, first: Order.NEXT
import asyncio
from realtime.conformance.python_driver import main
asyncio.run(main())
"""


async def test_a_client_that_takes_repeats_and_gaps_is_found() -> None:
    scenarios = [one for one in load() if one.group == "log"]
    found = await results([sys.executable, "-c", FORGETFUL], scenarios, seconds=1)
    failed = {one.scenario.name for one in found if one.fault}
    assert {"repeats-are-dropped", "a-gap-is-filled-first-by-a-join"} <= failed
    assert "events-come-in-order" not in failed


DOUBLING = """
from realtime.conformance.http_client import HttpClient
show = HttpClient._show
def show_again(self, room, message):
    self._rooms[room]["seq"] = 0
    show(self, room, message)
HttpClient._show = show_again
import asyncio
from realtime.conformance.http_driver import main
asyncio.run(main())
"""


async def test_a_client_of_plain_http_that_takes_repeats_is_found() -> None:
    scenarios = [one for one in load() if one.group == "http"]
    found = await results([sys.executable, "-c", DOUBLING], scenarios, seconds=1)
    failed = {one.scenario.name for one in found if one.fault}
    assert {"events-come-over-a-stream", "the-next-stream-goes-on"} <= failed
    assert "comments-are-no-events" not in failed


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("", "has ended"),
        ("print('hello')", "something else"),
        ('print(\'{"ready": ["heartbeat"]}\'); print("[]"); input()', "something else"),
    ],
    ids=["silent", "no JSON", "no object"],
)
async def test_a_driver_that_speaks_something_else_is_a_fault(code: str, why: str) -> None:
    scenarios = [one for one in load() if one.needs == {"heartbeat"}]
    found = await results([sys.executable, "-c", code], scenarios)
    assert len(found) == len(scenarios)
    assert all(why in one.fault for one in found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not valid"),
        ('[{"name": "a"}]', "steps"),
        ('[{"name": "a", "steps": [{}]}]', "step 1"),
        ('[{"name": "a", "steps": [{"told": [], "raw": ""}]}]', "step 1"),
        ('[{"name": "a", "steps": [], "later": 1}]', "later"),
    ],
)
def test_a_file_that_is_no_scenario_is_an_error(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=why):
        load(tmp_path)


def test_names_of_scenarios_are_unique() -> None:
    names = [(one.group, one.name) for one in load()]
    assert len(names) == len(set(names))


def test_the_command_line_tells_each_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    driver = " ".join(PYTHON)
    assert main(["--driver", driver, "--group", "heartbeat"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"
    assert main(["--driver", f"{sys.executable} -c ''", "--scenario", "removed"]) == 1
    assert "failed  join/removed: The driver has ended." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--driver", "no-such-driver"], ["--scenario", "x"]])
def test_wrong_arguments_are_told(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


async def test_the_driver_of_the_page_passes_what_it_can(tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code.count("\n") <= 60
    driver = tmp_path / "mine.py"
    driver.write_text(code)
    found = await results([sys.executable, str(driver)])
    passed = {one.scenario.group for one in found if not one.skipped}
    assert [one for one in found if one.fault] == []
    assert passed == {"heartbeat"}


def test_the_page_names_each_group() -> None:
    section = PAGE.partition("## Groups\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == groups()


def test_the_page_names_the_number_of_scenarios() -> None:
    assert re.findall(r"^(\d+) scenarios", PAGE, re.MULTILINE) == [str(len(load()))]
