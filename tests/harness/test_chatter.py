"""What the client of the tests takes for a broken promise, without servers."""

from harness.client.chatter import Chatter


def test_a_repeat_may_be_refused_after_the_message_was_acknowledged() -> None:
    chatter = Chatter("client", [], ["general"])
    chatter.acks["known"] = {"seq": 1, "id": 1}
    chatter._failed({"ref": "known", "code": "unavailable", "retryable": True})
    assert chatter.faults == []


def test_an_error_that_answers_nothing_is_a_fault() -> None:
    chatter = Chatter("client", [], ["general"])
    chatter.acks["known"] = {"seq": 1, "id": 1}
    chatter._failed({"ref": "known", "code": "forbidden", "retryable": False})
    chatter._failed({"ref": "unknown", "code": "unavailable", "retryable": True})
    assert len(chatter.faults) == 2
