"""The panel of Django Debug Toolbar, in a process of its own: the toolbar must be installed."""

import pytest

from harness.site import Sites, environment, run


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_panel_shows_what_a_request_does(kind: str, sites: Sites) -> None:
    url = sites.database_url(kind)
    env = environment(url, DJANGO_SETTINGS_MODULE="tests.toolbar.settings")
    command = ["-W", "error::ResourceWarning", "-m", "django", "test", "tests.toolbar.case"]
    assert "Found 8 test(s)." in run(*command, "-v", "2", env=env, seconds=100)
