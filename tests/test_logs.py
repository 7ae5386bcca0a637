"""A thousand clients cannot fill the disk."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from uvicorn.logging import AccessFormatter

from realtime import logs
from realtime.logs import (
    WIRE_LOGGERS,
    MaskingFactory,
    NoTokens,
    OncePerSecond,
    count_or_pass,
    get_logger,
    hide_tokens,
)
from realtime.wire.errors import CloseCode, Disconnect


class Clock:
    now = 5.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(logs, "time", made)
    return made


@pytest.fixture
def logger(clock: Clock, caplog: pytest.LogCaptureFixture) -> logging.Logger:
    made = logging.Logger("of a test")  # noqa: LOG001 - one that nobody else has
    made.addFilter(OncePerSecond())
    made.addHandler(caplog.handler)
    return made


def test_each_kind_of_line_comes_once_a_second_and_tells_how_many_did_not(
    logger: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        logger.warning("connection %s failed", number)
        logger.warning("another %s", number)
    clock.now += 1
    logger.warning("connection %s failed", "x")
    logger.warning("fresh")
    assert caplog.messages == [
        "connection 0 failed",
        "another 0",
        "connection x failed (and 99 more)",
        "fresh",
    ]


def test_a_line_that_is_not_due_is_counted_without_a_record(
    logger: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for code in [4029] * 100 + [4511]:
        if count_or_pass(logger, logging.INFO, "ends: %s", code):
            logger.info("ends: %s", code, extra={"kind": code})
    clock.now += 1
    assert count_or_pass(logger, logging.INFO, "ends: %s", 4029)
    logger.info("ends: %s", 4029, extra={"kind": 4029})
    assert caplog.messages == ["ends: 4029", "ends: 4511", "ends: 4029 (and 99 more)"]


def test_a_line_of_a_level_that_is_off_is_not_due(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts for nothing, as the filter has never seen it."""
    logger.setLevel(logging.WARNING)
    assert not count_or_pass(logger, logging.INFO, "ends: %s", 4029)
    logger.warning("ends: %s", 4029, extra={"kind": 4029})
    assert caplog.messages == ["ends: 4029"]


