"""Programs in forks: they are as alone as those that Python starts."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.fork_server import Fork, ForkServer
from harness.site import ROOT
from harness.waiting import eventually
from tests.harness.test_services import is_running

pytestmark = pytest.mark.servers
STATE = """
import json, os, resource, sys, threading
print(json.dumps({
    "arguments": sys.argv,
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "leads": os.getpgid(0) == os.getpid(),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "threads": threading.active_count(),
    "open": sorted(os.listdir("/proc/self/fd")),
    "input": sys.stdin.read(),
    "modules": list(sys.modules),
}))
"""
WAIT = "import time; print('up', flush=True); time.sleep(60)"
PARENT = """
import os, sys
from pathlib import Path
from harness.fork_server import ForkServer
forks = ForkServer(Path(sys.argv[1]))
code = "import time; time.sleep(60)"
print(forks.start(["-c", code], env={}, cwd=Path("/"), log=Path(os.devnull)).pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Started once, as for the other tests."""
    made = ForkServer(tmp_path_factory.mktemp("forks"))
    yield made
    made.stop()


def start(forks: ForkServer, log: Path, *arguments: str) -> Fork:
    return forks.start(arguments, env={"NAME": "value"}, cwd=log.parent, log=log)


def test_a_fork_has_what_a_new_process_would_have(forks: ForkServer, tmp_path: Path) -> None:
    """Its own environment, folder and group, and no files or threads of others."""
    log = tmp_path / "log"
    assert start(forks, log, "-c", STATE, "one", "two").wait(30) == 0
    state = json.loads(log.read_text())
    assert state["arguments"] == ["-c", "one", "two"]
    assert state["folder"] == str(tmp_path)
    assert state["environment"] == {"NAME": "value"}
    assert (state["leads"], state["threads"], state["input"]) == (True, 1, "")
    assert state["files"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))
    assert state["open"] == ["0", "1", "2", "3"]  # the last one is the folder that it lists


def test_a_fork_has_imported_nothing_that_depends_on_settings(
    forks: ForkServer, tmp_path: Path
) -> None:
    """Nor code of the site, of which it may run another release, nor the reactor of Twisted."""
    log = tmp_path / "log"
    start(forks, log, "-c", STATE).wait(30)
    modules = json.loads(log.read_text())["modules"]
    assert "django.db.models" in modules
    assert not {"django.contrib.auth.models", "twisted.internet.reactor"} & set(modules)
    assert not {"realtime", "project", "harness", "tests"} & {
        name.partition(".")[0] for name in modules
    }


def test_a_module_and_a_file_run_as_programs(forks: ForkServer, tmp_path: Path) -> None:
    """Each finds the modules beside it, as with a Python of its own."""
    (tmp_path / "beside.py").write_text("WORD = 'found'")
    program = tmp_path / "program.py"
    program.write_text("import sys, beside; print(__name__, beside.WORD, sys.argv[1:])")
    for number, command in enumerate([("-m", "program", "a"), (str(program), "a")]):
        log = tmp_path / f"log-{number}"
        assert start(forks, log, *command).wait(30) == 0
        assert log.read_text() == "__main__ found ['a']\n"


@pytest.mark.parametrize(
    ("code", "expected", "shown"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise ValueError('broken')", 1, "ValueError: broken\n"),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("import atexit; atexit.register(print, 'at the end')", 0, "at the end\n"),
        ("import os, threading; threading.Thread(target=print, args=['later']).start()", 0, "r\n"),
    ],
    ids=["exit", "error", "signal", "atexit", "thread"],
)
def test_a_fork_ends_as_a_process_does(
    forks: ForkServer, tmp_path: Path, code: str, expected: int, shown: str
) -> None:
    log = tmp_path / "log"
    fork = start(forks, log, "-c", code)
    assert fork.wait(30) == fork.poll() == fork.wait() == expected
    assert log.read_text().endswith(shown)


async def test_a_fork_can_be_signalled(forks: ForkServer, tmp_path: Path) -> None:
    """Two run at the same time, and a wait has a limit."""
    fork, other = (start(forks, tmp_path / name, "-c", WAIT) for name in "ab")
    for name in "ab":
        await eventually(lambda name=name: (tmp_path / name).read_text() == "up\n")  # type: ignore[misc]
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.01)
    fork.send_signal(signal.SIGTERM)
    assert fork.wait(30) == -signal.SIGTERM
    fork.send_signal(signal.SIGTERM)  # of which nothing comes
    assert other.poll() is None
    os.killpg(other.pid, signal.SIGKILL)
    assert other.wait(30) == -signal.SIGKILL


def test_a_program_can_be_run_to_its_end(forks: ForkServer, tmp_path: Path) -> None:
    """What it prints is kept apart; one that is late is killed."""
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(2)"
    done = forks.run(["-c", code], env={}, cwd=tmp_path, seconds=30)
    assert (done.returncode, done.stdout, done.stderr) == (2, "out\n", "err\n")
    with pytest.raises(subprocess.TimeoutExpired):
        forks.run(["-c", WAIT], env={}, cwd=tmp_path, seconds=0.01)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_forks_end_with_the_tests(end: int, tmp_path: Path) -> None:
    """However these end."""
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True) as tests:
        assert tests.stdout
        pid = int(tests.stdout.readline())
        assert is_running(pid)
        tests.send_signal(end)
    await eventually(lambda: not is_running(pid))
