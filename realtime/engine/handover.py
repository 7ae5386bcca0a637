"""What became of something that is sent once and not stored."""

from .publisher import LayerUnavailable

__all__ = ["Handover"]


class Handover:
    """Whether a note was handed to the server processes of the site.

    It is false as soon as that is known to have failed. `is_waiting`: a transaction is open.
    `is_handed_over`: the channel layer took it, or this process is the only one. `reason`: why
    it failed.
    """

    __slots__ = ("is_handed_over", "is_waiting", "reason")

    def __init__(self) -> None:
        self.is_waiting = True
        self.is_handed_over = False
        self.reason = ""

    def settle(self, reason: str = "") -> None:
        """Keep what became of it: handed over, or the reason why not."""
        self.is_waiting = False
        self.is_handed_over = not reason
        self.reason = reason

    def require(self) -> None:
        """Raise `LayerUnavailable` if it was not handed over; nothing while it waits."""
        if self.reason:
            raise LayerUnavailable(self.reason)

    def __bool__(self) -> bool:
        return not self.reason

    def __repr__(self) -> str:
        state = "waiting" if self.is_waiting else self.reason or "handed over"
        return f"<Handover: {state}>"
