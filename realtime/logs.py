"""Logging: at most one line of a kind a second, without tokens, each on one line."""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

from .log_fields import add_fields

__all__ = [
    "MaskingFactory",
    "NoTokens",
    "OncePerSecond",
    "count_or_pass",
    "get_logger",
    "hide_tokens",
    "one_line",
]

WIRE_LOGGERS = (
    "uvicorn.error",
    "uvicorn.access",
    "uvicorn.asgi",
    "websockets.server",
    "websockets.protocol",
    "gunicorn.access",
    "gunicorn.error",
    "hypercorn.access",
    "hypercorn.error",
    "granian.access",
    "django.server",
    "django.channels.server",
    "daphne.server",
)
"""Loggers of servers that write what clients send, at least at DEBUG."""
ONE_LINE = frozenset((*WIRE_LOGGERS, "daphne.ws_protocol", "daphne.http_protocol"))
"""Loggers of other packages whose lines contain what clients send."""
PERCENT = "%(?:25)*"
"""The start of a percent-encoded character, also in a URL that is encoded in another one."""


def _encoded(text: str) -> str:
    """Return a pattern for a text whose characters may be percent-encoded."""
    return "".join(f"(?:{one}|{PERCENT}{ord(one):x})" for one in text)


PARAMETER = _encoded("token=")
ADDRESS = re.compile(
    rf"""((?:^|[?&]|{PERCENT}(?:3f|26)){PARAMETER}|\brealtime\.token\.)[^&\s"']+""",
    re.IGNORECASE,
)
"""A token among the parameters of a URL, or among the subprotocols."""
LINE = re.compile(
    rf"""((?<![\w.-]){PARAMETER}|\bbearer\s+|token"\s*:\s*")[^&\s"']+"""
    r"""|(\b(?:authorization|cookie):|[<>]\s+(?:BINARY|CONT)"""
    r"""|[<>]\s+TEXT(?=.*(?:auth|oken|\\|\.\.\.)))[^\r\n]*""",
    re.IGNORECASE,
)
"""Other tokens in the lines of a server. A shortened frame may contain the end of a token."""
SECRET_FIELDS = re.compile(r"\{(?:proxy-)?(?:authorization|(?:set-)?cookie)\}[io]", re.IGNORECASE)
"""Headers among the arguments of the access logs of Gunicorn and Hypercorn."""
HIDDEN = "<hidden>"


UNPRINTED = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that begin a line, control a terminal, change the direction of text, or cannot be
encoded; not the tab.
"""
OWN = "realtime"


class OncePerSecond(logging.Filter):
    """Passes one line of a kind each second; the next one says how many were left out.

    A kind is the text before formatting, with the value of `extra={"kind": ...}`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[object, object], float] = {}
        self._left_out: dict[tuple[object, object], int] = {}

    def reset(self) -> None:
        """Start again, as if no line had been written."""
        self._last.clear()
        self._left_out.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether this line is written."""
        text, kind = record.msg, getattr(record, "kind", None)
        if not self.count_or_pass(text, kind):
            return False
        self._last[text, kind] = time.monotonic()
        if more := self._left_out.pop((text, kind), 0):
            record.msg = f"{record.msg} (and {more} more)"
        return True

    def count_or_pass(self, text: object, kind: object) -> bool:
        """Return whether a line of this kind would be written now; count it if it would not."""
        if time.monotonic() - self._last.get((text, kind), -1.0) >= 1:
            return True
        self._left_out[text, kind] = self._left_out.get((text, kind), 0) + 1
        return False


def get_logger(name: str) -> logging.Logger:
    """Return a logger that writes each kind of line at most once a second."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, OncePerSecond) for one in logger.filters):
        logger.addFilter(OncePerSecond())
    return logger


def count_or_pass(logger: logging.Logger, level: int, text: str, kind: object) -> bool:
    """Return whether a line would be written now; if not, it needs no record.

    Call it before a line that clients can cause in any number: making a record costs more than
    answering them. A line that is left out counts as one that `OncePerSecond` has stopped.
    """
    if not logger.isEnabledFor(level):
        return False
    limits = [one for one in logger.filters if isinstance(one, OncePerSecond)]
    return all(one.count_or_pass(text, kind) for one in limits)


class NoTokens(logging.Filter):
    """Masks tokens, cookies and unreadable frames in the lines of a server's logger.

    `args` keep their number and types, because the formatters of servers use them. Only if an
    object among them contains a token is the line replaced by its masked text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the line, and pass it."""
        _mask_parts(record, _in_line)
        # Lines that Twisted logs through Daphne's logger become text only when written.
        if not isinstance(record.msg, str) or not _is_text(record.args):
            text = record.getMessage()
            hidden = _in_line(text)
            if hidden != text:
                record.msg, record.args = hidden, ()
        return True


