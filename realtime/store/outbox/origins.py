"""The span that has published a draft, in its nonce, which follows the row to any process.

The nonce is one of the server's own, which no client gets and which any version takes for one.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from ...spans import Origin, spans
from ..logs import MADE_NONCE
from ..messages.drafts import Draft, Stored
from ..topics.drafts import EntryDraft, Kind

__all__ = ["Tracked", "nonce_of", "origin_of", "stored_by", "with_origin"]

START = f"{MADE_NONCE}t"
"""The begin of such a nonce: other made ones go on with hexadecimal digits."""
NUMBER_DIGITS = 12
"""What is left of the column for the digits that make a nonce unique."""
NONCE = re.compile(rf"{START}([0-9a-f]{{32}})([0-9a-f]{{16}})([0-9a-f]{{2}})[0-9a-f]*", re.ASCII)


def nonce_of(origin: Origin) -> str:
    """Return the nonce of a draft that a span publishes."""
    [nonce] = _nonces(origin, 1)
    return nonce


def origin_of(nonce: str | None) -> Origin | None:
    """Return the span that has published the draft with a nonce, if that is known."""
    if nonce is None or not nonce.startswith(START) or not spans.is_on:
        return None
    found = NONCE.fullmatch(nonce)
    return None if found is None else spans.read(f"00-{'-'.join(found.groups())}")


def with_origin(drafts: Sequence[EntryDraft], origin: Origin | None) -> Sequence[EntryDraft]:
    """Give drafts the span that publishes them, except those that have a nonce of the site."""
    if origin is None:
        return drafts
    return [
        draft
        if draft.nonce is not None or draft.kind == Kind.RIGHTS
        else replace(draft, nonce=nonce)
        for draft, nonce in zip(drafts, _nonces(origin, len(drafts)), strict=True)
    ]


def stored_by(draft: Draft, stored: Stored) -> Stored:
    """Give a message that was stored at once the span that has published it."""
    origin = spans.current() or origin_of(draft.nonce)
    return stored if origin is None else stored._replace(origin=origin)


class Tracked:
    """The origins of the drafts that one transaction stores, from its begin."""

    def __init__(self, drafts: Sequence[Any]) -> None:
        self._origins = [origin_of(draft.nonce) for draft in drafts] if spans.is_on else []
        self._began = time.time_ns() if self._origins else 0

    def announce(
        self, send: Callable[..., object], results: Sequence[Any], destination: str = ""
    ) -> Callable[[], object]:
        """Return what sends the new results after the commit, each with the span of that.

        `results` are those of the drafts, in the same order; `send` gets the new ones by `stored`.
        """
        origins = self._origins or [None] * len(results)
        pairs = [
            (one, origin)
            for one, origin in zip(results, origins, strict=True)
            if getattr(one, "is_new", False)
        ]

        def tell() -> None:
            number = len(pairs)
            known = [origin for _, origin in pairs]
            span = spans.batch("number", known, destination, number, self._began)
            made = span.origin
            span.end()
            send(
                stored=[
                    one if origin is None else one._replace(origin=made) for one, origin in pairs
                ]
            )

        return tell


def _nonces(origin: Origin, count: int) -> Iterator[str]:
    """Yield unique nonces: two spans have the same ids where the site's code seeds `random`."""
    start = f"{START}{origin.trace_id:032x}{origin.span_id:016x}{origin.trace_flags:02x}"
    most = 16**NUMBER_DIGITS
    first = secrets.randbelow(most)
    for number in range(first, first + count):
        yield f"{start}{number % most:0{NUMBER_DIGITS}x}"
