"""Examine the settings by the system checks, and name the versions of the packages."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from django.core.checks import ERROR, WARNING, run_checks

from .finding import Finding, bad, good, warned

__all__ = ["examine_settings", "examine_versions"]

PACKAGES = ("Django", "channels", "channels-redis", "daphne", "msgspec", "psycopg", "redis")


def examine_settings() -> Iterator[Finding]:
    """Run the system checks of this package, also those for a deployment."""
    found = run_checks(tags=["realtime"], include_deployment_checks=True)
    for one in found:
        if one.is_silenced() or one.level < WARNING:
            continue
        mend = f"{one.hint or 'Read docs/checks.md.'} ({one.id})"
        make = bad if one.level >= ERROR else warned
        yield make("settings", str(one.msg), mend)
    if not any(one.level >= WARNING and not one.is_silenced() for one in found):
        yield good("settings", "The system checks find nothing.")


def examine_versions() -> Iterator[Finding]:
    """Name the versions; the system checks know the vulnerable ones."""
    yield good("versions", ", ".join(filter(None, map(_version, PACKAGES))) + ".")


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""
