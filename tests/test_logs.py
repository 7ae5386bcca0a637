"""A thousand clients cannot fill the disk."""

import logging

import pytest

from realtime import logs
from realtime.logs import WIRE_LOGGERS, NoTokens, OncePerSecond, get_logger, hide_tokens


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
        ("< GET /ws?a=1&token=secret HTTP/1.1", "< GET /ws?<hidden> HTTP/1.1"),
        ("< GET /ws?tok%65n=secret HTTP/1.1", "< GET /ws?<hidden> HTTP/1.1"),
        ("< GET /ws HTTP/1.1", "< GET /ws HTTP/1.1"),
        ("< authorization: Bearer secret", "< authorization:<hidden>"),
        ("< Cookie: sessionid=secret; a=b", "< Cookie:<hidden>"),
        ('"WebSocket /ws?token=secret" [accepted]', '"WebSocket /ws?token=<hidden>" [accepted]'),
        ('< TEXT \'{"type":"auth","token":"secret"}\' [9 bytes]', None),
        ('< TEXT \'{"type": "auth", "token" : "sec...ret"}\' [9 bytes]', None),
        ('> TEXT \'{"type":"welcome","guest_token":"secret"}\'', None),
        ("< BINARY 82 a4 74 [9 bytes]", "< BINARY<hidden>"),
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
