"""Wait for conditions in tests, with a deadline."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

__all__ = ["eventually"]


async def eventually(
    condition: Callable[[], Any], timeout: float = 30, what: str = "the condition"
) -> None:
    """Wait until `condition()` is true, looking often at first and then twenty times a second."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout} s")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
