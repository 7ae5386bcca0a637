"""Print the newest Python that the project declares and this machine has, if newer than this one.

It looks on PATH and among the versions of pyenv. Prints nothing where there is none.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
ASK = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
Version = tuple[int, int]


def declared() -> set[Version]:
    """Return the versions that pyproject.toml names as supported."""
    classifiers = tomllib.loads(PROJECT.read_text())["project"]["classifiers"]
    found = (
        re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", one) for one in classifiers
    )
    return {(3, int(one[1])) for one in found if one}


def candidates() -> Iterator[Path]:
    """Yield files that may be a Python."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.*/bin/python3"))
    for folder in filter(None, os.environ.get("PATH", "").split(os.pathsep)):
        yield from sorted(Path(folder).glob("python3.[0-9]*"))


def version(python: Path) -> Version | None:
    """Return the version of a Python that can make environments; None of anything else."""
    try:
        done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.fullmatch(r"(\d+) (\d+)", done.stdout.strip())
    return (int(match[1]), int(match[2])) if match and done.returncode == 0 else None


def newest() -> Path | None:
    """Return the newest declared Python that is newer than this one."""
    wanted = {one for one in declared() if one > sys.version_info[:2]}
    found = {version(path): path for path in candidates()}
    return max(((one, path) for one, path in found.items() if one in wanted), default=(0, None))[1]


if __name__ == "__main__":
    if python := newest():
        print(python)
