"""The answers that this process waits for."""

import secrets
from concurrent.futures import Future

from ...wire.errors import ErrorCode
from ...wire.failures import RealtimeError
from .notes import Answered, Outcome

__all__ = ["Answers"]

MOST = 1000
"""The questions of one process that may be open at the same time."""
TOO_MANY = "This process waits for 1,000 answers. Ask again when some have come."


class Answers:
    """The results of questions, by the `ref` of each; questions are asked in any thread."""

    def __init__(self) -> None:
        self._expected: dict[str, Future[Answered]] = {}

    def __len__(self) -> int:
        """Return the number of answers that have not come."""
        return len(self._expected)

    def expect(self) -> tuple[str, Future[Answered]]:
        """Return the `ref` of a new question, and its result.

        Raises `RealtimeError` with `limit_exceeded` if too many questions are open.
        """
        if len(self._expected) >= MOST:
            raise RealtimeError(ErrorCode.LIMIT_EXCEEDED, TOO_MANY, outcome=Outcome.NOT_SENT)
        ref, result = secrets.token_hex(16), Future[Answered]()
        self._expected[ref] = result
        return ref, result

    def settle(self, note: Answered) -> None:
        """Take a result; one that nobody waits for any more is dropped."""
        result = self._expected.pop(note.ref, None)
        if result is not None and result.set_running_or_notify_cancel():
            result.set_result(note)

    def fail(self, ref: str, reason: str, outcome: Outcome = Outcome.NOT_SENT) -> None:
        """End a question that does not reach the other processes."""
        self.settle(Answered(ref, outcome, ErrorCode.UNAVAILABLE, reason))

    def forget(self, ref: str) -> None:
        """Wait no longer for an answer."""
        self._expected.pop(ref, None)
