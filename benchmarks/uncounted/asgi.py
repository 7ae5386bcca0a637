"""The socket of the demo, with methods of the counters that do nothing.

The process still makes one addition for a command, a note or an error, and two for a round of a
lane.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.uncounted.settings")

from project.asgi import application

from .patch import stop_counting

__all__ = ["application"]

stop_counting()
