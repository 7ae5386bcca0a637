"""Drafts: entries without a position, as site code publishes them."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from msgspec import Struct

from ...models.logs import TOPIC_CHARACTERS, Pending
from ...spans import Origin
from ...wire.entries import EntryState
from ...wire.errors import CommandError, ErrorCode
from .entries import topic_key

__all__ = ["EntryDraft", "FirstTry", "Kind", "StoredEntry", "check", "is_key"]

MAX_BYTES = 64 * 1024
"""The most bytes of an entry's data as JSON."""
MAX_EXPIRES_SECONDS = 10 * 366 * 86_400.0
MAX_NAME = 64
MAX_SENDER = 150
TOPIC_TEXT = _("The name of a topic has 1 to {most} characters, without NUL and surrogates.")
KEY_TEXT = _("A key has 1 to {most} characters, without NUL and surrogates.")
NAME_TEXT = _("The name of an event has 1 to {most} characters, without NUL and surrogates.")
NONCE_TEXT = _("A nonce has 1 to {most} characters, without NUL and surrogates.")
SENDER_TEXT = _("A sender has at most {most} characters, without NUL and surrogates.")


class Kind(StrEnum):
    """What a draft does: the kinds of pending entries, and one of the store's own."""

    EVENT = Pending.Kind.EVENT.value
    SET = Pending.Kind.SET.value
    DELETE = Pending.Kind.DELETE.value
    RIGHTS = Pending.Kind.RIGHTS.value
    EXPIRE = "expire"
    """Delete the value of a key if its time is over; it is never pending."""


NAMED = (Kind.EVENT, Kind.SET)
"""The kinds that have a name and data."""


class FirstTry(Struct):
    """The end of the log before the first try of a draft; without an epoch, none is planned yet."""

    epoch: str = ""
    seq: int = 0


class EntryDraft(Struct, kw_only=True, frozen=True):
    """An event, a change of a key, or a change of rights; it has no position yet.

    `data` is JSON text. `nonce` makes an append idempotent. With `if_seq` the value of the key is
    changed only if its position is this one, or if there is none and `if_seq` is 0. A deletion with
    a `type` is told even if the key has no value: clients may know the value from elsewhere.
    """

    topic: str
    kind: str = Kind.EVENT
    type: str = ""
    key: str | None = None
    data: str = ""
    sender: str = ""
    nonce: str | None = None
    expires_seconds: float | None = None
    if_seq: int | None = None
    created_at: datetime | None = None
    first_try: FirstTry | None = None
    """Set for a draft that may be repeated after a commit whose outcome is unknown."""

    @property
    def log_key(self) -> str:
        """The log that the draft belongs to."""
        return topic_key(self.topic)

    @property
    def is_conditional(self) -> bool:
        """Whether the value of the key decides if the draft changes anything."""
        return self.if_seq is not None or self.kind == Kind.EXPIRE


class StoredEntry(NamedTuple):
    """An entry with its position; `is_new` is false if this draft changed nothing.

    `state` is None if there is nothing to tell: a change of rights, or a deletion of a key without
    a value.
    """

    topic: str
    state: EntryState | None
    epoch: str
    is_new: bool
    origin: Origin | None = None
    """The span that has stored it, if there is one."""

    @property
    def log_key(self) -> str:
        """The log that the entry is in."""
        return topic_key(self.topic)


def is_key(text: str) -> bool:
    """Return whether a value may have this key."""
    return 0 < len(text) <= TOPIC_CHARACTERS and _is_storable(text)


def check(draft: EntryDraft) -> None:
    """Refuse a draft that the database could not store; an error there would end a transaction.

    Raises `CommandError` with `invalid_message` or `too_large`.
    """
    if (draft.key is None) != (draft.kind in (Kind.EVENT, Kind.RIGHTS)):
        raise _invalid(_("A value needs a key, and an event has none."))
    for text, most, message in (
        (draft.topic, TOPIC_CHARACTERS, TOPIC_TEXT),
        (draft.key, TOPIC_CHARACTERS, KEY_TEXT),
        (draft.type if draft.kind in NAMED else draft.type or None, MAX_NAME, NAME_TEXT),
        (draft.nonce, MAX_NAME, NONCE_TEXT),
        (draft.sender or None, MAX_SENDER, SENDER_TEXT),
    ):
        if text is not None and not (0 < len(text) <= most and _is_storable(text)):
            raise _invalid(format_lazy(message, most=most))
    _check_data(draft)
    seconds = draft.expires_seconds
    if seconds is not None and not 0 < seconds <= MAX_EXPIRES_SECONDS:  # false for NaN too
        raise _invalid(_("A value expires after more than 0 seconds and less than ten years."))


def _check_data(draft: EntryDraft) -> None:
    if draft.kind in NAMED and not draft.data:
        raise _invalid(_("An event needs data, as JSON."))
    if not _is_storable(draft.data):
        raise _invalid(_("The data of an event must not have NUL or surrogates."))
    if len(draft.data) > MAX_BYTES or len(draft.data.encode()) > MAX_BYTES:
        message = _("An event may have at most {number} bytes as JSON.")
        raise CommandError(ErrorCode.TOO_LARGE, format_lazy(message, number=MAX_BYTES))


def _is_storable(text: str) -> bool:
    if "\x00" in text:
        return False
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True


def _invalid(message: object) -> CommandError:
    return CommandError(ErrorCode.INVALID_MESSAGE, message)
