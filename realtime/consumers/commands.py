"""Bind the commands of a consumer class, and a site's own commands: methods marked `@command`.

The annotation of its argument binds a method to a command.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from difflib import get_close_matches
from inspect import Parameter, iscoroutinefunction, isfunction, signature
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints, overload

from ..wire.commands import Command
from ..wire.costs import ALLOWANCES, COSTS, Cost
from ..wire.decoder import Decoder, tag_of
from ..wire.events import Outgoing, Ref

__all__ = ["CommandSet", "Handler", "Reply", "command", "with_ref"]

Method = Callable[[Any, Any], Awaitable[Outgoing | None]]
M = TypeVar("M", bound=Method)
MARK = "_realtime_cost"
"""The attribute of a function that handles a command: its cost, or None for the usual one."""
USUAL_COST = Cost("command")


class Reply(Outgoing, kw_only=True):
    """The base of a site's own replies; `ref` is that of the command."""

    ref: Ref = None


@overload
def command(method: M) -> M: ...
@overload
def command(*, cost: Cost) -> Callable[[M], M]: ...
def command(method: Any = None, *, cost: Cost | None = None) -> Any:
    """Mark a method as the handler of the command that annotates its argument.

    The method returns the reply, or None for no reply. It raises `CommandError` to refuse.
    `cost` is the allowance that pays, and how much; by default 1 of `command`.
    """

    def mark(method: M) -> M:
        setattr(method, MARK, cost)
        return method

    return mark if method is None else mark(method)


class Handler(NamedTuple):
    """The method that handles a command, and its cost."""

    method: Method
    cost: Cost


class CommandSet(dict[type[Command], Handler]):
    """The handlers of a consumer class by command, and the decoder of these commands."""

    decoder: Decoder

    @classmethod
    def of(cls, consumer: type) -> "CommandSet":
        """Collect the commands of a class; raise `TypeError` that says what to write instead."""
        found = cls()
        names: dict[type[Command], str] = {}
        for name, method in _marked(consumer):
            struct = _struct_of(consumer, name, method)
            if struct in names:
                fault = f"takes {struct.__name__}, as `{names[struct]}` does: keep one of them"
                raise _mistake(consumer, name, fault)
            names[struct] = name
            found[struct] = Handler(method, _cost_of(consumer, name, struct))
        _check_tags(consumer, names)
        found.decoder = Decoder(found)
        return found


def with_ref(reply: Outgoing, command: Command) -> Outgoing:
    """Give a reply the `ref` of its command."""
    try:
        reply.ref = command.ref  # type: ignore[attr-defined]
    except AttributeError:
        fault = f"{type(reply).__name__} cannot be a reply: it has no `ref`; derive it from `Reply`"
        raise TypeError(fault) from None
    return reply


def _marked(consumer: type) -> Iterator[tuple[str, Method]]:
    """Find the command methods of a class and its bases; one that is None is left out."""
    names = {
        name: None
        for base in reversed(consumer.__mro__)
        for name, value in vars(base).items()
        if isfunction(value) and hasattr(value, MARK)
    }
    for name in names:
        method = getattr(consumer, name)
        if method is None:
            continue
        if not hasattr(method, MARK):
            raise _mistake(
                consumer, name, "replaces a command: mark it with `@command`, or rename it"
            )
        if any(callable(one) or isinstance(one, property) for one in _hidden(consumer, name)):
            raise _mistake(consumer, name, "hides what a consumer needs: give it another name")
        yield name, method


def _hidden(consumer: type, name: str) -> list[Any]:
    """Return the attributes of bases that have the name of a command and are not commands."""
    found = [vars(base).get(name) for base in consumer.__mro__]
    return [value for value in found if not hasattr(value, MARK)]


def _struct_of(consumer: type, name: str, method: Method) -> type[Command]:
    """Return the command that annotates the argument of a method."""
    write = f"write `async def {name}(self, command: …)` with a subclass of `Command`"
    if not iscoroutinefunction(method):
        raise _mistake(consumer, name, f"is not async: {write}")
    parameters = list(signature(method).parameters.values())[1:]
    if len(parameters) != 1 or parameters[0].kind is Parameter.KEYWORD_ONLY:
        raise _mistake(consumer, name, f"must take one argument: {write}")
    try:
        hints = get_type_hints(method)
    except NameError as error:
        fault = f"has an annotation that is unknown at run time ({error}): import it, also for that"
        raise _mistake(consumer, name, fault) from error
    struct = hints.get(parameters[0].name)
    if struct is None:
        raise _mistake(consumer, name, f"has no annotation: {write}")
    if not (isinstance(struct, type) and issubclass(struct, Command)) or struct is Command:
        fault = getattr(struct, "__name__", struct)
        raise _mistake(consumer, name, f"is annotated with {fault}, not with a command: {write}")
    _check_reply(consumer, name, hints.get("return"))
    return struct


def _check_reply(consumer: type, name: str, annotation: Any) -> None:
    for reply in get_args(annotation) or (annotation,):
        if not isinstance(reply, type) or not issubclass(reply, Outgoing) or reply is Outgoing:
            continue
        if "ref" not in reply.__struct_fields__:
            fault = f"returns {reply.__name__}, which has no `ref`: derive that from `Reply`"
            raise _mistake(consumer, name, fault)


def _cost_of(consumer: type, name: str, struct: type[Command]) -> Cost:
    """Return the cost that the method, or one that it overrides, is marked with."""
    marks = [getattr(vars(base).get(name), MARK, None) for base in consumer.__mro__]
    cost = next(filter(None, marks), COSTS.get(struct, USUAL_COST))
    if cost.allowance not in ALLOWANCES:
        [near] = get_close_matches(cost.allowance, ALLOWANCES, 1, cutoff=0)
        fault = f"is paid from {cost.allowance!r}, which is no allowance: write {near!r}"
        raise _mistake(consumer, name, fault)
    if cost.field and cost.field not in struct.__struct_fields__:
        fault = (
            f"costs by {cost.field!r}, which {struct.__name__} does not have: name a field of it"
        )
        raise _mistake(consumer, name, fault)
    return cost


def _check_tags(consumer: type, names: dict[type[Command], str]) -> None:
    for struct, name in names.items():
        config = struct.__struct_config__
        if config.tag_field != "type" or not isinstance(config.tag, str):
            fault = f"takes {struct.__name__}, whose tag is not a text in `type`: leave `tag` out"
            raise _mistake(consumer, name, fault)
    tags = Counter(map(tag_of, names))
    for struct, name in names.items():
        if tags[tag := tag_of(struct)] > 1:
            fault = f"takes {struct.__name__}, whose tag {tag!r} another command has"
            write = f"write `class {struct.__name__}(Command, tag=…)` with a tag of its own"
            raise _mistake(consumer, name, f"{fault}: {write}")


def _mistake(consumer: type, name: str, fault: str) -> TypeError:
    return TypeError(f"{consumer.__qualname__}.{name} {fault}.")
