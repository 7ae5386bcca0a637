"""Fields of log records: which connection, user, room or topic, node and request a line is about.

Lines name what they are about at their beginning ("connection %s: …"). A line that is written in
the task of a connection belongs to that connection.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["ATTRIBUTE", "FIELDS", "Client", "Clients", "add_fields", "client", "clients"]

ATTRIBUTE = "realtime"
"""The attribute of a record that holds its fields; one name cannot collide with `extra`."""
FIELDS = ("connection", "user", "room", "topic", "node", "request_id")
SUBJECTS = {"connection", "user", "room", "topic", "node"}
MOST = 200
"""The longest value of a field: a client chooses some of them."""


class Client(Protocol):
    """A connection, as log records know it."""

    id: str

    @property
    def request_id(self) -> str:
        """The id of the request that has opened the page of the client; empty if unknown."""


def _nobody() -> None:
    return None


client: ContextVar[Callable[[], Client | None]] = ContextVar("realtime_client", default=_nobody)
"""A weak reference to the connection that the current task works for.

A task keeps the context in which it was made: that of a topic outlives the client who opened it.
"""


class Clients:
    """The search for a connection of this process by its id; `AppConfig.ready` sets `find`."""

    def __init__(self) -> None:
        self.find: Callable[[str], Client | None] = lambda connection: None


clients = Clients()


def add_fields(record: logging.LogRecord) -> None:
    """Give a record its known fields, as a dict of texts."""
    fields = _subject(record)
    own = client.get()()
    if own is None or fields.get("connection", own.id) != own.id:
        own = clients.find(fields["connection"]) if "connection" in fields else None
    if own is not None:
        identity: Any = getattr(own, "identity", None)
        user = "" if identity is None else identity.user_id
        fields = {"connection": own.id, "user": user, "request_id": own.request_id} | fields
    node = fields.get("connection", "").partition(".")[0]
    fields = {"node": node} | fields
    setattr(record, ATTRIBUTE, {name: fields[name][:MOST] for name in FIELDS if fields.get(name)})


def _subject(record: logging.LogRecord) -> dict[str, str]:
    """Return the field that the first words of a line name, as in "topic %s: …"."""
    message, values = record.msg, record.args
    if not isinstance(message, str) or not isinstance(values, tuple) or not values:
        return {}
    start, found, _ = message.partition(" %")
    words = start.split(" ")
    if not found or words[-1] not in SUBJECTS or len(words) > 2:
        return {}
    return {words[-1]: str(values[0])} if isinstance(values[0], str | int) else {}
