"""Validation of values that a client sends, before they reach the database and other clients.

JSON and MessagePack allow values that PostgreSQL, JavaScript or another client cannot represent.
They are refused here, in one place for all encodings.
"""

import json
import math
import re
from contextlib import suppress
from typing import Any

import msgpack
import msgspec

from .errors import CommandError, ErrorCode
from .text import Text as _

__all__ = [
    "MAX_DATA_BYTES",
    "MAX_DEPTH",
    "MAX_INTEGER",
    "as_sent",
    "clean",
    "clean_data",
    "is_shallow",
    "refuse_duplicates",
    "refuse_many",
]

MAX_INTEGER = 2**53 - 1
"""The largest integer that JavaScript keeps exact (RFC 8259, section 6)."""
MAX_DEPTH = 16
MAX_DATA_BYTES = 8 * 1024

MAX_PARTS = MAX_DATA_BYTES // 2
"""The most strings, objects and lists of a command: `data` has fewer than 2,800."""
FEW_BYTES = 2 * MAX_PARTS
"""A frame of this length cannot have more parts: in JSON, each needs two bytes."""
STRING = re.compile(r'"([^"\\]*)"(\s*:)?')
DEEP = re.compile(rf"(?:[\[{{][^\[\]{{}}]*){{{MAX_DEPTH + 1}}}")
ESCAPED_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def clean(command: msgspec.Struct) -> None:
    """Refuse a decoded command that contains NUL, or `data` that cannot be stored.

    Raises `CommandError` with `invalid_message` or `too_large`.
    """
    for name in command.__struct_fields__:
        value = getattr(command, name)
        if value is not None:
            _clean_value(value)


def _clean_value(value: Any) -> None:
    """Check one field; a command of a site may have lists and structs of anything."""
    kind = type(value)
    if kind is str:
        _clean_text(value)
    elif kind is int or kind is float:
        _clean_number(value)
    elif kind is dict:
        clean_data(value)
    elif kind is list or kind is tuple or kind is set or kind is frozenset:
        for item in value:
            if item is not None:
                _clean_value(item)
    elif isinstance(value, msgspec.Struct):
        clean(value)


def clean_data(data: dict[str, Any], most: int = MAX_DATA_BYTES) -> None:
    """Refuse a JSON object that is too deep, too large or not the same everywhere.

    Allowed: string keys, strings without NUL, booleans, null, finite floats, integers
    within ±(2**53 - 1), at most 16 levels and `most` bytes as JSON.
    Raises `CommandError` with `invalid_message` or `too_large`.
    """
    if _is_large(data, most):  # first, because checking each value takes longer
        raise _too_large(most)
    _walk(data, most)


def refuse_many(frame: str | bytes) -> None:
    """Refuse an object with so many parts that decoding it would stall all other clients.

    A list is cheap, but thousands of lists start full garbage collections. Call this before
    decoding. Raises `CommandError` with `too_large`.
    """
    if len(frame) <= FEW_BYTES:
        return
    if isinstance(frame, bytes):
        count = _Count()
        with suppress(ValueError, RecursionError):  # the decoder reports these better
            msgpack.unpackb(frame, object_pairs_hook=count.add, list_hook=count.add)
    else:
        _refuse_many_parts(frame)


