"""The span of a layer message, which the message carries to the processes that receive it.

An earlier version ignores both fields. Without a span, a message has neither.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...spans import OFF, Origin, Span, spans, write
from .note_queue import QueuedNote

__all__ = ["begin_fan_out", "carry", "origins_of"]

PARENT = "traceparent"
NUMBERS = "traced"
"""The field with the numbers of the notes that come from a span."""


def begin_fan_out(batch: Sequence[QueuedNote]) -> Span:
    """Begin the span of a layer message; `OFF` if none of its notes comes from a span."""
    if not spans.is_on:
        return OFF
    return spans.batch("fan_out", (entry.origin for entry in batch), number=len(batch))


def carry(message: dict[str, Any], batch: Sequence[QueuedNote], span: Span) -> None:
    """Have a layer message carry its span."""
    if (origin := span.origin) is not None:
        message[PARENT] = write(origin)
        message[NUMBERS] = [n for n, entry in enumerate(batch) if entry.origin is not None]


def origins_of(message: Mapping[str, Any]) -> dict[int, Origin]:
    """Return the span of a received message for each note that comes from one, by its number."""
    if (origin := spans.read(message.get(PARENT))) is None:
        return {}
    numbers = message.get(NUMBERS)
    known = numbers if isinstance(numbers, list) else []
    return dict.fromkeys((one for one in known if isinstance(one, int)), origin)
