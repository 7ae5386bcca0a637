"""The answers that a process waits for."""

import pytest

from realtime.engine.bus import answers as module
from realtime.engine.bus.answers import Answers
from realtime.engine.bus.notes import Answered, Outcome
from realtime.errors import RealtimeError


def test_each_question_has_a_ref_of_its_own_that_nobody_can_guess() -> None:
    refs = {Answers().expect()[0] for _ in range(100)}
    assert len(refs) == 100
    assert {len(ref) for ref in refs} == {32}


def test_the_first_result_counts() -> None:
    answers = Answers()
    ref, result = answers.expect()
    first = Answered(ref, Outcome.ANSWERED, "", "{}")
    answers.settle(first)
    answers.fail(ref, "Too late.")
    assert result.result(0) is first
    assert len(answers) == 0


def test_a_result_that_nobody_waits_for_is_dropped() -> None:
    answers = Answers()
    ref, result = answers.expect()
    answers.forget(ref)
    answers.settle(Answered(ref, Outcome.ANSWERED, "", "{}"))
    answers.settle(Answered("unknown", Outcome.ANSWERED, "", "{}"))
    assert not result.done()
    cancelled, future = answers.expect()
    assert future.cancel()
    answers.settle(Answered(cancelled, Outcome.ANSWERED, "", "{}"))
    assert len(answers) == 0


def test_the_number_of_questions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    answers = Answers()
    ref, _ = answers.expect()
    answers.expect()
    with pytest.raises(RealtimeError, match="limit_exceeded"):
        answers.expect()
    answers.forget(ref)
    answers.expect()
