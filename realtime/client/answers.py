"""Answer what the server asks this client."""

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ..logs import get_logger
from ..wire.answering import Handler, Handlers
from ..wire.commands import NAME_CHARACTERS, REASON_CHARACTERS
from ..wire.events import Ask, Failure
from ..wire.failures import RealtimeError
from .connection import Connection
from .line import Line

__all__ = ["Answers", "Handler"]

logger = get_logger("realtime.client")

REMEMBERED = 64
"""The client remembers so many of its latest answers, because the server may refuse one."""
REFUSED = frozenset({"too_large", "invalid_message"})
"""The errors after which a question is still open."""


class Answers:
    """The handlers of a client, and the questions that they work on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._handlers = Handlers()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._answered: deque[str] = deque(maxlen=REMEMBERED)

    def add(self, question: Any, handler: Handler) -> Callable[[], None]:
        """Answer questions of a class or name; return a function that ends this."""
        return self._handlers.add(question, handler)

    def ask(self, event: Ask) -> None:
        """Let the handler work on a question, beside all else."""
        line = self._connection.line
        if line is not None and event.ref not in self._running:
            task = asyncio.create_task(self._work_on(event, line))
            self._running[event.ref] = task
            task.add_done_callback(lambda _: self._running.pop(event.ref, None))

    def refused(self, failure: Failure) -> bool:
        """Take an error of the server; return whether it is about an answer.

        If the question is still open, its answer is the code of the error.
        """
        if failure.ref not in self._answered or not isinstance(failure.ref, str):
            return False
        self._answered.remove(failure.ref)
        line = self._connection.line
        if failure.code in REFUSED and line is not None:
            line.send(_error(failure.ref, failure.code, failure.message))
        return True

    def stop(self) -> None:
        """Drop all questions: the line has ended, and the server has told the askers."""
        for task in self._running.values():
            task.cancel()

    async def _work_on(self, event: Ask, line: Line) -> None:
        try:
            async with asyncio.timeout(event.timeout) as limit:
                answer = {"type": "answer", "ref": event.ref, "data": await self._data_for(event)}
        except RealtimeError as error:
            answer = _error(event.ref, error.code, error.message)
        except Exception as error:
            if limit.expired():
                return  # nobody waits for it any more
            logger.error("the handler of the question %r failed", event.name, exc_info=error)
            answer = _error(event.ref, "internal", "The handler has failed.")
        self._send(answer, line)

    async def _data_for(self, event: Ask) -> dict[str, Any]:
        """Return the data of an answer, as JSON values."""
        found = self._handlers.find(event.name)
        if found is None:
            raise RealtimeError("no_handler")
        kind, handler = found
        try:
            question = msgspec.convert(event.data, kind, strict=False)
        except msgspec.ValidationError as error:
            raise RealtimeError("invalid_message", str(error)) from error
        answer = await _called(handler, question)
        data = {} if answer is None else msgspec.to_builtins(answer, str_keys=True)
        if not isinstance(data, dict):
            raise TypeError(f"an answer is a struct or a dict, not {type(answer).__name__}")
        return data

    def _send(self, answer: dict[str, Any], line: Line) -> None:
        self._answered.append(answer["ref"])
        try:
            line.send(answer)
        except RealtimeError as error:  # it is larger than a frame may be
            line.send(_error(answer["ref"], error.code, error.message))


def _error(ref: str, code: str, message: str) -> dict[str, Any]:
    known = {"code": str(code)[:NAME_CHARACTERS], "message": str(message)[:REASON_CHARACTERS]}
    return {"type": "answer", "ref": ref, **known}


async def _called(handler: Handler, question: Any) -> Any:
    """Call a handler; a plain function runs in a thread, as it may wait for a person."""
    if inspect.iscoroutinefunction(handler):
        return await handler(question)
    found = await asyncio.to_thread(handler, question)
    return await found if inspect.isawaitable(found) else found
