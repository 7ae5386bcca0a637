"""Settings of the site with topics: those of the demo under test, and one more app."""

from harness.settings import *  # noqa: F403 - settings are read by name
from harness.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "benchmarks.site"]
ASGI_APPLICATION = "benchmarks.site.asgi.application"
