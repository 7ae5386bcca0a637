"""The body of a message: the fields that its sender chooses and a deletion removes.

A new field of messages is named in five places. `tests/wire/test_body.py` fails for each that
is missing.

1. `Body` and the functions of this module: the draft, the SQL, the stored state, the events, the
   limits of size, the admin and the tombstone get it from here. The wire leaves its default out.
2. `models.Message`: a column of the same name with the same default, and its migration. The
   column must take the value as JSON has it.
3. `commands.Message`: with the bounds of what a client may send.
4. `push.RoomTarget.message`: for the site's own code.
5. `importing.OldMessage`: for imports.

Then describe the field in `docs/protocol.md`.
"""

from typing import Any, Final

import msgspec

__all__ = [
    "BODY_FIELDS",
    "LARGE",
    "Body",
    "characters",
    "copy_body",
    "fields_of",
    "memory_size",
    "stored_size",
]

LARGE: Final = 2**31
"""More characters than a frame holds: the size of a value that is not encoded only to count it."""


class Body(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fields of a message; the structs of states, events and drafts begin with it."""

    content: str | None = None
    data: dict[str, Any] | None = None


BODY_FIELDS: Final = Body.__struct_fields__

# Written out, without loops over BODY_FIELDS: each runs for every message, and some run for each
# of the 500 messages of a resume.


def fields_of(source: Any) -> dict[str, Any]:
    """Return the body of a command, a draft, a state or a row as a dictionary."""
    return {"content": source.content, "data": source.data}


def copy_body(source: Any, target: Any) -> None:
    """Copy the body of a draft, a state, an event or a row to another one."""
    target.content = source.content
    target.data = source.data


def stored_size(source: Any) -> int:
    """Return how many bytes the fields of a body take in the database."""
    size = len(source.content.encode())
    return size if source.data is None else size + len(msgspec.json.encode(source.data))


def memory_size(body: Body) -> int:
    """Return about how many bytes the fields of a body take in memory."""
    return len(body.content or "") * 2 + (len(str(body.data)) if body.data else 0)


def characters(body: Body) -> int:
    """Return how many characters a body has as JSON, before escapes; `LARGE` with `data`."""
    return LARGE if body.data is not None else len(body.content or "")
