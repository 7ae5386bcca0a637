"""The joint result of several notes."""

from concurrent.futures import Future

__all__ = ["Joint"]


class Joint:
    """Whether all of several notes were published; the first failure decides at once.

    `result` gets the reason of a failure, or an empty string. `whole` is a larger set of notes that
    these belong to. All notes are settled in one thread.
    """

    __slots__ = ("_left", "_whole", "result")

    def __init__(self, number: int, whole: "Joint | None" = None) -> None:
        self.result: Future[str] = Future()
        self._left = number
        self._whole = whole

    def settle(self, reason: str, number: int = 1) -> None:
        """Record the outcome of so many notes: the reason of a failure, or an empty string."""
        self._left -= number
        if (reason or not self._left) and not self.result.done():
            self.result.set_result(reason)
        if self._whole is not None:
            self._whole.settle(reason, number)
