"""The handlers of a client for the questions of the site, found by the names of the questions."""

from collections.abc import Callable
from typing import Any

from .tags import name_of

__all__ = ["Handler", "Handlers"]

Handler = Callable[[Any], Any]


class Handlers:
    """The handlers of a client, each with the class of its questions; a dict has no class."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Any, Handler]] = {}

    def add(self, question: Any, handler: Handler) -> Callable[[], None]:
        """Answer questions of a class, or of a name; return a function that ends this."""
        is_name = isinstance(question, str)
        name, kind = (question, dict) if is_name else (name_of(question), question)
        entry = self._handlers[name] = kind, handler

        def stop() -> None:
            if self._handlers.get(name) is entry:
                del self._handlers[name]

        return stop

    def find(self, name: str) -> tuple[Any, Handler] | None:
        """Return the class of a question and its handler; None without one."""
        return self._handlers.get(name)
