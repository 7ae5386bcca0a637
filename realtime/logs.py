"""Log lines that a thousand clients can cause: each kind at most once a second."""

import logging
import time

__all__ = ["OncePerSecond", "get_logger"]


class OncePerSecond(logging.Filter):
    """Lets one line of a kind through each second, and has the next one tell how many were not.

    A kind is the text before its values are filled in, and what `extra={"kind": ...}` adds to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[object, object], float] = {}
        self._left_out: dict[tuple[object, object], int] = {}

    def forget(self) -> None:
        """Begin anew, as if nothing had been told."""
        self._last.clear()
        self._left_out.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is told."""
        kind = record.msg, getattr(record, "kind", None)
        now = time.monotonic()
        if now - self._last.get(kind, -1.0) < 1:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        self._last[kind] = now
        if more := self._left_out.pop(kind, 0):
            record.msg = f"{record.msg} (and {more} more)"
        return True


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, which tells each kind of line at most once a second."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, OncePerSecond) for one in logger.filters):
        logger.addFilter(OncePerSecond())
    return logger
