"""The result of a push that is sent once and not stored: whether other processes got it."""

import asyncio
from concurrent.futures import Future

from .layer import SEND_SECONDS
from .publisher import LayerUnavailable

__all__ = ["Handover"]

NO_ANSWER = "The channel layer has not answered yet."


class Handover:
    """Whether a note was handed to the server processes of the site.

    It is false once the handover is known to have failed. `is_waiting`: a transaction is open.
    `is_handed_over`: the channel layer accepted the note, or this process is the only one.
    `reason`: why it failed. Reading a property waits for the layer at most two seconds, and not
    at all in an event loop.
    """

    __slots__ = ("_result",)

    def __init__(self) -> None:
        self._result: Future[str] | None = None

    def follow(self, result: Future[str]) -> None:
        """Use the result of a future: the reason of a failure, or an empty string."""
        self._result = result

    async def settled(self) -> "Handover":
        """Wait at most two seconds for the layer, but not for a transaction."""
        if self._result is not None and not self._result.done():
            result = asyncio.wrap_future(self._result)
            await asyncio.wait([result], timeout=SEND_SECONDS)
        return self

    @property
    def is_waiting(self) -> bool:
        """Whether a transaction is open, or was rolled back."""
        return self._result is None

    @property
    def is_handed_over(self) -> bool:
        """Whether the channel layer accepted the note, or this process is the only one."""
        return self._result is not None and not self.reason

    @property
    def reason(self) -> str:
        """Why the note was not handed over; empty on success, or while a transaction is open."""
        if self._result is None:
            return ""
        try:
            return self._result.result(0 if is_in_a_loop() else SEND_SECONDS)
        except TimeoutError:
            return NO_ANSWER

    def require(self) -> None:
        """Raise `LayerUnavailable` if the handover failed; not while a transaction is open."""
        if reason := self.reason:
            raise LayerUnavailable(reason)

    def __bool__(self) -> bool:
        return not self.reason

    def __repr__(self) -> str:
        if self._result is None:
            return "<Handover: waiting>"
        state = (self._result.result() or "handed over") if self._result.done() else "under way"
        return f"<Handover: {state}>"


def is_in_a_loop() -> bool:
    """Return whether the caller runs in an event loop, and so must not block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
