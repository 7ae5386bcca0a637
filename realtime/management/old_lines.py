"""The lines of an import: one JSON object for each message."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_naive

from realtime.importing import OldMessage
from realtime.store.accounts.identity import GUEST, SITE
from realtime.store.accounts.users import pk_of, users_by_pk

from .operation import is_storable

__all__ = ["Line", "read_line", "with_users"]

FIELDS = {"id", "room", "sender", "username", "content", "created_at", "data"}
IGNORED = {"kind", "edited_at"}
"""Fields of an export that an import does not need."""
NONCE = "import:"


class Line(NamedTuple):
    """One message of an import."""

    number: int
    room: str
    message: OldMessage


def read_line(text: str, number: int, zone: tzinfo | None) -> Line | None:
    """Return the message of a line; None for a row of an export that is no message.

    Raises `ValueError` with a sentence that says what is wrong.
    """
    try:
        row = json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise ValueError("it must be a JSON object.")
    if row.get("kind", "message") != "message":
        return None
    if unknown := sorted(row.keys() - FIELDS - IGNORED):
        raise ValueError(f"there is no field {unknown[0]!r}; known: {', '.join(sorted(FIELDS))}.")
    message = OldMessage(
        content=_text(row, "content"),
        created_at=_moment(_text(row, "created_at"), zone),
        sender=_text(row, "sender", ""),
        username=_text(row, "username", ""),
        data=row.get("data"),
        nonce=NONCE + _id(row),
    )
    return Line(number, _text(row, "room", ""), message)


def with_users(lines: Iterable[Line]) -> Iterator[Line]:
    """Connect the messages with the accounts of their senders, by one query."""
    lines = list(lines)
    keys = {one.message.sender: _key(one.message.sender) for one in lines}
    users = users_by_pk({pk for pk in keys.values() if pk is not None})
    for line in lines:
        user = users.get(keys[line.message.sender])
        yield line if user is None else line._replace(message=replace(line.message, user=user))


def _key(sender: str) -> Any:
    return pk_of(sender) if sender and not sender.startswith((GUEST, SITE)) else None


def _text(row: dict[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name, default)
    if value is None:
        raise ValueError(f"`{name}` is missing.")
    if not isinstance(value, str):
        raise ValueError(f"`{name}` must be a string, not {value!r}.")
    if not is_storable(value):
        raise ValueError(f"`{name}` has NUL or half a surrogate pair, which cannot be stored.")
    return value


def _id(row: dict[str, Any]) -> str:
    """Return the id by which a repeated import knows the message."""
    value = row.get("id")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = str(value) if is_number else _text(row, "id")
    most = 64 - len(NONCE)
    if not 0 < len(text) <= most:
        raise ValueError(f"`id` must have from 1 to {most} characters.")
    return text


def _moment(text: str, zone: tzinfo | None) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"`created_at` must be a date such as 2019-05-01T12:00:00Z, not {text!r}.")
    if is_naive(moment):
        if zone is None:
            raise ValueError(f"`created_at` {text!r} has no time zone. Add it, or give --zone.")
        moment = moment.replace(tzinfo=zone)
    return moment if settings.USE_TZ else make_naive(moment)
