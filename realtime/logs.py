"""Log lines: at most one a second of a kind, without tokens, each on one line."""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

__all__ = [
    "MaskingFactory",
    "NoTokens",
    "OncePerSecond",
    "get_logger",
    "hide_tokens",
    "is_due",
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
"""Those of servers that write down what comes over the wire, at least at DEBUG."""
ONE_LINE = frozenset((*WIRE_LOGGERS, "daphne.ws_protocol", "daphne.http_protocol"))
"""Other loggers than the package's own whose lines hold what clients send."""
PERCENT = "%(?:25)*"
"""How a percent-encoded character begins, also in an address that is encoded in another one."""


def _encoded(text: str) -> str:
    """A pattern for a text whose characters may be percent-encoded."""
    return "".join(f"(?:{one}|{PERCENT}{ord(one):x})" for one in text)


PARAMETER = _encoded("token=")
ADDRESS = re.compile(
    rf"""((?:^|[?&]|{PERCENT}(?:3f|26)){PARAMETER}|\brealtime\.token\.)[^&\s"']+""",
    re.IGNORECASE,
)
"""A token among the parameters of an address or the subprotocols; the rest is not ours to hide."""
LINE = re.compile(
    rf"""((?<![\w.-]){PARAMETER}|\bbearer\s+|token"\s*:\s*")[^&\s"']+"""
    r"""|(\b(?:authorization|cookie):|[<>]\s+(?:BINARY|CONT)"""
    r"""|[<>]\s+TEXT(?=.*(?:auth|oken|\\|\.\.\.)))[^\r\n]*""",
    re.IGNORECASE,
)
"""Further places of a token in what a server writes. A shortened frame may show a token's end."""
SECRET_FIELDS = re.compile(r"\{(?:proxy-)?(?:authorization|(?:set-)?cookie)\}[io]", re.IGNORECASE)
"""Headers among the arguments of the access logs of Gunicorn and Hypercorn."""
HIDDEN = "<hidden>"


UNPRINTED = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that begin a line, steer a terminal or turn the direction of text; a tab is none."""
OWN = "realtime"


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
        text, kind = record.msg, getattr(record, "kind", None)
        if not self.is_due(text, kind):
            return False
        self._last[text, kind] = time.monotonic()
        if more := self._left_out.pop((text, kind), 0):
            record.msg = f"{record.msg} (and {more} more)"
        return True

    def is_due(self, text: object, kind: object) -> bool:
        """Return whether a line of this kind would be written now; count it if it would not."""
        if time.monotonic() - self._last.get((text, kind), -1.0) >= 1:
            return True
        self._left_out[text, kind] = self._left_out.get((text, kind), 0) + 1
        return False


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, which tells each kind of line at most once a second."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, OncePerSecond) for one in logger.filters):
        logger.addFilter(OncePerSecond())
    return logger


def is_due(logger: logging.Logger, level: int, text: str, kind: object) -> bool:
    """Return whether a line would be written now; if not, it needs no record.

    Ask this before a line that clients can cause in any number: to make a record costs more than
    to answer them. A line that is left out counts as one that `OncePerSecond` has stopped.
    """
    if not logger.isEnabledFor(level):
        return False
    limits = [one for one in logger.filters if isinstance(one, OncePerSecond)]
    return all(one.is_due(text, kind) for one in limits)


class NoTokens(logging.Filter):
    """Mask tokens, cookies and unreadable frames in the lines of a server's logger.

    `args` keep their number and kind, because formatters of servers take them apart. Only where an
    object among them shows a token is the line replaced by its masked text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line through."""
        _mask_parts(record, _in_line)
        # What Twisted logs through Daphne's logger becomes text only when it is written.
        if not isinstance(record.msg, str) or not _is_text(record.args):
            text = record.getMessage()
            hidden = _in_line(text)
            if hidden != text:
                record.msg, record.args = hidden, ()
        return True


class MaskingFactory:
    """Make log records as `make` does, and mask tokens that stand in an address.

    Middleware, error reporters and other servers log addresses through loggers of their own.
    Only strings are looked at: to format an object here could run a query.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Make one record."""
        record = self._make(*args, **kwargs)
        _mask_parts(record, _in_address)
        name = record.name or ""  # `logging.makeLogRecord` gives it later
        if name in ONE_LINE or name.startswith(f"{OWN}."):
            _put_on_one_line(record)
        return record


def hide_tokens() -> None:
    """Keep tokens out of all logs of this process, whatever server runs it and at every level."""
    for name in WIRE_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, NoTokens) for one in logger.filters):
            logger.addFilter(NoTokens())
    make = logging.getLogRecordFactory()
    if not isinstance(make, MaskingFactory):
        logging.setLogRecordFactory(MaskingFactory(make))
    _mask_daphne()


def _mask_daphne() -> None:
    """Daphne writes its access log to a stream, past all loggers."""
    access = sys.modules.get("daphne.access")
    if access is None or hasattr(access, "realtime_masks"):
        return
    access.realtime_masks = True  # type: ignore[attr-defined]
    write = access.AccessLogGenerator.write_entry

    def write_entry(self: Any, host: Any, date: Any, request: str, *args: Any, **more: Any) -> None:
        write(self, one_line(str(host)), date, one_line(_in_address(request)), *args, **more)

    access.AccessLogGenerator.write_entry = write_entry


class _OneLine:
    """An argument of a record whose text would be more than a part of one line."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return one_line(str(self._value))

    def __repr__(self) -> str:
        return one_line(repr(self._value))


def one_line(text: str) -> str:
    """Escape what begins a line or steers a terminal, as Python writes it in a string."""
    return UNPRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _put_on_one_line(record: logging.LogRecord) -> None:
    """Keep what people have written from looking like a line of the log, also in a traceback."""
    if isinstance(record.args, tuple):
        record.args = tuple(_on_one_line(one) for one in record.args)
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and any(UNPRINTED.search(str(one)) for one in _causes(error)):
        lines = "".join(traceback.format_exception(error)).splitlines()
        record.exc_text = "\n  ".join(one_line(line) for line in lines)


def _on_one_line(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    is_error = isinstance(value, BaseException)
    return _OneLine(value) if is_error and UNPRINTED.search(f"{value} {value!r}") else value


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _mask_parts(record: logging.LogRecord, mask: Callable[[str], str]) -> None:
    if isinstance(record.msg, str) and (hidden := mask(record.msg)) != record.msg:
        # What is hidden may have been a placeholder, so nothing may be filled in afterwards.
        record.msg, record.args = (mask(record.getMessage()) if record.args else hidden), ()
    elif isinstance(record.args, tuple):
        record.args = tuple(_masked(one, mask) for one in record.args)
    elif isinstance(record.args, dict):
        record.args = _masked_fields(record.args, mask)


def _masked_fields(fields: dict[str, Any], mask: Callable[[str], str]) -> dict[str, Any]:
    """The arguments of an access log, in the server's own kind of dict."""
    hidden = {key: _masked_field(str(key), value, mask) for key, value in fields.items()}
    if hidden == dict(fields):
        return fields
    fields = copy(fields)
    fields.update(hidden)
    return fields


def _masked_field(name: str, value: Any, mask: Callable[[str], str]) -> Any:
    return HIDDEN if SECRET_FIELDS.fullmatch(name) else _masked(value, mask)


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    """A string or bytes without tokens, and anything else as it is."""
    if isinstance(value, bytes):
        return mask(value.decode("latin1")).encode("latin1")
    return mask(value) if isinstance(value, str) else value


def _in_address(text: str) -> str:
    return ADDRESS.sub(rf"\1{HIDDEN}", text)


def _in_line(text: str) -> str:
    return LINE.sub(rf"\1\2{HIDDEN}", _in_address(text))


def _is_text(args: Any) -> bool:
    """Whether the arguments of a record are nothing that a mask has not seen."""
    known = args.values() if isinstance(args, dict) else args or ()
    return all(isinstance(one, (str, bytes, int, float, type(None))) for one in known)
