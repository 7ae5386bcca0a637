"""Convert data of Python code to JSON values."""

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ...wire.clean import clean_data
from ...wire.errors import CommandError, ErrorCode

__all__ = ["plain"]


def plain(data: Any) -> dict[str, Any]:
    """Return a copy of data with the values that Django's `JsonResponse` would write.

    Dates, times, decimals, UUIDs and lazy strings become strings, tuples become lists, and keys
    that are numbers become strings. Raises `CommandError` for values that are not portable JSON.
    """
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise _invalid(format_lazy(_("The data must be a dict, not {kind}."), kind=kind))
    try:
        text = json.dumps(data, cls=DjangoJSONEncoder)
        copy = json.loads(text, object_pairs_hook=_unique)
    except (TypeError, ValueError, RecursionError) as error:
        message = _("The data cannot be written as JSON: {problem}.")
        raise _invalid(format_lazy(message, problem=str(error))) from error
    clean_data(copy)
    return copy  # type: ignore[no-any-return]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("two keys of a dict are the same as strings")
    return found


def _invalid(message: Promise) -> CommandError:
    return CommandError(ErrorCode.INVALID_MESSAGE, message)
