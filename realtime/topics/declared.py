"""What a topic class declares: its path, its events, and for how long they are kept."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation

from ..wire.tags import name_of
from .paths import Path
from .structs import Event

__all__ = ["OWN_KEYS", "Declared"]

OWN_KEYS = "realtime:"
"""How the keys begin that the package sets itself."""


class Declared:
    """The declarations of a topic class, and the name of one topic."""

    path: ClassVar[str] = ""
    """The path, such as `order/<int:pk>`. A class without one is a base of others."""
    events: ClassVar[Sequence[type[Event]]] = ()
    """The events that may be published."""
    keep: ClassVar[timedelta | None] = None
    """How long events are stored; None: they are sent once, and not stored."""
    presence: ClassVar[bool] = False
    """Whether it is known who is subscribed, and told to the clients that may see it."""
    signed: ClassVar[bool] = False
    """Whether the signature of a page permits to subscribe, without asking `may_subscribe`."""

    _route: ClassVar[Path]
    _events_by_name: ClassVar[dict[str, type[Event]] | None]
    _name: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._route = Path(cls.path)
        cls._events_by_name = None

    @property
    def name(self) -> str:
        """The name of the topic: its path with the values."""
        return self._name

    @classmethod
    def has_path(cls) -> bool:
        """Return whether the class has a path; without one, it is a base of others."""
        return isinstance(cls.path, str) and cls.path != ""

    @classmethod
    def route(cls) -> Path:
        """Return the path, with its converters."""
        return cls._route

    @classmethod
    def event_named(cls, name: str) -> type[Event] | None:
        """Return the event with a name, or None."""
        if cls._events_by_name is None:
            cls._events_by_name = {name_of(event): event for event in cls.events}
        return cls._events_by_name.get(name)

    @classmethod
    def _check_event(cls, event: Event) -> None:
        """Raise `TypeError` for an event that the class does not list."""
        if isinstance(event, Event) and type(event) in cls.events:
            return
        listed = ", ".join(one.__name__ for one in cls.events) or "nothing"
        kind = event.__name__ if isinstance(event, type) else type(event).__name__
        fault = f"{cls.__qualname__} cannot publish {kind}: its `events` list {listed}"
        raise TypeError(f"{fault}. Add the event there, and publish an instance of it.")

    @classmethod
    def _check_kept(cls, action: str) -> None:
        """Raise `ImproperlyConfigured` if the class stores nothing."""
        if cls.keep is None:
            fault = f"{cls.__qualname__} stores nothing, so it has no {action}"
            raise ImproperlyConfigured(f"{fault}: write `keep = timedelta(days=7)` in the class.")

    @classmethod
    def _check_presence(cls) -> None:
        """Raise `ImproperlyConfigured` if the class does not know who is subscribed."""
        if not cls.presence:
            fault = f"{cls.__qualname__} does not know who is subscribed"
            raise ImproperlyConfigured(f"{fault}: write `presence = True` in the class.")

    @classmethod
    def _check_thread(cls, method: str) -> None:
        """Raise `SynchronousOnlyOperation` if a method that uses the database is called in a loop.

        Django would raise it too, but from the depths of a query and with no word on what to write.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            fault = f"{cls.__qualname__}.{method}() cannot be called from async code"
            raise SynchronousOnlyOperation(f"{fault}: write `await self.a{method}(…)`.")
