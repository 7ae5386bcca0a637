"""Settings of the demo that does not count."""

from harness.settings import *  # noqa: F403 - settings are read by name

ASGI_APPLICATION = "benchmarks.uncounted.asgi.application"
