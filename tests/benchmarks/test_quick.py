"""The suite runs: real servers, the real load client, one short case."""

import importlib.util
import re

import pytest

from benchmarks.cases import CASES
from benchmarks.contenders import CONTENDERS
from benchmarks.report import UNITS
from harness.services import find_postgres, find_redis, missing
from harness.site import environment, run

CASE = CASES["latency"]
COMMAND = "latency --quick --peers --server daphne"


@pytest.mark.servers
def test_one_quick_case_runs_and_prints_its_table() -> None:
    """It ends with 0, which it does not if anything was lost, doubled or out of order."""
    find_redis()
    find_postgres()
    if not importlib.util.find_spec("uvloop"):
        missing("uvloop", "the load client runs on it")
    printed = run("-m", "benchmarks", *COMMAND.split(), env=environment(""), seconds=300)
    title, head, *rows = (re.split(r"  +", line.strip()) for line in printed.strip().splitlines())
    assert title == [f"latency: {CASE.title}"]
    assert head == [*(UNITS[column] for column in CASE.columns), "spread"]
    ours = [one.label for one in CASE.entries if not CONTENDERS[one.contender].peer]
    assert [row[0] for row in rows] == ours
    assert all(len(row) == len(head) for row in rows)
    assert all(float(cell.replace(",", "")) > 0 for row in rows for cell in row[1:])
