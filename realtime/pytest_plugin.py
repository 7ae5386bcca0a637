"""The plugin of pytest: run async tests as Django's `TestCase` runs its own.

It is loaded in every project of an environment, so it imports nothing of Django before a test needs
it.
"""

import inspect
from typing import Any

import pytest

__all__ = ["pytest_configure", "pytest_pyfunc_call"]

MARKER = (
    "realtime: run an async test as a TestCase of Django does, so that it sees what fixtures have"
    " written in the transaction of the test"
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run an async test with the marker `realtime`; leave all others to other plugins.

    The loop runs in a thread of its own, and the database work in that of the test. pytest-asyncio
    has it the other way around, so the connection of its tests is not that of their fixtures.
    """
    if pyfuncitem.get_closest_marker("realtime") is None:
        return None
    function = _async_function(pyfuncitem.obj)
    if function is None:
        return None
    from asgiref.sync import async_to_sync

    names = pyfuncitem._fixtureinfo.argnames
    async_to_sync(function)(**{name: pyfuncitem.funcargs[name] for name in names})
    return True


def _async_function(function: Any) -> Any | None:
    """Return the test itself; pytest-asyncio has wrapped those that it runs."""
    for candidate in (function, getattr(function, "__wrapped__", None)):
        if inspect.iscoroutinefunction(candidate):
            return candidate
    return None
