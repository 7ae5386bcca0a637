"""The socket of the demo, with methods of the counters that do nothing.

What is left is one addition for a command, a note or an error, and two for a round of a lane.
"""

import os
from typing import Any

from realtime.counts import Counts, Histogram
from realtime.engine.connections.traffic import Traffic

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.uncounted.settings")


def _skip(*_arguments: Any) -> None:
    """Count nothing."""


for _kind, _names in {
    Counts: ("deliver", "number", "close"),
    Histogram: ("add",),
    Traffic: ("receive", "send", "replace", "enter", "leave"),
}.items():
    for _name in _names:
        setattr(_kind, _name, _skip)

from project.asgi import application  # noqa: E402 - after the counters are replaced

__all__ = ["application"]
