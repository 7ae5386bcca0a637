"""Log lines: of a kind that a thousand clients can cause at most one a second, and no tokens."""

import logging
import re
import time

__all__ = ["NoTokens", "OncePerSecond", "get_logger", "hide_tokens"]

WIRE_LOGGERS = ("uvicorn.error", "uvicorn.access", "websockets.server", "websockets.protocol")
"""Those of servers that write down what comes over the wire, at least at DEBUG."""
SECRETS = re.compile(
    r"""([?&]token=|token"\s*:\s*")[^&\s"']*"""
    r"""|(\bGET [^\s?]*\?)\S*|(\b(?:authorization|cookie):|[<>]\s+BINARY)[^\r\n]*""",
    re.IGNORECASE,
)


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


class NoTokens(logging.Filter):
    """Takes out of a line what could be a token, a cookie or a frame that nobody can read."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line through."""
        text = record.getMessage()
        hidden = SECRETS.sub(r"\1\2\3<hidden>", text)
        if hidden != text:
            record.msg, record.args = hidden, None
        return True


def hide_tokens() -> None:
    """Let no server write down the tokens it is sent, whatever its log level."""
    for name in WIRE_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, NoTokens) for one in logger.filters):
            logger.addFilter(NoTokens())
