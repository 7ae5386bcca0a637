"""Count the unexpected exceptions of one connection."""

from django.utils.translation import gettext_lazy as _

from ..wire.errors import CloseCode, Disconnect

__all__ = ["Failures"]

MOST = 5
"""After so many unexpected exceptions in a row, the connection is closed."""
MANY_FAILED = _("Too many commands in a row have failed.")


class Failures:
    """The number of unexpected exceptions in a row."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 0

    def clear(self) -> None:
        """Count from zero again, after a command that did not fail unexpectedly."""
        self._number = 0

    def add(self) -> Disconnect | None:
        """Count one more; return the end of the connection if there were too many."""
        self._number += 1
        return Disconnect(CloseCode.TOO_MANY_ERRORS, MANY_FAILED) if self._number >= MOST else None
