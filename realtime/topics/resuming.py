"""The position of a client in a topic, as a site's consumer keeps it."""

from dataclasses import dataclass

import msgspec

from ..wire.commands import TopicSince
from ..wire.decoder import invalid

__all__ = ["TopicPosition"]


@dataclass(frozen=True, slots=True)
class TopicPosition:
    """A position from which the client can resume, after it has got all entries up to there.

    `recovered` says that the client was brought here from its own position without a gap.
    """

    seq: int
    epoch: str
    recovered: bool = False

    def since(self) -> TopicSince:
        """Return what is sent on the wire; raise `CommandError` if a page has made it up."""
        try:
            return msgspec.convert({"seq": self.seq, "epoch": self.epoch}, TopicSince)
        except msgspec.ValidationError as error:
            raise invalid(error, "since") from None
