"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.services import Services
from tests.site import Demo


@pytest.fixture
def demo(services: Services) -> Iterator[Demo]:
    """The demo as its README starts it."""
    process = Demo(services.folder)
    process.start()
    yield process
    process.kill()
    process.show_log()
