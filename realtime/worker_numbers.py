"""The numbers of a worker, which it shares with the other workers of its supervisor."""

import asyncio
import atexit
import os
from collections.abc import Mapping
from functools import cache

import msgspec

from .conf import config
from .engine.engine import Engine
from .engine.numbers import Numbers, read
from .logs import get_logger
from .shared_numbers import OwnNumbers

__all__ = ["ALONE", "all_numbers", "own_numbers", "share"]

logger = get_logger("realtime.serve")

EVERY_SECONDS = 1.0
ALONE = ""
"""The name of a process that shares its numbers with no other one."""


@cache
def own_numbers() -> OwnNumbers | None:
    """Return the file of this worker, if its supervisor wants one."""
    return OwnNumbers.of(os.environ)


def share(loop: asyncio.AbstractEventLoop) -> None:
    """Write the numbers of this worker each second, and at its end; not without `METRICS`."""
    if config().metrics and (own := own_numbers()) is not None:
        atexit.register(lambda: _write(own, read(None)))
        _share_again(loop, own)


def all_numbers(numbers: Numbers) -> Mapping[str, Numbers]:
    """Return the numbers of all workers by their places; those of this process are given.

    It reads files. No counter ever decreases from one call to the next, in any worker. So raises
    `OSError` or `ValueError` if they cannot be read: numbers of one worker would look like that.
    """
    own = own_numbers()
    if own is None:
        return {ALONE: numbers}
    _write(own, numbers)  # without that, the last ones that were written count
    found = own.shared.read()
    return {str(place): msgspec.convert(one, Numbers) for place, one in found.items()}


def _share_again(loop: asyncio.AbstractEventLoop, own: OwnNumbers) -> None:
    loop.run_in_executor(None, _write, own, read(Engine.here()))
    loop.call_later(EVERY_SECONDS, _share_again, loop, own)


def _write(own: OwnNumbers, numbers: Numbers) -> None:
    try:
        # Not by `at`: the clock of the host may be set back by hours.
        own.write(msgspec.json.encode(numbers), numbers.cpu_seconds)
    except OSError as error:
        logger.warning("the numbers of this worker are not shared: %r", error)
