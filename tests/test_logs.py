"""A thousand clients cannot fill the disk."""

import logging

import pytest

from realtime import logs
from realtime.logs import OncePerSecond, get_logger


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
