"""A fresh environment that has `realtime` from its wheel, as the one of somebody else."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from harness.site import ROOT

__all__ = ["Environment", "build_wheel", "run"]


class Environment:
    """A virtual environment with the wheel; it sees what is installed here beside `realtime`."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.python = folder / "venv" / "bin" / "python"
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO_", "PYTHON"))
        }
        run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"))
        [packages] = (folder / "venv").glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = (sys.executable, "-m", "pip", "--python", str(self.python))
        run(*pip, "install", "--no-deps", "--quiet", str(wheel))


def build_wheel(source: Path, target: Path) -> Path:
    """Build the wheel from a copy, so that no build folder is left here."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "realtime", source / "realtime", ignore=ignored)
    wheel = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir")
    run(sys.executable, *wheel, str(target), str(source))
    [built] = target.glob("django_channels_realtime-*.whl")
    return built


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command, and return what it prints."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout
