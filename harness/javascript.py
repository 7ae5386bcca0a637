"""The tools of JavaScript: Node, and the packages of `clients/js` and of folders of tests."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from harness.services import missing

PACKAGE = Path(__file__).parent.parent / "clients" / "js"


def find_node(program: str = "", package: Path = PACKAGE) -> list[str]:
    """Return the command of Node, or of a program in one of the packages that a folder needs."""
    node = shutil.which("node")
    if not node:
        missing("node", "no node on the PATH")
    _install(package)
    return [node, *([str(package / "node_modules" / program)] if program else [])]


def _install(package: Path) -> None:
    """Install the packages if they are not those of the lock file, once for all workers."""
    installed, lock = package / "node_modules" / ".installed", package / "package-lock.json"
    with (package / ".npmrc").open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if installed.exists() and installed.read_bytes() == lock.read_bytes():
            return
        npm = shutil.which("npm") or missing("node", "no npm on the PATH")
        command = [npm, "ci", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=package, capture_output=True, text=True)
        if done.returncode:
            missing("node", f"npm cannot install the packages: {done.stderr[-300:]}")
        shutil.copyfile(lock, installed)
