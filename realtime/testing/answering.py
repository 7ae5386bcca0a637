"""The answers of a client to the questions of the site."""

import msgspec

from ..wire.answering import Handler, Handlers
from ..wire.errors import CommandError
from .encoding import Item, plain

__all__ = ["Answering", "Handler"]


class Answering(Handlers):
    """The handlers of a client of the test kit."""

    def answer_to(self, item: Item) -> Item | None:
        """Return the fields of the `answer` to an `ask`; None without a handler."""
        entry = self.find(item["name"])
        if entry is None:
            return None
        kind, handler = entry
        try:
            found = handler(msgspec.convert(item["data"], kind))
        except CommandError as error:
            return {"ref": item["ref"], "code": str(error.code), "message": error.message}
        return {"ref": item["ref"], "data": plain({} if found is None else found)}
