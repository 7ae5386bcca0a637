"""What the logs of rooms and of topics have in common: their ends, and changes since a position."""

from typing import Generic, NamedTuple, Self, TypeVar

from ..wire.position import LogState

__all__ = ["MADE_NONCE", "Changes", "LogMark", "RightsVersion"]

S = TypeVar("S", bound=LogState)
MADE_NONCE = "~"
"""The prefix of nonces that the server has made; they are not sent to clients."""
RightsVersion = tuple[str, int]
"""An epoch, and the number of changes of rights in it; ("", 0) if there was none."""


class LogMark(NamedTuple):
    """The end of a log, with its counters."""

    last_seq: int
    purged_seq: int
    rights_seq: int
    epoch: str

    @property
    def rights(self) -> RightsVersion:
        """The version of the rights in a topic; two versions are the same or not, never newer."""
        return (self.epoch, self.rights_seq) if self.rights_seq else ("", 0)


class Changes(NamedTuple, Generic[S]):
    """States in the order of their last change, and the position that they reach."""

    states: list[S]
    through: int
    mark: LogMark
    has_more: bool
    is_behind: bool = False
    """Whether there are rows beyond the mark: new ones, or rows written past the log."""

    def cut(self, kept: list[S]) -> Self:
        """Return the changes with only the first states, which are all or at least one."""
        if len(kept) == len(self.states):
            return self
        return self._replace(states=kept, through=kept[-1].position, has_more=True)
