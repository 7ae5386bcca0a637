"""Examine the settings by the system checks."""

from collections.abc import Iterator

from django.core.checks import ERROR, WARNING, run_checks

from .finding import Finding, bad, good, warned

__all__ = ["examine_settings"]


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
