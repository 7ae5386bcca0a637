"""The examples are tested as a site tests its own topics: by the test kit and its plugin."""

from realtime.pytest_plugin import pytest_configure, pytest_pyfunc_call

__all__ = ["pytest_configure", "pytest_pyfunc_call"]
