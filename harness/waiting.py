"""Wait for conditions in tests, with a deadline."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

__all__ = ["eventually"]


async def eventually(
    condition: Callable[[], Any], timeout: float = 30, what: str = "the condition"
) -> None:
    """Wait until `condition()` is true, looking twenty times a second."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout} s")
        await asyncio.sleep(0.05)
