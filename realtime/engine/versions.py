"""The versions of Python and of the packages that a process runs with."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from .. import __version__

__all__ = ["versions"]

PACKAGES = (
    "Django",
    "channels",
    "channels-redis",
    "daphne",
    "uvicorn",
    "Twisted",
    "msgspec",
    "msgpack",
    "psycopg",
    "redis",
)


@cache
def versions() -> dict[str, str]:
    """Return the versions by name; packages that are not installed are left out."""
    found = {"realtime": __version__, "Python": platform.python_version()}
    return found | {name: text for name in PACKAGES if (text := _version(name))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
