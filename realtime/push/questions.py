"""Ask one client, and wait for its answer."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import Any, TypeVar, overload

import msgspec

from ..engine.asking import Asked, ask
from ..engine.bus.notes import MAX_SECONDS, Answered, Outcome
from ..engine.connections.own_command import is_command_of
from ..engine.engine import Engine
from ..store.database.transactions import open_transaction
from ..topics.encoding import data_of
from ..wire.failures import RealtimeError
from ..wire.tags import name_of
from .clients import ClientTarget

__all__ = ["ConnectionTarget"]

T = TypeVar("T")
SECONDS = 20.0


class ConnectionTarget(ClientTarget):
    """One connection."""

    @overload
    async def ask(
        self, question: msgspec.Struct, *, timeout: float = SECONDS
    ) -> dict[str, Any]: ...
    @overload
    async def ask(
        self, question: msgspec.Struct, *, reply: type[T], timeout: float = SECONDS
    ) -> T: ...
    async def ask(
        self, question: msgspec.Struct, *, reply: Any = dict, timeout: float = SECONDS
    ) -> Any:
        """Ask the client, which has `timeout` seconds, and return its answer.

        The answer is a dict, or an object of the class `reply`. Raises `RealtimeError`: `timeout`,
        `gone` once the connection has ended, `unavailable` without a channel layer, `unsupported`
        for a client without the protocol, `own_connection` in a command of this connection,
        `invalid_answer`, or the code that the client answers.
        Raises `RuntimeError` inside a transaction.
        """
        _refuse_transaction()
        _refuse_own_task(self._connection)
        with self._asked(question, timeout) as result:
            async with asyncio.timeout(timeout):
                note = await asyncio.wrap_future(result)
        return _read(note, reply)

    @overload
    def ask_and_wait(
        self, question: msgspec.Struct, *, timeout: float = SECONDS
    ) -> dict[str, Any]: ...
    @overload
    def ask_and_wait(
        self, question: msgspec.Struct, *, reply: type[T], timeout: float = SECONDS
    ) -> T: ...
    def ask_and_wait(
        self, question: msgspec.Struct, *, reply: Any = dict, timeout: float = SECONDS
    ) -> Any:
        """Ask the client as `ask` does, from code without `async`; this blocks the thread.

        Raises `RuntimeError` inside a transaction, and in an event loop.
        """
        _refuse_transaction()
        _refuse_loop()
        _refuse_own_command(self._connection)
        with self._asked(question, timeout) as result:
            note = result.result(timeout)
        return _read(note, reply)

    @contextmanager
    def _asked(self, question: object, timeout: float) -> Iterator[Future[Answered]]:
        """Send a question, and wait for its result in the block at most."""
        with closing(self._begin(question, timeout)) as asked:
            try:
                yield asked.result
            except TimeoutError:
                raise RealtimeError("timeout", NO_ANSWER, outcome=Outcome.UNKNOWN) from None

    def _begin(self, question: object, timeout: float) -> Asked:
        if not isinstance(question, msgspec.Struct):
            kind = type(question).__name__
            raise TypeError(f"a question is a msgspec.Struct, such as an Event, not {kind}")
        if not 0 < timeout <= MAX_SECONDS:
            raise ValueError(f"timeout must be above 0 and at most {MAX_SECONDS}, not {timeout}")
        name = name_of(type(question))
        return ask(self._connection, name, data_of(question), float(timeout))


NO_ANSWER = "The client has not answered in time, or the question was lost."


def _refuse_transaction() -> None:
    if alias := open_transaction():
        raise RuntimeError(
            f"A question waits for a client, but a transaction is open on {alias!r}: "
            "ask before the transaction, or after its commit."
        )


def _refuse_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "ask_and_wait() would stop this event loop: write `await ….ask(…)` in async code."
    )


def _refuse_own_command(connection: str) -> None:
    """Raise if a command of a connection asks that connection, which reads nothing meanwhile."""
    if is_command_of(connection):
        raise RealtimeError("own_connection", outcome=Outcome.NOT_SENT)


def _refuse_own_task(connection: str) -> None:
    engine = Engine.here()
    own = None if engine is None else engine.connections.get(connection)
    if own is not None and own.is_current_task:
        raise RealtimeError("own_connection", outcome=Outcome.NOT_SENT)


def _read(note: Answered, reply: Any) -> Any:
    """Return the data of an answer; raise `RealtimeError` for any other result."""
    if note.outcome != Outcome.ANSWERED:
        raise RealtimeError(note.code, note.text, outcome=note.outcome)
    data = msgspec.json.decode(note.text, type=dict[str, Any])
    if reply is dict:
        return data
    try:
        return msgspec.convert(data, reply, str_keys=True)
    except msgspec.ValidationError as error:
        fault = f"The answer is not of its class: {error}"
        raise RealtimeError("invalid_answer", fault, outcome=Outcome.ANSWERED) from error
