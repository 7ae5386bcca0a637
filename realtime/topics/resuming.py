"""The position of a client in a topic: as a site's consumer keeps it, or that of a moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from django.utils import timezone

from ..store.topics.entries import TopicLog
from ..wire.commands import TopicSince
from ..wire.decoder import invalid

__all__ = ["TopicPosition", "position_at"]


def position_at(name: str, moment: datetime, keep: timedelta | None) -> TopicSince:
    """Return the position of a topic at a moment, from which a client gets all that came later.

    `keep` is that of its class. If later entries may be purged, the position is before the purge.
    """
    log = TopicLog(name)
    mark = log.mark()
    seq = log.position_at(moment)
    if seq < mark.purged_seq and _is_kept(moment, keep):
        seq = mark.purged_seq  # all that was purged is older
    return TopicSince(seq, mark.epoch)


def _is_kept(moment: datetime, keep: timedelta | None) -> bool:
    return keep is not None and timezone.now() - moment < keep


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