def test_what_sets_lines_of_one_text_apart(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for code in (4029, 4511, 4029, 4511):
        logger.info("ends: %s", code, extra={"kind": code})
    assert caplog.messages == ["ends: 4029", "ends: 4511"]


def test_a_logger_gets_one_filter_however_often_it_is_asked_for() -> None:
    assert get_logger("realtime.of-a-test") is get_logger("realtime.of-a-test")
    assert len(logging.getLogger("realtime.of-a-test").filters) == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("< GET /ws?a=1&token=secret HTTP/1.1", "< GET /ws?a=1&token=<hidden> HTTP/1.1"),
        ("< GET /ws?tok%65n=secret HTTP/1.1", "< GET /ws?tok%65n=<hidden> HTTP/1.1"),
        ("< GET /ws?token=secret&token=secret&b=2 HTTP/1.1", None),
        ("scope={'query_string': b'token=secret', 'path': '/ws'}", None),
        ("< Proxy-Authorization: Bearer secret", None),
        ("headers: [(b'authorization', b'Bearer secret')]", None),
        ('< TEXT \'{"type":"auth", "n...n":"secret"}\' [99 bytes]', "< TEXT<hidden>"),
        ('< TEXT \'{"type":"join","room":"general"}\' [31 bytes]', None),
        ("< CONT 'secret\"}' [8 bytes]", "< CONT<hidden>"),
        ("< GET /ws HTTP/1.1", "< GET /ws HTTP/1.1"),
        ("< authorization: Bearer secret", "< authorization:<hidden>"),
        ("< Cookie: sessionid=secret; a=b", "< Cookie:<hidden>"),
        ('"WebSocket /ws?token=secret" [accepted]', '"WebSocket /ws?token=<hidden>" [accepted]'),
        ('< TEXT \'{"type":"auth","token":"secret"}\' [9 bytes]', None),
        ('< TEXT \'{"type": "auth", "token" : "sec...ret"}\' [9 bytes]', None),
        ('> TEXT \'{"type":"welcome","guest_token":"secret"}\'', None),
        ("< BINARY 82 a4 74 [9 bytes]", "< BINARY<hidden>"),
        ("< Sec-WebSocket-Protocol: realtime.v1.ndjson, realtime.token.secret", None),
        ("'subprotocols': ['realtime.v1.json', 'realtime.token.%3Asecret']", None),
        ("connection open", "connection open"),
    ],
)
def test_lines_of_servers_have_no_tokens(
    line: str, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever they write down of the wire."""
    made = logging.Logger("of a test")  # noqa: LOG001 - one that nobody else has
    made.addFilter(NoTokens())
    made.addHandler(caplog.handler)
    made.debug("%s", line)
    [record] = caplog.records
    assert "secret" not in record.getMessage()
    assert told is None or record.getMessage() == told


def test_each_server_is_listened_to_once() -> None:
    """However many applications a process makes."""
    hide_tokens()
    hide_tokens()
    for name in WIRE_LOGGERS:
        filters = logging.getLogger(name).filters
        assert sum(isinstance(one, NoTokens) for one in filters) == 1


ADDRESSES = {
    "a token": ("/ws?token=secret", "/ws?token=<hidden>"),
    "among others": ("/ws?a=1&token=secret&b=2", "/ws?a=1&token=<hidden>&b=2"),
    "twice": ("/?token=secret&token=secret", "/?token=<hidden>&token=<hidden>"),
    "an encoded name": ("/ws?%74oken=secret", "/ws?%74oken=<hidden>"),
    "an encoded value": ("/ws?token=%73ecret%2Esecret", "/ws?token=<hidden>"),
    "an address in an address": (
        "/?next=%2Fws%3Ftoken%3Dsecret",
        "/?next=%2Fws%3Ftoken%3D<hidden>",
    ),
    "encoded twice": ("/?next=%252Fws%253Fa%2526token%253Dsecret&q=1", None),
    "a query by itself": ("token=secret&q=1", "token=<hidden>&q=1"),
    "somebody else's": ("/?csrftoken=1&q=shoes&x-token=2", "/?csrftoken=1&q=shoes&x-token=2"),
    "none": ("/?q=shoes", "/?q=shoes"),
}


class Lines(logging.Handler):
    """Formats as a server does, and keeps what that gave."""

    def __init__(self, formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def listening(name: str, formatter: logging.Formatter | None = None) -> Iterator[Lines]:
    """What a logger writes, with tokens hidden as in every process of a site."""
    hide_tokens()
    logger, handler = logging.getLogger(name), Lines(formatter)
    level, logger.level = logger.level, logging.DEBUG
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("name", ADDRESSES)
def test_only_the_token_of_an_address_is_masked_in_uvicorns_access_log(name: str) -> None:
    """Its formatter takes five arguments apart."""
    address, told = ADDRESSES[name]
    with listening("uvicorn.access", AccessFormatter("%(request_line)s", use_colors=False)) as log:
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", address, "1.1", 200
        )
    [line] = log.lines
    assert "secret" not in line
    assert told is None or line == f"GET {told} HTTP/1.1"


class Atoms(dict[str, Any]):
    """As Gunicorn and Hypercorn give the values of their access logs."""

    def __init__(self, request: object, **values: Any) -> None:
        super().__init__(values)

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key.lower() if key.startswith("{") else key)


@pytest.mark.parametrize("server", ["gunicorn.access", "hypercorn.access"])
def test_the_dict_of_an_access_log_keeps_its_kind(server: str) -> None:
    """Header fields are looked up by its own rules; a referrer may have a token as well."""
    values = {
        "r": "GET /ws?token=secret HTTP/1.1",
        "q": "token=secret",
        "f": "https://example.com/?q=shoes&token=secret",
        "{authorization}i": "Bearer secret",
        "{cookie}i": "sessionid=secret",
        "b": 7,
    }
    line = "%(r)s %(q)s %(f)s %({Authorization}i)s %({Cookie}i)s %(b)d"
    with listening(server) as log:
        logging.getLogger(server).info(line, Atoms(None, **values))
    assert log.lines == [
        "GET /ws?token=<hidden> HTTP/1.1 token=<hidden> https://example.com/?q=shoes&token=<hidden>"
        " <hidden> <hidden> 7"
    ]
    assert values["q"] == "token=secret"


def test_an_address_has_no_token_in_any_logger() -> None:
    """Of a site's own middleware, in the text, its arguments, or only with both together."""
    with listening("site.middleware") as log:
        logger = logging.getLogger("site.middleware")
        logger.info("asked for %s in %d ms", "/ws?token=secret", 3)
        logger.info("asked for /ws?token=%s in %d ms", "secret", 3)
        logger.info("asked for %(address)s", {"address": "/ws?a=1&token=secret"})
        logger.info("asked for /ws?token=secret%21 at 100%")
        logger.info("a %s of %s", "cookie", {"cookie": "jar"})
    assert log.lines == [
        "asked for /ws?token=<hidden> in 3 ms",
        "asked for /ws?token=<hidden> in 3 ms",
        "asked for /ws?a=1&token=<hidden>",
        "asked for /ws?token=<hidden> at 100%",
        "a cookie of {'cookie': 'jar'}",
    ]


def test_objects_are_not_formatted_for_loggers_of_a_site() -> None:
    """To format a lazy query set where no query may run would raise."""

    class Lazy:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    hide_tokens()
    logging.getLogRecordFactory()("site", 10, __file__, 1, "%s", (Lazy(),), None)


def test_daphnes_access_log_has_no_tokens() -> None:
    """It is a stream and no logger, and shows the whole address of a page."""
    from daphne.access import AccessLogGenerator

    hide_tokens()
    hide_tokens()
    stream = StringIO()
    details = {"client": "a", "method": "GET", "path": "/ws?q=1&token=secret", "status": 404}
    AccessLogGenerator(stream)("http", "complete", {**details, "size": 2})
    assert '"GET /ws?q=1&token=<hidden>" 404 2' in stream.getvalue()


LINES = {
    "a newline": ("bad\nINJECTED", "bad\\nINJECTED"),
    "a return": ("bad\rINJECTED", "bad\\rINJECTED"),
    "an escape": ("\x1b[31mRED\x07", "\\x1b[31mRED\\x07"),
    "another newline": ("bad\u2028\x85INJECTED", "bad\\u2028\\x85INJECTED"),
    "a direction": ("\u202edab\u2066", "\\u202edab\\u2066"),
    "half a character": ("\ud800", "\\ud800"),
    "plain text": ("fine \u00e9\t\u4e2d", "fine \u00e9\t\u4e2d"),
}


@pytest.mark.parametrize(("text", "told"), LINES.values(), ids=LINES)
@pytest.mark.parametrize("name", ["realtime.of-a-test", "uvicorn.error", "django.channels.server"])
def test_what_people_write_begins_no_line_of_the_log(name: str, text: str, told: str) -> None:
    """As text, and as the reason of an error."""
    make = MaskingFactory(logging.LogRecord)
    given: Any = (text, Disconnect(CloseCode.KICKED, text), 1)
    record = make(name, logging.INFO, "", 1, "a %s, %s, %d", given, None)
    assert record.getMessage() == f"a {told}, 4503: {told}, 1"


def test_a_traceback_has_no_line_that_somebody_else_wrote() -> None:
    """Neither of the error nor of its cause."""
    try:
        try:
            raise ValueError("bad\n2026-01-01 ERROR forged\x1b[31m")
        except ValueError as error:
            raise RuntimeError("worse") from error
    except RuntimeError:
        found = sys.exc_info()
    make = MaskingFactory(logging.LogRecord)
    record = make("realtime.of-a-test", logging.ERROR, "", 1, "failed", (), found)
    text = logging.Formatter().format(record)
    assert "forged" in text
    assert "\x1b" not in text
    assert all(line.startswith("  ") for line in text.splitlines()[2:])


def test_other_loggers_keep_their_lines() -> None:
    """A site may log text of several lines."""
    make = MaskingFactory(logging.LogRecord)
    record = make("shop.orders", logging.INFO, "", 1, "%s", ("one\ntwo",), None)
    assert record.getMessage() == "one\ntwo"


def test_a_message_that_becomes_text_late_is_masked() -> None:
    """As Twisted's own access log at Daphne's verbosity 3."""

    class Late:
        def __str__(self) -> str:
            return 'GET /ws?token=secret&x=1 HTTP/1.1" 404'

    record = logging.makeLogRecord({"name": "daphne.server", "msg": Late(), "args": ()})
    assert NoTokens().filter(record)
    assert record.getMessage() == 'GET /ws?token=<hidden>&x=1 HTTP/1.1" 404'
    assert "daphne.server" in WIRE_LOGGERS


def test_records_of_other_processes_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the receiver of a `SocketHandler` does, which gives the name afterwards."""
    monkeypatch.setattr(logging, "_logRecordFactory", MaskingFactory(logging.LogRecord))
    record = logging.makeLogRecord({"name": "shop.orders", "msg": "one %s", "args": ("two",)})
    assert (record.name, record.getMessage()) == ("shop.orders", "one two")


@pytest.mark.parametrize("name", ["realtime.of-a-test", "uvicorn.error"])
def test_an_error_whose_text_fails_is_logged(name: str) -> None:
    """As the reason of an error whose translation fails: the line must not stop a close."""

    class Failing:
        def __str__(self) -> str:
            raise ValueError("a translation")

        __repr__ = __str__

    error = Disconnect(CloseCode.KICKED, Failing())
    make = MaskingFactory(logging.LogRecord)
    found = (Disconnect, error, None)
    record = make(name, logging.ERROR, "", 1, "ends: %s, %r", (error, Failing), found)
    text = logging.Formatter().format(record)
    assert text.startswith("ends: <Disconnect 4503 without a text>")
