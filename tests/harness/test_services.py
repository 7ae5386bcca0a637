"""The processes that tests start."""

import sys
from pathlib import Path

import pytest

from harness.services import Process
from harness.waiting import eventually

PARENT = """
import subprocess, time
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
time.sleep({seconds})
"""


@pytest.mark.servers
@pytest.mark.parametrize("seconds", [0, 60])
async def test_the_workers_of_a_killed_server_end_as_well(tmp_path: Path, seconds: int) -> None:
    """Nothing is left running after the tests, even where the server has ended before."""
    parent = Process([sys.executable, "-c", PARENT.format(seconds=seconds)], tmp_path / "log")
    parent.spawn()
    await eventually(lambda: parent.log().endswith("\n"))
    parent.kill()
    await eventually(lambda: not is_running(int(parent.log())))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # nobody may reap it in a container