class _Count:
    """Counts the objects with their keys, and the lists, while a frame is decoded."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 0

    def add(self, values: list[Any]) -> None:
        is_object = bool(values) and type(values[0]) is tuple
        self._number += 1 + (len(values) if is_object else 0)
        if self._number > MAX_PARTS:
            raise _too_many_parts()


def _refuse_many_parts(text: str) -> None:
    if text.count("{") + text.count("[") + text.count('"') // 2 <= MAX_PARTS:
        return
    bare, strings = ESCAPED_STRING.subn("", text, count=MAX_PARTS)  # a string may contain brackets
    if strings == MAX_PARTS or strings + bare.count("{") + bare.count("[") > MAX_PARTS:
        raise _too_deep() if DEEP.search(bare) else _too_many_parts()


def _is_large(data: dict[str, Any], most: int) -> bool:
    try:
        return len(msgspec.json.encode(data)) > most
    except (TypeError, ValueError, RecursionError):  # not JSON: see `_walk`
        return False


def is_shallow(value: Any) -> bool:
    """Return whether a decoded JSON value has at most 16 levels.

    How deep a decoder goes before it raises differs between versions of Python.
    """
    level = [value]
    for _level in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _containers_in(outer)]
    return not level


def _containers_in(value: Any) -> list[Any]:
    values = value.values() if type(value) is dict else value if type(value) is list else ()
    return [inner for inner in values if type(inner) in (dict, list)]


def as_sent(value: Any) -> Any:
    """Return data as `clean_data` accepted it, from data that a database returns.

    PostgreSQL's jsonb has one kind of number: 1e300 returns as an integer that cannot be encoded.
    """
    kind = type(value)
    if kind is dict:
        return {key: as_sent(item) for key, item in value.items()}
    if kind is list:
        return [as_sent(item) for item in value]
    if kind is int and abs(value) > MAX_INTEGER:
        return float(value)
    return value


def refuse_duplicates(frame: str | bytes) -> None:
    """Refuse an object that has a key twice: clients would not agree on its meaning.

    RFC 8259, section 4. This includes the fields that a decoder skips as unknown.
    Raises `CommandError` with `invalid_message`, and `RecursionError`.
    """
    # The hook is not Python code, because a frame may have thousands of objects.
    maps: list[list[tuple[Any, Any]]] = []
    try:
        if isinstance(frame, bytes):
            msgpack.unpackb(frame, object_pairs_hook=maps.append)
        elif _may_repeat_a_key(frame):
            json.loads(frame, object_pairs_hook=maps.append)
    except ValueError:
        raise _invalid(_("The command has a value that not every client can read.")) from None
    _check_unique(maps)


def _may_repeat_a_key(text: str) -> bool:
    if "\\" in text:
        return True
    # Values are matched too, so that the text between two strings is not mistaken for a string.
    keys = [string for string, colon in STRING.findall(text) if colon]
    return len(set(keys)) < len(keys)


def _check_unique(maps: list[list[tuple[Any, Any]]]) -> None:
    for pairs in maps:
        if len(pairs) > 1 and len(dict(pairs)) < len(pairs):
            raise _invalid(_("An object must not have a key twice."))


def _walk(data: dict[str, Any], most: int) -> None:
    """Check each value once.

    The values of an object or list are counted before they are checked, so that a frame full of
    them costs little: each needs a byte and a separator.
    """
    level: list[Any] = [data]
    depth, number = 1, 0
    while level:
        inner: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                _clean_text(value)
            elif kind is dict or kind is list or kind is tuple:
                number += len(value)
                if number > most // 2:
                    raise _too_large(most)
                if depth > MAX_DEPTH:
                    raise _data_too_deep()
                if kind is dict:
                    _clean_keys(value)
                    inner.extend(value.values())
                else:
                    inner.extend(value)
            elif isinstance(value, msgspec.Struct):  # in a dictionary of a site's command
                clean(value)
            elif kind is not bool and value is not None:
                _clean_number(value)
        level = inner
        depth += 1


def _clean_keys(data: dict[Any, Any]) -> None:
    for key in data:
        if type(key) is not str:
            raise _invalid(_("Keys must be strings."))
        _clean_text(key)


def _clean_number(value: Any) -> None:
    kind = type(value)
    if kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise _invalid(_("Integers must be within ±(2**53 - 1)."))
    elif kind is not float:
        raise _invalid(_("The data may have only values that JSON has."))
    elif not math.isfinite(value):
        raise _invalid(_("Numbers must be finite."))


def _clean_text(text: str) -> None:
    if "\x00" in text:
        raise _invalid(_("Text must not contain NUL characters."))
    # MessagePack and the server's own decoder accept no surrogates, but Python code may pass some.
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _invalid(_("Text must be valid Unicode.")) from None


def _too_deep() -> CommandError:
    return _invalid(_("The command is nested too deeply."))


def _data_too_deep() -> CommandError:
    return _invalid(_("The data may have at most {number} levels.", number=MAX_DEPTH))


def _too_many_parts() -> CommandError:
    message = _("A command may have at most {number} strings, objects and lists.", number=MAX_PARTS)
    return CommandError(ErrorCode.TOO_LARGE, message)


def _too_large(most: int) -> CommandError:
    message = _("The data may have at most {number} bytes as JSON.", number=most)
    return CommandError(ErrorCode.TOO_LARGE, message)


def _invalid(message: object) -> CommandError:
    return CommandError(ErrorCode.INVALID_MESSAGE, message)
