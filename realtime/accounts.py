"""Erase or rename the messages of a user; for views and signals.

    accounts.erase_user(user)                  # before or after the account is deleted
    accounts.rename_user(user, "Ada L.")       # on all earlier messages

Open clients get events. A large number of messages takes a while, so call it in a job then. Both
may be repeated, and continue where they were interrupted.
"""

from collections.abc import Iterator
from typing import Any

from asgiref.sync import sync_to_async

from .retention import is_held
from .store.accounts.display import NAME_CHARACTERS
from .store.accounts.users import key_of, pk_of
from .store.moderation import entries, erasing
from .store.moderation.entries import DueEntries

__all__ = [
    "aerase_user",
    "arename_user",
    "due_entries",
    "due_texts",
    "erase_in_parts",
    "erase_user",
    "held_texts",
    "rename_user",
]

DELETED_USER = "Deleted user"
"""Not translated: a repeat in another language would write all the messages again."""


def erase_user(user: Any, *, name: str = "") -> int:
    """Erase all messages and the name of a user or guest; return how many messages.

    `user` is a user, its primary key, or a `user_id`; the account may be deleted already. Messages
    become tombstones under `name`, by default "Deleted user"; those in rooms on legal hold stay.
    Memberships with read marks, the block list and the reasons of reports are deleted, and so are
    the events and values of topics whose sender is the user. Sanctions in force stay, without the
    name; the admin's log stays. Raises `CommandError` with `unknown_user` for an invalid `user_id`.
    """
    return sum(erase_in_parts(user, name=name))


def erase_in_parts(user: Any, *, name: str = "") -> Iterator[int]:
    """Do the work of `erase_user`; each part is committed when the iterator advances.

    Yields the number of messages of each part, which is 0 for a part of entries of topics.
    """
    key, name = key_of(user), (name or DELETED_USER)[:NAME_CHARACTERS]
    yield from erasing.erase_texts(key, name)
    yield from (0 for _ in entries.erase_entries(key, is_held))
    erasing.erase_traces(key, pk_of(key), name)


def due_texts(user: Any) -> int:
    """Return how many messages of a user or guest have a text that can be erased."""
    return erasing.due_texts(key_of(user))


def due_entries(user: Any) -> DueEntries:
    """Return how many entries of topics of a user can be erased, and how many are on hold."""
    return entries.due_entries(key_of(user), is_held)


def held_texts(user: Any) -> int:
    """Return how many messages of a user or guest are in rooms on legal hold."""
    return erasing.held_texts(key_of(user))


def rename_user(user: Any, name: str) -> int:
    """Change the name on all messages of a user or guest; return how many messages."""
    return sum(erasing.rename(key_of(user), name[:NAME_CHARACTERS]))


async def aerase_user(user: Any, **kwargs: Any) -> int:
    """Erase all messages and the name of a user or guest."""
    return await sync_to_async(erase_user)(user, **kwargs)


async def arename_user(user: Any, name: str) -> int:
    """Change the name on all messages of a user or guest."""
    return await sync_to_async(rename_user)(user, name)
