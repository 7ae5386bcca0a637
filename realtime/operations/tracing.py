"""Trace one user or connection: switch it on and off, and the topic that carries its lines."""

from functools import partial
from typing import Any

from ..engine.bus.notes import Trace as Note
from ..engine.engine import EVERYONE, Engine
from ..engine.notify import notify
from ..models import Trace
from ..store import traces
from ..store.database.servers import on_working_server
from ..store.database.transactions import on_commit
from ..store.traces import PERMISSION, TOPICS, TRACE_SECONDS, may_trace, may_watch, subject_of
from ..topics import Command, Event, Topic, command

__all__ = [
    "PERMISSION",
    "TRACE_SECONDS",
    "Lines",
    "Repeat",
    "TraceLines",
    "may_trace",
    "may_watch",
    "start",
    "stop",
    "subject_of",
]


class Lines(Event):
    """Some lines of a trace, from one process."""

    node: str
    lines: list[dict[str, Any]]
    is_over: bool
    """Whether the trace has ended; then these are the last lines of the process."""


class Repeat(Command):
    """Have all processes publish their last lines again, for a client that has come late."""


class TraceLines(Topic):
    """The lines of a trace, as they come; nothing is kept."""

    path = f"{TOPICS}<int:pk>"
    model = Trace
    events = [Lines]

    pk: int

    def may_subscribe(self) -> bool:
        """Admit staff with the permission to trace, or to view traces."""
        return self.identity.user_pk is not None and may_watch(self.identity.user)

    @command
    async def repeat(self, command: Repeat) -> None:
        """Have all processes publish their last lines again."""
        if (engine := Engine.here()) is not None:
            engine.hub.publish(EVERYONE, Note(self.pk))


@on_working_server
def start(subject: str, *, is_connection: bool = False, by: Any) -> Trace:
    """Trace a user, guest or connection in all processes, for ten minutes from the commit on.

    `by` is the user who traces: the trace ends when `by` loses the permission, which the caller
    checks before. Raises `CommandError` with `limit_exceeded` if too many traces are on.
    """
    trace = traces.start(subject, is_connection=is_connection, by=by)
    on_commit(partial(notify, EVERYONE, Note(0)))
    return trace


@on_working_server
def stop(trace: Trace) -> bool:
    """End a trace in all processes; return whether it was on."""
    was_on = traces.stop(trace.pk)
    on_commit(partial(notify, EVERYONE, Note(0)))
    return was_on
