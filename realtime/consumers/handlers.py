"""Mark the methods of a consumer that handle commands or raw frames."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, TypeVar, overload

from ..engine.connections.own_command import command_of
from ..spans import spans
from ..store.accounts.visitor import Visitor
from ..wire.costs import Cost
from ..wire.handlers import Batching, Mark, mark

__all__ = ["RUNS_ON", "Handler", "command", "frames", "frames_mark"]

Method = Callable[[Any, Any], Awaitable[Any]]
M = TypeVar("M", bound=Callable[..., Any])
FRAMES = "_realtime_frames"
"""The attribute of a function that handles frames in a way of its own: its `Mark`."""
RUNS_ON = "The method runs on in its thread."
"""The argument of a cancellation that could not reach a thread."""
WITHIN = 0.1
MOST, LONGEST = 1000, 60.0
"""The largest batch, and the longest time in which one may be gathered."""


class Handler(NamedTuple):
    """The method that handles a command or a frame, and its cost.

    `method` is a coroutine function, also if that of the class is a plain function.
    """

    method: Method
    cost: Cost
    batching: Batching | None = None

    @classmethod
    def of(cls, method: Callable[..., Any], cost: Cost, batching: Batching | None) -> "Handler":
        """Return the handler for a method; a plain function runs in a thread."""
        is_async = iscoroutinefunction(method)
        return cls(method if is_async else _in_thread(method), cost, batching)


@overload
def command(method: M) -> M: ...
@overload
def command(
    *, cost: Cost | None = None, batch: int = 0, within: float = WITHIN
) -> Callable[[M], M]: ...
def command(
    method: Any = None, *, cost: Cost | None = None, batch: int = 0, within: float = WITHIN
) -> Any:
    """Mark a method as the handler of the command that annotates its argument.

    The method returns the reply, or None for no reply. It raises `CommandError` to refuse.
    `cost` is the allowance that pays, and how much; by default 1 of `command`.

    With `batch`, the method takes a list of commands: at most so many, and at most `within` seconds
    after the first of them has arrived. It returns a list with the reply to each, or None.
    """
    return mark(method, cost, _batching(batch, within))


def frames(*, cost: Cost | None = None, batch: int = 0, within: float = WITHIN) -> Callable[[M], M]:
    """Give `on_text` or `on_bytes` another cost, or batches; the arguments are as in `command`."""
    given = Mark(cost, _batching(batch, within))

    def marked(method: M) -> M:
        setattr(method, FRAMES, given)
        return method

    return marked


def frames_mark(method: object) -> Mark:
    """Return the mark of a method that handles raw frames."""
    found: Mark = getattr(method, FRAMES, Mark(None, None))
    return found


def _batching(batch: int, within: float) -> Batching | None:
    if batch == 0:
        return None
    if not 1 <= batch <= MOST:
        raise ValueError(f"batch={batch} is not possible: write a number from 1 to {MOST}.")
    if not 0 < within <= LONGEST:
        raise ValueError(
            f"within={within} is not possible: write seconds, above 0 and at most {LONGEST:g}."
        )
    return Batching(batch, within)


def _in_thread(method: Callable[..., Any]) -> Method:
    """Return a coroutine function that runs a method in a thread for the code of a site."""

    @wraps(method)
    async def run(consumer: Any, argument: Any) -> Any:
        owner = Visitor(consumer.identity, consumer.address).thread_owner
        run_there = spans.bound(_run)
        future = consumer.engine.db.call(run_there, method, consumer, argument, owner=owner)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                raise asyncio.CancelledError(RUNS_ON) from None
            raise

    return run


def _run(method: Callable[..., Any], consumer: Any, argument: Any) -> Any:
    with command_of(consumer.id):
        return method(consumer, argument)
