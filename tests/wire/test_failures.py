"""The exception of a failed request."""

import realtime.client
import realtime.errors
from realtime.client import RealtimeError
from realtime.wire.events import Failure


def test_one_name_is_one_class() -> None:
    """An `except` clause works for both imports."""
    assert realtime.client.RealtimeError is realtime.errors.RealtimeError


def test_errors_that_the_site_raises_are_no_failed_requests() -> None:
    assert not issubclass(realtime.errors.CommandError, RealtimeError)


def test_a_code_of_its_own_has_a_sentence() -> None:
    assert str(RealtimeError("offline")) == (
        "offline: There is no connection to the server at the moment."
    )


def test_an_error_of_the_server_keeps_its_fields() -> None:
    failure = Failure(
        code="invalid_message", message="No.", retryable=False, path="data.seat", retry_after=2
    )
    error = RealtimeError.of(failure)
    assert str(error) == "invalid_message: No. (data.seat)"
    assert (error.outcome, error.retry_after, error.is_retryable) == ("refused", 2, False)


def test_an_outcome_of_the_server_counts() -> None:
    failure = Failure(code="unavailable", message="No.", retryable=True, outcome="unknown")
    assert RealtimeError.of(failure).outcome == "unknown"
