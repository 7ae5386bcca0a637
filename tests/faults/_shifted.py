"""The site on a clock that is wrong by REALTIME_TEST_CLOCK seconds."""

import os
import time
from datetime import timedelta

from django.utils import timezone

SHIFT = float(os.environ["REALTIME_TEST_CLOCK"])
_time, _now = time.time, timezone.now
# Before anything of the site is imported, so that all of it has them by these names.
time.time = lambda: _time() + SHIFT
timezone.now = lambda: _now() + timedelta(seconds=SHIFT)

from project.asgi import application  # noqa: E402

__all__ = ["application"]
