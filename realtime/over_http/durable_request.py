"""A request to read a room or topic as a durable stream: what its address and headers say."""

import re
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from msgspec import json

from ..wire.clean import MAX_INTEGER
from ..wire.errors import ErrorCode
from ..wire.text import Text as _
from .refusal import Refusal
from .request import POLL_SECONDS, Mode, Request, header_of

__all__ = ["BEGINNING", "NONE_READ", "DurableRequest", "Offset", "encoded"]

PAGE = 100
OFFSET = re.compile(r"([0-9]{16})_([\w-]{0,64})", re.ASCII)
BEGINNING, NOW = "-1", "now"
MODES = {"": Mode.COMMANDS, "long-poll": Mode.POLL, "sse": Mode.STREAM}
BAD_OFFSET = _("Write `offset` as a response has named it, or as -1 or now.")
BAD_LIVE = _("Write `live` as long-poll or sse.")
OTHER_SITES = ("cross-site", "same-site")
FOREIGN = _("Links and pages of other sites may not read with the cookie of this site.")
NEEDS_OFFSET = _("A live read needs an `offset`.")


class Offset(NamedTuple):
    """A position in a log, and the epoch of the log."""

    seq: int
    epoch: str

    def __str__(self) -> str:
        return f"{self.seq:016d}_{self.epoch}"


NONE_READ = Offset(0, "")
"""The offset of a client that has read nothing, whatever the epoch of the log."""


class DurableRequest(NamedTuple):
    """What a client wants to read.

    `offset` is None for the beginning, and for now.
    """

    kind: str
    name: str
    mode: Mode
    offset: Offset | None
    is_now: bool
    live: str
    is_head: bool
    cursor: int
    known: str
    """The ETag of what the client has."""

    @classmethod
    def of(cls, scope: dict[str, Any], kind: str, name: str) -> "DurableRequest":
        """Read the address and the headers; raise `Refusal` for a mistake."""
        _refuse_foreign(scope)
        query = parse_qs(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
        text, live = _one(query, "offset"), _one(query, "live")
        if live is not None and live not in ("long-poll", "sse"):
            raise _mistake(BAD_LIVE)
        if live is not None and text is None:
            raise _mistake(NEEDS_OFFSET)
        is_head = scope["method"] == "HEAD"
        offset = _offset(BEGINNING if text is None else text)
        mode = Mode.COMMANDS if is_head else MODES[live or ""]
        cursor = _one(query, "cursor") or ""
        return cls(
            kind=kind,
            name=name,
            mode=mode,
            offset=offset,
            is_now=is_head or text == NOW,
            live=live or "",
            is_head=is_head,
            cursor=int(cursor[:15]) if cursor.isascii() and cursor.isdigit() else 0,
            known=header_of(scope, b"if-none-match"),
        )

    @property
    def request(self) -> Request:
        """The request of protocol v1 that reads this."""
        return Request(self.mode, POLL_SECONDS, None)

    @property
    def commands(self) -> str:
        """The commands that read this."""
        if self.mode is Mode.COMMANDS:
            return self.pages
        enter = {"type": "join" if self.kind == "room" else "subscribe", **self._target}
        if not self.is_now:
            seq, epoch = self.offset or NONE_READ
            enter["since"] = {"seq": seq, "epoch": epoch}
        return encoded({**enter, "history": 0})

    @property
    def pages(self) -> str:
        """The commands that read the next page, or the newest one if older ones were purged."""
        return "\n".join([self._page, encoded({**self._history, "ref": 2})])

    @property
    def _page(self) -> str:
        after = (self.offset or NONE_READ).seq
        if self.is_now:
            after = MAX_INTEGER  # beyond the end: the answer says where that is
        return encoded({**self._history, "after": after})

    @property
    def _history(self) -> dict[str, Any]:
        return {"type": "history", **self._target, "limit": PAGE}

    @property
    def _target(self) -> dict[str, Any]:
        return {self.kind: self.name, "ref": 1}


def _refuse_foreign(scope: dict[str, Any]) -> None:
    """Refuse what a browser sends for another site: a read may make its user a member of a room.

    With a link or an image it sends the cookie, and no `Origin`.
    """
    is_foreign = header_of(scope, b"sec-fetch-site") in OTHER_SITES
    if is_foreign and header_of(scope, b"cookie") and not header_of(scope, b"origin"):
        raise Refusal(HTTPStatus.FORBIDDEN, ErrorCode.PERMISSION_DENIED, FOREIGN)


def _one(query: dict[str, list[str]], name: str) -> str | None:
    found = query.get(name, [])
    if len(found) > 1:
        raise _mistake(BAD_OFFSET if name == "offset" else BAD_LIVE)
    return found[0] if found else None


def _offset(text: str) -> Offset | None:
    if text in (BEGINNING, NOW):
        return None
    found = OFFSET.fullmatch(text)
    if found is None or int(found[1]) > MAX_INTEGER:
        raise _mistake(BAD_OFFSET)
    return Offset(int(found[1]), found[2])


def _mistake(message: object) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, ErrorCode.INVALID_MESSAGE, message)


def encoded(value: Any) -> str:
    """Return a value as JSON text."""
    return json.encode(value).decode()
