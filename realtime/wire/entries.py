"""The stored entries of topics as clients get them: events, and the values of keys.

The data of an entry is sent as it was stored, as JSON text. It is never decoded to the struct of
its event, because a later version of the site may have another one.
"""

import json
import re
from typing import Final

import msgspec
from msgspec import Raw, Struct, field

from .clean import as_sent

__all__ = ["NO_DATA", "EntryState", "data_of"]

NO_DATA: Final = Raw(b"")
"""The data of a deleted key, which is left out."""
LONG_NUMBER = re.compile(r"[0-9]{16}|[0-9][eE]\+?[0-9]{2}")
"""Digits that may belong to an integer beyond 2^53, which is not the same for all clients."""


class EntryState(Struct, kw_only=True, omit_defaults=True):
    """The state of a stored entry; `seq` is the position of its last change.

    `data` is JSON text, which only the JSON encoder can embed.
    """

    name: str
    data: Raw = NO_DATA
    seq: int
    key: str | None = None
    deleted: bool = False
    at: str
    nonce: str | None = field(default=None, name="id")

    @property
    def position(self) -> int:
        """The position of this state in the log."""
        return self.seq

    @property
    def id(self) -> str | int:
        """What a later state replaces: the key, or the position of an entry without one."""
        return self.seq if self.key is None else self.key

    @property
    def origin(self) -> tuple[str, str, str | None, bool]:
        """What and when it was: another history has another state at its position."""
        return self.name, self.at, self.nonce, self.deleted

    @property
    def memory_size(self) -> int:
        """About how many bytes the variable parts take in memory."""
        return len(memoryview(self.data)) + 2 * len(self.name + (self.key or ""))


def data_of(text: str) -> Raw:
    """Return data from the text that a database returns.

    PostgreSQL's jsonb has one kind of number: 1e300 returns as an integer of 301 digits.
    """
    if LONG_NUMBER.search(text):
        return Raw(msgspec.json.encode(as_sent(json.loads(text))))
    return Raw(text.encode())