class MaskingFactory:
    """Makes log records as `make` does, and masks tokens in URLs.

    Middleware, error reporters and other servers log URLs through loggers of their own. Only
    strings are examined, because formatting an object could run a query.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Make a record."""
        record = self._make(*args, **kwargs)
        _mask_parts(record, _in_address)
        name = record.name or ""  # `logging.makeLogRecord` sets it later
        if name in ONE_LINE or name.startswith(f"{OWN}."):
            _put_on_one_line(record)
        if name.startswith(f"{OWN}."):
            add_fields(record, one_line)
        return record


def hide_tokens() -> None:
    """Keep tokens out of all logs of this process, with every server and at every level."""
    for name in WIRE_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, NoTokens) for one in logger.filters):
            logger.addFilter(NoTokens())
    make = logging.getLogRecordFactory()
    if not isinstance(make, MaskingFactory):
        logging.setLogRecordFactory(MaskingFactory(make))
    _mask_daphne()


def _mask_daphne() -> None:
    """Mask the access log of Daphne, which bypasses all loggers."""
    access = sys.modules.get("daphne.access")
    if access is None or hasattr(access, "realtime_masks"):
        return
    access.realtime_masks = True  # type: ignore[attr-defined]
    write = access.AccessLogGenerator.write_entry

    def write_entry(self: Any, host: Any, date: Any, request: str, *args: Any, **more: Any) -> None:
        write(self, one_line(str(host)), date, one_line(_in_address(request)), *args, **more)

    access.AccessLogGenerator.write_entry = write_entry


class _OneLine:
    """An argument of a record whose text fails, or contains line breaks or control characters."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return self._shown(str)

    def __repr__(self) -> str:
        return self._shown(repr)

    def _shown(self, show: Callable[[object], str]) -> str:
        try:
            return one_line(show(self._value))
        except Exception:
            code = getattr(self._value, "code", "")
            return one_line(f"<{type(self._value).__name__} {code} without a text>")


def one_line(text: str) -> str:
    """Escape line breaks and control characters as in a Python string."""
    return UNPRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _put_on_one_line(record: logging.LogRecord) -> None:
    """Prevent text of users from looking like a line of the log, also in a traceback."""
    if isinstance(record.args, tuple):
        record.args = tuple(_on_one_line(one) for one in record.args)
    elif isinstance(record.args, dict):
        shown = {name: _on_one_line(one) for name, one in record.args.items()}
        record.args = _replaced(record.args, shown)
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not all(_is_printable(one) for one in _causes(error)):
        lines = "".join(traceback.format_exception(error)).splitlines()
        record.exc_text = "\n  ".join(one_line(line) for line in lines)


def _on_one_line(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    is_unsafe = isinstance(value, BaseException) and not _is_printable(value)
    return _OneLine(value) if is_unsafe else value


def _is_printable(error: BaseException) -> bool:
    """Return whether the text of an error fits on a line; a translation in it may fail."""
    try:
        return UNPRINTED.search(f"{error} {error!r}") is None
    except Exception:
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _mask_parts(record: logging.LogRecord, mask: Callable[[str], str]) -> None:
    if isinstance(record.msg, str) and (hidden := mask(record.msg)) != record.msg:
        # The mask may have hidden a placeholder, so the arguments are formatted before.
        record.msg, record.args = (mask(record.getMessage()) if record.args else hidden), ()
    elif isinstance(record.args, tuple):
        record.args = tuple(_masked(one, mask) for one in record.args)
    elif isinstance(record.args, dict):
        record.args = _masked_fields(record.args, mask)


def _masked_fields(fields: dict[str, Any], mask: Callable[[str], str]) -> dict[str, Any]:
    """Mask the arguments of an access log."""
    hidden = {key: _masked_field(str(key), value, mask) for key, value in fields.items()}
    return _replaced(fields, hidden)


def _replaced(fields: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """Return fields with other values, in the server's own type of dict."""
    if shown == dict(fields):
        return fields
    fields = copy(fields)
    fields.update(shown)
    return fields


def _masked_field(name: str, value: Any, mask: Callable[[str], str]) -> Any:
    return HIDDEN if SECRET_FIELDS.fullmatch(name) else _masked(value, mask)


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    """Mask a string or bytes; return any other value as it is."""
    if isinstance(value, bytes):
        return mask(value.decode("latin1")).encode("latin1")
    return mask(value) if isinstance(value, str) else value


def _in_address(text: str) -> str:
    return ADDRESS.sub(rf"\1{HIDDEN}", text)


def _in_line(text: str) -> str:
    return LINE.sub(rf"\1\2{HIDDEN}", _in_address(text))


def _is_text(args: Any) -> bool:
    """Return whether all arguments of a record are of types that the mask handles."""
    known = args.values() if isinstance(args, dict) else args or ()
    return all(isinstance(one, (str, bytes, int, float, type(None))) for one in known)
