"""The programs that CI runs beside the tests."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).parent.parent / ".ci"
HOLE = {"id": "CVE-1", "fix_versions": ["1.1"]}
SKIPPED = {"name": "b", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        ("", 0, "nothing was looked up"),
        ('{"dependencies": [', 0, "nothing was looked up"),
        (json.dumps({"dependencies": [SKIPPED]}), 0, "nothing was looked up"),
        (
            json.dumps({"dependencies": [SKIPPED, {"name": "a", "version": "1.0", "vulns": []}]}),
            0,
            "1 of 2 packages looked up, 0 holes",
        ),
        (
            json.dumps({"dependencies": [{"name": "a", "version": "1.0", "vulns": [HOLE]}]}),
            1,
            "a 1.0: CVE-1, mended in 1.1",
        ),
    ],
    ids=["offline", "cut off", "unknown", "clean", "hole"],
)
def test_only_a_hole_fails(answer: str, code: int, told: str) -> None:
    """A network that is away is said, and no failure."""
    done = subprocess.run(
        [sys.executable, CI / "holes.py"], input=answer, capture_output=True, text=True
    )
    assert done.returncode == code
    assert told in done.stdout


class Folder:
    """A folder on PATH with programs that say they are some Python."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, name: str, version: str, code: int = 0) -> str:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\necho {version}\nexit {code}\n")
        file.chmod(0o755)
        return str(file)

    def newest(self) -> str:
        done = subprocess.run(
            [sys.executable, CI / "newest_python.py"],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": f"/nowhere:{self.path}", "PYENV_ROOT": str(self.path)},
        )
        return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_newest_declared_python_is_found(folder: Folder) -> None:
    """On PATH and in pyenv; not one that is broken, undeclared or no Python at all."""
    assert folder.newest() == ""
    folder.put("python3.99", "3 99")
    folder.put("python3.98", "a shim that knows no version", code=127)
    folder.put("python3.10-config", "--help")
    assert folder.newest() == ""
    newest = folder.put("versions/3.13.0/bin/python3", "3 13")
    folder.put("python3.12", "3 12")
    is_newest_here = sys.version_info[:2] >= (3, 13)
    assert folder.newest() == ("" if is_newest_here else newest)


def test_hosted_ci_runs_the_same_program() -> None:
    """And its Pythons are those that the project declares."""
    workflow = (CI.parent / ".github/workflows/ci.yml").read_text()
    assert "- run: .ci/run\n" in workflow
    declared = re.findall(r"Python :: (3\.\d+)\"", (CI.parent / "pyproject.toml").read_text())
    [matrix] = re.findall(r"^        python: (\[.*\])$", workflow, re.MULTILINE)
    assert json.loads(matrix) == declared


def test_the_hooks_before_a_commit_are_the_static_checks_of_ci() -> None:
    """With the versions of `.venv`."""
    hooks = (CI.parent / ".pre-commit-config.yaml").read_text()
    commands = re.findall(r"^ *\.venv/bin/(ruff \w+|mypy)", (CI / "run").read_text(), re.MULTILINE)
    entries = re.findall(r"entry: \.venv/bin/(ruff \w+|mypy)", hooks)
    assert entries == commands


PROGRAM = """#!/bin/sh
echo "${0#$ROOT/} $*" >>"$ROOT/calls"
case "$*" in
    *newest_python.py) echo "$ROOT/python3.99" ;;
    "-m venv "*)
        mkdir -p "$3/bin"
        for name in python pip ruff mypy; do cp "$0" "$3/bin/$name"; done ;;
esac
case "${0#$ROOT/} $*" in *"$BROKEN"*) exit 1 ;; esac
"""
STEPS = [
    ".venv/bin/pip install",
    ".venv/bin/ruff check",
    ".venv/bin/mypy",
    ".venv/bin/python manage.py makemigrations",
    ".venv/bin/python -m pytest -n 4",
    ".venv/bin/python -m pytest -m alone",
    ".venv-newest/bin/pip install",
    ".venv-newest/bin/python -m pytest -n 3 --dist worksteal --hypothesis-profile short -m each",
    ".venv/bin/python .ci/holes.py",
]


@pytest.mark.parametrize("broken", ["nothing at all", *STEPS])
def test_each_step_of_ci_counts(tmp_path: Path, broken: str) -> None:
    """Also those that run beside others."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_text((CI / "run").read_text())
    for name in ("python3", "python3.99", "chromium", "npm"):
        (tmp_path / name).write_text(PROGRAM)
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ROOT": str(tmp_path), "BROKEN": broken}
    done = subprocess.run(["bash", tmp_path / ".ci/run"], env=env, capture_output=True, text=True)
    calls = (tmp_path / "calls").read_text()
    if broken in STEPS:
        assert (done.returncode, calls.count(broken)) == (1, 1), done
    else:
        assert done.returncode == 0, done
        assert all(step in calls for step in STEPS)
