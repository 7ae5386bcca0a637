"""Fields of log records: which connection, user, room or topic, node and request a line is about.

Lines name what they are about at their beginning ("connection %s: …"), or name all their values
("%(connection)s"). A line that is written in the task of a connection belongs to that connection,
and one that is written during an HTTP request has the id of that request.
"""

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["ATTRIBUTE", "FIELDS", "Client", "Process", "add_fields", "client", "process", "request"]

ATTRIBUTE = "realtime"
"""The attribute of a record that holds its fields; one name cannot collide with `extra`."""
FIELDS = ("connection", "user", "address", "room", "topic", "node", "request_id")
SUBJECTS = {"connection", "user", "room", "topic", "node"}
MOST = 200
"""The longest value of a field: a client chooses some of them."""


class Client(Protocol):
    """A connection, as log records know it."""

    id: str
    peer_address: str
    """The exact address of the client; empty if it is unknown."""

    @property
    def request_id(self) -> str:
        """The id of the request that has opened the page of the client; empty if unknown."""


def _nobody() -> None:
    return None


client: ContextVar[Callable[[], Client | None]] = ContextVar("realtime_client", default=_nobody)
"""A weak reference to the connection that the current task works for.

A task keeps the context in which it was made: that of a topic outlives the client who opened it.
"""


request: ContextVar[str] = ContextVar("realtime_request", default="")
"""The id of the HTTP request that the current code works for, which the middleware sets."""


class Process:
    """What lines know of their process; `AppConfig.ready` sets both functions."""

    def __init__(self) -> None:
        self.find: Callable[[str], Client | None] = lambda connection: None
        """Returns a connection of this process by its id."""
        self.node: Callable[[], str] = lambda: ""
        """Returns the id of the node; empty in a process that serves no sockets."""


process = Process()


def add_fields(record: logging.LogRecord, escape: Callable[[str], str]) -> None:
    """Give a record its known fields, as a dict; `escape` keeps each one on a line."""
    fields = _subject(record)
    own = client.get()()
    if own is None or fields.get("connection", own.id) != own.id:
        own = process.find(fields["connection"]) if "connection" in fields else None
    if own is not None:
        fields = _of(own) | fields
    node = fields.get("connection", "").partition(".")[0] or process.node()
    fields = {"node": node, "request_id": request.get()} | fields
    known = {name: escape(fields[name][:MOST]) for name in FIELDS if fields.get(name)}
    setattr(record, ATTRIBUTE, known | _others(record))


def _of(own: Client) -> dict[str, str]:
    identity: Any = getattr(own, "identity", None)
    found = {"connection": own.id, "user": "" if identity is None else identity.user_id}
    found["address"] = own.peer_address
    if own.request_id:
        found["request_id"] = own.request_id
    return found


def _others(record: logging.LogRecord) -> dict[str, Any]:
    """Return the named values of a line that are none of `FIELDS`."""
    if not isinstance(record.args, Mapping):
        return {}
    return {name: value for name, value in record.args.items() if name not in FIELDS}


def _subject(record: logging.LogRecord) -> dict[str, str]:
    """Return the field that the first words of a line name, as in "topic %s: …", or named ones."""
    message, values = record.msg, record.args
    if isinstance(values, Mapping):
        return {name: str(values[name]) for name in FIELDS if values.get(name)}
    if not isinstance(message, str) or not isinstance(values, tuple) or not values:
        return {}
    start, found, _ = message.partition(" %")
    words = start.split(" ")
    if not found or words[-1] not in SUBJECTS or len(words) > 2:
        return {}
    return {words[-1]: str(values[0])} if isinstance(values[0], str | int) else {}
