"""Check whether the files of this package are its own.

Another distribution on PyPI is called `realtime` and installs into the same folder. pip does not
notice that one overwrites the other, or that uninstalling one takes files of the other.
"""

import csv
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, register

__all__ = ["check_package"]

OURS = "django-channels-realtime"
FOLDER = "realtime"
REPAIR = f'"pip uninstall realtime" and "pip install --force-reinstall --no-deps {OURS}"'
NAMED = 3


@register("realtime")
def check_package(**kwargs: Any) -> list[CheckMessage]:
    """Check for another distribution in this folder (E017), and for changed files (E019)."""
    here = Path(__file__).parent.parent
    found = [one for one in distributions() if _is_at(one, here)]
    others = sorted({_name(one) for one in found} - {OURS})
    ours = next((one for one in found if _name(one) == OURS), None)
    return [*_overlaps(others), *(_broken(ours) if ours else [])]


def _is_at(distribution: Distribution, folder: Path) -> bool:
    """Return whether a distribution installed files here; an editable installation has none."""
    init = f"{FOLDER}/__init__.py"
    is_there = any(path == init for path, _ in _recorded(distribution))
    return is_there and _path_of(distribution, init).parent.resolve() == folder.resolve()


def _recorded(distribution: Distribution) -> Iterator[tuple[str, str]]:
    """Return the paths and hashes in its record; `files` omits missing ones on Python 3.13."""
    record = distribution.read_text("RECORD") or ""
    if f"{FOLDER}/__init__.py" in record:  # most records need no parsing
        for path, digest, *_ in csv.reader(record.splitlines()):
            yield path, digest


def _path_of(distribution: Distribution, path: str) -> Path:
    return Path(str(distribution.locate_file(path)))


def _name(distribution: Distribution) -> str:
    return str(distribution.metadata["Name"]).lower().replace("_", "-")


def _overlaps(others: Iterable[str]) -> Iterator[CheckMessage]:
    for name in others:
        text = f"The distribution {name!r} is installed into the folder of {OURS}."
        hint = f"One has overwritten files of the other. Run {REPAIR}."
        yield Error(text, hint=hint, id="realtime.E017")


def _broken(ours: Distribution) -> Iterator[CheckMessage]:
    own = [(path, digest) for path, digest in _recorded(ours) if path.startswith(f"{FOLDER}/")]
    wrong = [path for path, digest in own if not _is_intact(_path_of(ours, path), digest)]
    if wrong:
        more = len(wrong) - NAMED
        names = ", ".join(wrong[:NAMED]) + (f" and {more} more" if more > 0 else "")
        text = f"Files of {OURS} are missing or are not those that were installed: {names}."
        hint = f"Another distribution may have overwritten or removed them. Run {REPAIR}."
        yield Error(text, hint=hint, id="realtime.E019")


def _is_intact(file: Path, recorded: str) -> bool:
    kind, _, wanted = recorded.partition("=")
    if kind != "sha256":  # compiled files have none
        return True
    try:
        found = sha256(file.read_bytes()).digest()
    except OSError:
        return False
    return urlsafe_b64encode(found).decode().rstrip("=") == wanted
