"""Wait for what a test expects, and say what has come instead."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["News", "NotArrived"]

SHOWN = 20
"""The most objects that an error shows, the newest ones."""
SHOWN_CHARACTERS = 300

T = TypeVar("T")


class NotArrived(AssertionError):  # noqa: N818 - reads as the failed assertion
    """What a test waits for has not come in time; the message shows what has."""

    def __init__(self, wanted: str, seconds: float, instead: list[Any]) -> None:
        super().__init__(wanted, seconds, instead)
        self.wanted = wanted
        self.seconds = seconds
        self.instead = instead

    def __str__(self) -> str:
        head = f"{self.wanted} has not come within {self.seconds:g} s."
        if not self.instead:
            return f"{head} Nothing else has come either."
        lines = [f"  {_shown(one)}" for one in self.instead[-SHOWN:]]
        left_out = len(self.instead) - len(lines)
        more = [f"  ({left_out} earlier ones are not shown)"] if left_out else []
        return "\n".join([f"{head} This has come instead:", *more, *lines])


class News:
    """Wakes the one who waits whenever something has come."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake the waiting test."""
        self._event.set()

    async def until(
        self, find: Callable[[], T | None], wanted: str, seconds: float, instead: list[Any]
    ) -> T:
        """Return what `find` returns as soon as that is not None; raise `NotArrived` too late."""
        try:
            async with asyncio.timeout(seconds):
                while (found := find()) is None:
                    self._event.clear()
                    await self._event.wait()
        except TimeoutError:
            raise NotArrived(wanted, seconds, list(instead)) from None
        return found


def _shown(item: Any) -> str:
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=repr)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
