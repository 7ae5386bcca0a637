"""What the figures were measured on."""

import json
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.services import find_redis

__all__ = ["describe"]

PACKAGES = [
    "Django",
    "channels",
    "channels-redis",
    "daphne",
    "autobahn",
    "Twisted",
    "uvicorn",
    "uvloop",
    "psycopg",
    "python-socketio",
    "websockets",
]
NODE = Path(__file__).parent / "peers/node"
COMMANDS = {
    "PostgreSQL": ["postgres", "--version"],
    "Node": ["node", "--version"],
    "nginx": ["nginx", "-v"],
}


def describe(command: list[str]) -> dict[str, object]:
    """The machine, the versions of all that took part, the day, and the command."""
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python -m benchmarks", *command[1:]]),
        "machine": f"{_cpu()}, {_memory()} GiB, {platform.system()} {_kernel()}",
        "versions": {
            "Python": platform.python_version(),
            **_packages(),
            **_node_modules(),
            **_programs(),
        },
    }


def _kernel() -> str:
    """Its version, without what whoever built it has added."""
    return platform.release().partition("-")[0]


def _cpu() -> str:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.processor()


def _memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return round(int(lines[0].split()[1]) / 2**20)


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _node_modules() -> dict[str, str]:
    """What npm has installed for the peers."""
    found = {}
    for name in ("ws", "socket.io", "@socket.io/redis-adapter", "redis"):
        file = NODE / "node_modules" / name / "package.json"
        if file.exists():
            found[f"{name} (npm)"] = json.loads(file.read_text())["version"]
    return found


def _programs() -> dict[str, str]:
    redis = _said([str(find_redis()), "--version"])
    found = {redis.split()[0]: redis}  # or Valkey
    for name, command in COMMANDS.items():
        if shutil.which(command[0]):
            found[name] = _said(command)
    return found


def _said(command: list[str]) -> str:
    """The first line that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().split("\n")[0]
