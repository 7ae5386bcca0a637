"""The commands of a topic class: methods marked `@command`, and how calls reach them."""

from collections import Counter
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, TypeVar, overload

import msgspec

from ..wire.commands import Call
from ..wire.costs import Cost
from ..wire.decoder import invalid, unknown_command
from ..wire.errors import CommandError, ErrorCode
from ..wire.events import Ref, Result
from ..wire.handlers import Binds, bindings, cost_of, mark, mistake
from ..wire.tags import name_of
from ..wire.text import Text as _
from .encoding import data_of, fault_of
from .structs import Command, EventTooLarge

__all__ = ["MAX_REPLY_BYTES", "CallSet", "Handler", "command", "result"]

M = TypeVar("M", bound=Callable[[Any, Any], Any])
BINDS = Binds(Command, "a topic", "realtime.topics", is_sync_allowed=True)
MAX_REPLY_BYTES = 256 * 1024
DONE = "done"
"""The name of the result of a method that returns None."""


@overload
def command(method: M) -> M: ...
@overload
def command(*, cost: Cost) -> Callable[[M], M]: ...
def command(method: Any = None, *, cost: Cost | None = None) -> Any:
    """Mark a method as the handler of the command that annotates its argument.

    The method is sync or async. It returns the reply, which is an event or another struct, or None.
    It raises `CommandError` to refuse. `cost` is the allowance that pays, and how much; by default
    1 of `command`.
    """
    return mark(method, cost)


class Handler(NamedTuple):
    """The method that handles a command."""

    method: Callable[[Any, Any], Any]
    struct: type[Command]
    is_async: bool
    cost: Cost


class CallSet(dict[str, Handler]):
    """The handlers of a topic class by the names of their commands."""

    @classmethod
    def of(cls, topic: type) -> "CallSet":
        """Collect the commands of a class; raise `TypeError` that says what to write instead."""
        found = cls()
        names = Counter[str]()
        for one in bindings(topic, BINDS):
            name = name_of(one.struct)
            names[name] += 1
            if names[name] > 1:
                fault = f"takes {one.struct.__name__}, whose name {name!r} another command has"
                write = f"write `class {one.struct.__name__}(Command, name=…)`"
                raise mistake(topic, one.name, f"{fault}: {write} with a name of its own")
            if fault := fault_of(one.struct):
                fault = f"takes {one.struct.__name__}, whose fields cannot be JSON ({fault})"
                raise mistake(topic, one.name, f"{fault}: give them other types")
            cost = cost_of(topic, one.name, one.struct)
            found[name] = Handler(one.method, one.struct, iscoroutinefunction(one.method), cost)
        return found

    def decode(self, call: Call) -> tuple[Handler, Command]:
        """Return the handler of a call and its command.

        Raises `CommandError` with `unknown_type`, or `invalid_message` and the path of the field.
        """
        handler = self.get(call.name)
        if handler is None:
            error = unknown_command(call.name, self)
            error.topic, error.path = call.topic, "name"
            raise error
        try:
            decoded = msgspec.convert(call.data or {}, handler.struct, str_keys=True)
        except msgspec.ValidationError as problem:
            error = invalid(problem, "data")
            error.topic = call.topic
            raise error from None
        return handler, decoded


def result(topic: str, reply: msgspec.Struct | None, ref: Ref = None) -> Result:
    """Return the answer to a call, from what its handler has returned.

    Raises `TypeError` if that is no struct, `InvalidEvent` if a field has a wrong type, and
    `CommandError` with `too_large`.
    """
    if reply is None:
        return Result(topic=topic, name=DONE, data={}, ref=ref)
    if not hasattr(reply, "__struct_fields__"):
        kind = type(reply).__name__
        raise TypeError(f"a command of {topic!r} returned {kind}: return an Event, or None")
    try:
        data = data_of(reply, MAX_REPLY_BYTES)
    except EventTooLarge:
        raise CommandError(ErrorCode.TOO_LARGE, _("The reply is too large."), topic=topic) from None
    return Result(topic=topic, name=name_of(type(reply)), data=data, ref=ref)
