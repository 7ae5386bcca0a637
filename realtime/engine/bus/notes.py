"""The notes between processes, and the validation of notes that another process sent."""

from typing import Any

import msgspec

__all__ = ["Note", "People", "check", "read_people"]

Note = list[Any]
"""A kind, then strings and numbers."""
People = list[tuple[str, str, str]]
"""User id, name and connection of each."""
CLOSE_CODES = range(4000, 5000)


class _Anything(msgspec.Struct):
    type: str


_decode = msgspec.json.Decoder(_Anything).decode
_decode_people = msgspec.json.Decoder(tuple[People, People]).decode


def check(note: Any) -> Note:
    """Return a note that is safe to take; what `Event.of_text` and `read_people` read is theirs.

    Raises `ValueError` or `RecursionError` for anything else.
    """
    match note:
        case ["say" | "whisper", str(text), str()] if "\n" not in text:
            _decode(text)
        case ["end", int(code), str(), str()] if code in CLOSE_CODES:
            pass
        case ["say" | "whisper" | "end", *_]:
            raise ValueError("a note has wrong values")
        case ["log", _, _, str(), str(text)] if "\n" in text:
            raise ValueError("an event is one line")
        case [str(), *_]:
            pass
        case _:
            raise ValueError("a note is a list that begins with its kind")
    sound: Note = note
    return sound


def read_people(text: str) -> tuple[People, People]:
    """Return who came and who left. Raises `ValueError`."""
    return _decode_people(text)
