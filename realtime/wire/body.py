"""What a message says: the fields that its sender chooses and a deletion removes.

A new field of messages is named in five places. `tests/wire/test_body.py` fails for each that
is missing.

1. `Body` and the functions of this module: from here the draft, the SQL, the stored state, the
   events, the limits of size, the admin and the tombstone have it. Its default is what the wire
   leaves out.
2. `models.Message`: a column of the same name with the same default, and its migration. The
   column must take the value as JSON has it.
3. `commands.Message`: with the bounds of what a client may send.
4. `push.RoomTarget.message`: what the site's own code may give.
5. `importing.OldMessage`: what an import may give.

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
"""More characters than a frame holds: instead of encoding a value only to count it."""


class Body(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fields of a message; the structs of states, events and drafts begin with it."""

    content: str | None = None
    data: dict[str, Any] | None = None


BODY_FIELDS: Final = Body.__struct_fields__

# By hand, not in loops over BODY_FIELDS: each runs for every message, and some for each of 500
# that a client resumes with.


def fields_of(source: Any) -> dict[str, Any]:
    """Return the fields of a body as a command, a draft, a state or a row has them."""
    return {"content": source.content, "data": source.data}


def copy_body(source: Any, target: Any) -> None:
    """Give a draft, a state, an event or a row the fields of another one's body."""
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
