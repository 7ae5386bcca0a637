"""When the silent are asked, and when they are ended, by a clock of its own."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from realtime.conf import config
from realtime.consumers.heartbeat import Heartbeat

HEARTBEAT = config().heartbeat_seconds


class Timer:
    def __init__(self, when: float, act: Callable[[], None]) -> None:
        self.when, self.act, self.is_cancelled = when, act, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """What of an event loop is used; its time stands still until told to go on."""

    def __init__(self) -> None:
        self.now = 1000.3
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, act: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, act))
        return self.timers[-1]

    def go_on(self, seconds: float) -> None:
        """Let time pass, and whatever is due happen in time."""
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.when <= until]:
            timer = min(due, key=lambda one: one.when)
            self.now = max(self.now, timer.when)
            self.timers.remove(timer)
            if not timer.is_cancelled:
                timer.act()
        self.now = until

    def stand_still(self, seconds: float) -> None:
        """Let time pass while nothing can happen."""
        self.now += seconds


class Line:
    """One connection: what was done to it, and when."""

    def __init__(self, clock: Clock, *, answers: bool = True) -> None:
        self.clock, self.answers = clock, answers
        self.is_busy = False
        self.asked: list[float] = []
        self.ended: list[float] = []
        loop: Any = clock
        self.silence = Heartbeat(loop, self._ask, self._end, lambda: self.is_busy)
        self.silence.start()

    def _ask(self) -> None:
        self.asked.append(self.clock.now)
        if self.answers:
            self.silence.received()

    def _end(self) -> None:
        self.ended.append(self.clock.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_who_answers_is_asked_once_a_heartbeat_and_stays(clock: Clock) -> None:
    line = Line(clock)
    clock.go_on(20 * HEARTBEAT)
    gaps = [late - early for early, late in zip(line.asked, line.asked[1:], strict=False)]
    assert len(gaps) >= 18
    assert min(gaps) >= HEARTBEAT * 0.9
    assert max(gaps) <= HEARTBEAT + 1
    assert line.ended == []


def test_who_does_not_answer_is_asked_once_and_ended_once(clock: Clock) -> None:
    began = clock.now
    line = Line(clock, answers=False)
    clock.go_on(10 * HEARTBEAT)
    [asked], [ended] = line.asked, line.ended
    assert HEARTBEAT * 0.9 <= asked - began <= HEARTBEAT + 1
    assert HEARTBEAT * 1.8 <= ended - began <= HEARTBEAT * 2 + 2
    assert clock.timers == []


def test_who_says_something_is_not_asked(clock: Clock) -> None:
    line = Line(clock)
    for _ in range(100):
        clock.go_on(HEARTBEAT / 2)
        line.silence.received()
    assert line.asked == []


def test_many_share_a_turn_but_not_all_who_came_together(clock: Clock) -> None:
    """A storm of reconnects is no storm of questions a heartbeat later."""
    lines = [Line(clock) for _ in range(1000)]
    clock.go_on(10.5 * HEARTBEAT)
    turns = Counter(when for line in lines for when in line.asked)
    assert all(when == int(when) for when in turns)
    last = [turns[when] for when in sorted(turns)[-HEARTBEAT:]]
    assert len(turns) <= 10.5 * HEARTBEAT
    assert max(last) <= 400


def test_who_is_not_listened_to_is_not_asked(clock: Clock) -> None:
    """Nor ended in the middle of it, and has a whole heartbeat afterwards."""
    line = Line(clock, answers=False)
    line.is_busy = True
    clock.go_on(10 * HEARTBEAT)
    assert line.asked == line.ended == []
    line.is_busy = False
    clock.go_on(HEARTBEAT + 1)
    assert line.ended == []
    clock.go_on(2 * HEARTBEAT)
    assert len(line.asked) == len(line.ended) == 1


def test_that_the_server_stood_still_is_nobodys_silence(clock: Clock) -> None:
    """What has come meanwhile is read after the timers that are due."""
    line = Line(clock, answers=False)
    clock.go_on(HEARTBEAT + 1)
    assert len(line.asked) == 1
    clock.stand_still(3 * HEARTBEAT)
    clock.go_on(HEARTBEAT + 1)
    assert line.ended == []
    assert len(line.asked) == 2
    clock.go_on(HEARTBEAT + 1)
    assert len(line.ended) == 1


def test_nothing_is_done_after_the_end(clock: Clock) -> None:
    line = Line(clock, answers=False)
    line.silence.stop()
    clock.go_on(10 * HEARTBEAT)
    assert line.asked == line.ended == []


def test_a_probe_asks_at_once_and_ends_who_does_not_answer_in_time(clock: Clock) -> None:
    line, other = Line(clock, answers=False), Line(clock)
    clock.go_on(5)
    assert line.silence.seconds == other.silence.seconds == 5
    assert line.silence.probe(3)
    assert other.silence.probe(3)
    assert line.silence.probe(3)  # it is being asked already
    clock.go_on(5)
    assert (len(line.asked), len(line.ended)) == (1, 1)
    assert (len(other.asked), len(other.ended)) == (1, 0)
    clock.go_on(10 * HEARTBEAT)
    assert (len(line.ended), len(other.ended)) == (1, 0)


def test_a_probe_brings_the_end_of_who_was_asked_forward(clock: Clock) -> None:
    """It never puts it off, however often it comes."""
    line = Line(clock, answers=False)
    clock.go_on(HEARTBEAT + 1)
    assert len(line.asked) == 1
    for _ in range(4):
        line.silence.probe(3)
        clock.go_on(1)
    assert (len(line.asked), len(line.ended)) == (1, 1)


def test_a_probe_asks_nobody_who_was_just_heard_or_is_not_listened_to(clock: Clock) -> None:
    line = Line(clock, answers=False)
    assert not line.silence.probe(3)
    clock.go_on(5)
    line.is_busy = True
    assert not line.silence.probe(3)
    line.is_busy = False
    line.silence.stop()
    assert not line.silence.probe(3)
    assert line.asked == []
