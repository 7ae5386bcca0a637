"""Which messages a loop has got while it reads what it missed."""

from bisect import bisect_right

__all__ = ["Seen"]


class Seen:
    """The `seq` of each message that came since a position, as ranges: most of them are adjacent.

    A message that is changed between two pages is in the later page only, at its new position. So
    the position of the last page does not tell whether a loop has got the message.
    """

    def __init__(self, begin: int) -> None:
        self._firsts, self._lasts = [0], [begin]

    def add(self, seq: int) -> bool:
        """Count a message as seen; return whether it is the first time."""
        at = bisect_right(self._firsts, seq) - 1
        if seq <= self._lasts[at]:
            return False
        follows = self._lasts[at] == seq - 1
        precedes = at + 1 < len(self._firsts) and self._firsts[at + 1] == seq + 1
        if follows and precedes:
            self._lasts[at] = self._lasts.pop(at + 1)
            del self._firsts[at + 1]
        elif follows:
            self._lasts[at] = seq
        elif precedes:
            self._firsts[at + 1] = seq
        else:
            self._firsts.insert(at + 1, seq)
            self._lasts.insert(at + 1, seq)
        return True

    def __len__(self) -> int:
        """Return the number of ranges."""
        return len(self._firsts)
