"""Checks whether the files of this package are its own.

Another distribution on PyPI is called `realtime` and installs into the same folder. pip does not
notice that one overwrites the other, or that uninstalling one takes files of the other.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distributions
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, register

__all__ = ["check_package"]

OURS = "django-channels-realtime"
FOLDER = "realtime"
MEND = f'"pip uninstall realtime" and "pip install --force-reinstall --no-deps {OURS}"'
NAMED = 3


@register("realtime")
def check_package(**kwargs: Any) -> list[CheckMessage]:
    """E017 no other distribution in this package's folder; E019 all files as installed."""
    here = Path(__file__).parent.parent
    found = [one for one in distributions() if _is_at(one, here)]
    others = sorted({_name(one) for one in found} - {OURS})
    ours = next((one for one in found if _name(one) == OURS), None)
    return [*_overlaps(others), *(_broken(_own_files(ours)) if ours else [])]


def _is_at(distribution: Distribution, folder: Path) -> bool:
    """Whether it has installed files into this folder; an editable installation has none."""
    # The list of files is read only where the name of the package stands in it.
    record = distribution.read_text("RECORD") or distribution.read_text("installed-files.txt")
    if f"{FOLDER}/__init__.py" not in (record or ""):
        return False
    files = distribution.files or []
    return any(
        one.as_posix() == f"{FOLDER}/__init__.py"
        and Path(str(one.locate())).parent.resolve() == folder.resolve()
        for one in files
    )


def _name(distribution: Distribution) -> str:
    try:
        return str(distribution.metadata["Name"]).lower().replace("_", "-")
    except (PackageNotFoundError, KeyError):
        return "?"


def _own_files(distribution: Distribution) -> list[PackagePath]:
    return [one for one in distribution.files or [] if one.parts[0] == FOLDER and one.hash]


def _overlaps(others: Iterable[str]) -> Iterator[CheckMessage]:
    for name in others:
        text = f"The distribution {name!r} is installed into the folder of {OURS}."
        hint = f"One has overwritten files of the other. Run {MEND}."
        yield Error(text, hint=hint, id="realtime.E017")


def _broken(files: Iterable[PackagePath]) -> Iterator[CheckMessage]:
    wrong = [str(one) for one in files if not _is_intact(one)]
    if wrong:
        more = len(wrong) - NAMED
        names = ", ".join(wrong[:NAMED]) + (f" and {more} more" if more > 0 else "")
        text = f"Files of {OURS} are missing or are not those that were installed: {names}."
        hint = f"Another distribution may have overwritten or removed them. Run {MEND}."
        yield Error(text, hint=hint, id="realtime.E019")


def _is_intact(file: PackagePath) -> bool:
    if file.hash is None or file.hash.mode != "sha256":
        return True
    try:
        content = Path(str(file.locate())).read_bytes()
    except OSError:
        return False
    digest = urlsafe_b64encode(sha256(content).digest()).decode().rstrip("=")
    return digest == file.hash.value
