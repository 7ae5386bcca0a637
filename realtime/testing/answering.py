"""The answers of a client to the questions of the site."""

from collections.abc import Callable
from typing import Any

import msgspec

from ..wire.errors import CommandError
from ..wire.tags import name_of
from .encoding import Item, plain

__all__ = ["Answering", "Handler"]

Handler = Callable[[Any], Any]


class Answering:
    """The handlers of a client, by the names of questions."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Any, Handler]] = {}

    def add(self, question: Any, handler: Handler) -> None:
        """Answer questions of a class, or of a name, by a handler."""
        name = question if isinstance(question, str) else name_of(question)
        self._handlers[name] = dict if isinstance(question, str) else question, handler

    def answer_to(self, item: Item) -> Item | None:
        """Return the fields of the `answer` to an `ask`; None without a handler."""
        kind, handler = self._handlers.get(item["name"], (None, None))
        if handler is None:
            return None
        try:
            found = handler(msgspec.convert(item["data"], kind))
        except CommandError as error:
            return {"ref": item["ref"], "code": str(error.code), "message": error.message}
        return {"ref": item["ref"], "data": plain({} if found is None else found)}
