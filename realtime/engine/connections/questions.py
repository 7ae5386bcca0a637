"""The questions to the clients of this process that have no answer yet.

A question belongs to one connection. Only the first answer of that connection counts. The end of
the connection is told to the asker at once.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ...wire.codecs import Frame
from ...wire.commands import Answer
from ...wire.errors import CommandError, ErrorCode
from ...wire.text import Text as _
from ..bus.notes import Answered, Outcome, Question
from .connection import Connection, speaks_protocol

__all__ = ["Questions"]

MOST = 16
"""The questions to one connection that may be open at the same time."""
NOT_OPEN = _("There is no open question with this `ref`: it was answered, or its time is over.")
TOO_MANY = "This connection has 16 open questions. Wait until some are answered."


class _Open(NamedTuple):
    reply: str
    timer: asyncio.TimerHandle


class Questions:
    """The open questions of a process; `reply(topic, note)` sends a result to the asker."""

    def __init__(self, reply: Callable[[str, Answered], None]) -> None:
        self._reply = reply
        self._open: dict[str, dict[str, _Open]] = {}
        """The open questions by connection, then by `ref`."""

    def __len__(self) -> int:
        """Return the number of open questions."""
        return sum(map(len, self._open.values()))

    def ask(self, connection: Connection | None, note: Question) -> None:
        """Send a question to a client; answer at once for a client that cannot be asked."""
        if connection is None or connection.one_way is not None:  # it could not answer
            self._refuse(note, "gone")
        elif not speaks_protocol(connection):
            self._refuse(note, "unsupported")
        elif len(self._open.get(connection.id, ())) >= MOST:
            self._refuse(note, ErrorCode.LIMIT_EXCEEDED, TOO_MANY)
        else:
            self._send(connection, note)

    def answer(self, connection: Connection, command: Answer) -> None:
        """Give the answer of a client to the asker.

        Raises `CommandError` with `conflict` if the connection has no such question.
        """
        question = self._open.get(connection.id, {}).pop(command.ref, None)
        if question is None:
            raise CommandError(ErrorCode.CONFLICT, NOT_OPEN)
        question.timer.cancel()
        self._reply(question.reply, _answered(command))

    def _send(self, connection: Connection, note: Question) -> None:
        if connection.id not in self._open:
            self._open[connection.id] = {}
            connection.acquire(self._end)
        mine = self._open.get(connection.id)
        if mine is None or note.ref in mine:
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(note.seconds, mine.pop, note.ref, None)
        mine[note.ref] = _Open(note.reply, timer)
        connection.outbox.send(connection.codec.join([Frame(note.text)]))

    def _end(self, connection: Connection) -> None:
        """Tell the askers that the connection has ended."""
        for ref, question in self._open.pop(connection.id, {}).items():
            question.timer.cancel()
            self._reply(question.reply, Answered(ref, Outcome.UNKNOWN, "gone", ""))

    def _refuse(self, note: Question, code: str, text: str = "") -> None:
        self._reply(note.reply, Answered(note.ref, Outcome.NOT_SENT, code, text))


def _answered(command: Answer) -> Answered:
    if command.code is not None:
        return Answered(command.ref, Outcome.REFUSED, command.code, command.message)
    data = msgspec.json.encode(command.data or {}).decode()
    return Answered(command.ref, Outcome.ANSWERED, "", data)
