"""Find the methods of a class that handle commands, and the command that each one takes.

Methods are marked with `@command`. The annotation of its argument binds a method to a command. A
mistake raises `TypeError` with a message that says what to write instead.
"""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from inspect import (
    Parameter,
    isasyncgenfunction,
    iscoroutinefunction,
    isfunction,
    isgeneratorfunction,
    signature,
)
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from msgspec import Struct

from .costs import ALLOWANCES, Cost

__all__ = [
    "USUAL_COST",
    "Batching",
    "Binding",
    "Binds",
    "Mark",
    "bindings",
    "check_allowance",
    "cost_of",
    "fault_of",
    "is_marked",
    "mark",
    "mistake",
]

M = TypeVar("M", bound=Callable[..., Any])
MARK = "_realtime_mark"
"""The attribute of a function that handles a command: its `Mark`."""
USUAL_COST = Cost("command")


class Batching(NamedTuple):
    """How many commands a handler takes at once, and the seconds that the first of them waits."""

    most: int
    within: float


class Mark(NamedTuple):
    """What a decorator says about a method; None is the usual cost, or no batches."""

    cost: Cost | None
    batching: Batching | None


class Binds(NamedTuple):
    """What a class may bind: commands that derive from `base`, to methods that may be sync."""

    base: type[Struct]
    needs: str
    """What the class is, for messages: `a consumer`."""
    module: str
    """The public module to import `Command` and `command` from."""
    is_sync_allowed: bool
    is_batch_allowed: bool = False


class Binding(NamedTuple):
    """A method that handles a command."""

    name: str
    method: Callable[..., Any]
    struct: type[Any]
    returns: Any
    """The annotation of what the method returns, or None."""
    batching: Batching | None = None


def mark(method: M | None, cost: Cost | None, batching: Batching | None = None) -> Any:
    """Return the method with its mark, or a decorator that marks one."""

    def marked(method: M) -> M:
        setattr(method, MARK, Mark(cost, batching))
        return method

    return marked if method is None else marked(method)


def bindings(owner: type, binds: Binds) -> Iterator[Binding]:
    """Find the command methods of a class and its bases; one that is None is left out."""
    names: dict[type, str] = {}
    for name, method in _marked(owner, binds):
        binding = _bound(owner, name, method, binds)
        if binding.struct in names:
            fault = f"takes {binding.struct.__name__}, as `{names[binding.struct]}` does"
            raise mistake(owner, name, f"{fault}: keep one of them")
        names[binding.struct] = name
        yield binding


def cost_of(owner: type, name: str, struct: type[Struct], usual: Cost = USUAL_COST) -> Cost:
    """Return the cost that the method, or one that it overrides, is marked with."""
    marks = [getattr(vars(base).get(name), MARK, None) for base in owner.__mro__]
    cost = next(filter(None, (one.cost for one in marks if one)), usual)
    check_allowance(owner, name, cost)
    if cost.field and cost.field not in struct.__struct_fields__:
        fault = (
            f"costs by {cost.field!r}, which {struct.__name__} does not have: name a field of it"
        )
        raise mistake(owner, name, fault)
    return cost


def check_allowance(owner: type, name: str, cost: Cost) -> None:
    """Raise `TypeError` if the cost of a method names an allowance that does not exist."""
    if cost.allowance not in ALLOWANCES:
        [near] = get_close_matches(cost.allowance, ALLOWANCES, 1, cutoff=0)
        fault = f"is paid from {cost.allowance!r}, which is no allowance: write {near!r}"
        raise mistake(owner, name, fault)


def fault_of(method: Callable[..., Any]) -> str:
    """Say why a function cannot be a handler; empty if it can."""
    if isasyncgenfunction(method) or isgeneratorfunction(method):
        return "contains `yield`: return the reply"
    return ""


def is_marked(method: object) -> bool:
    """Return whether a method is marked as the handler of a command."""
    return hasattr(method, MARK)


def mistake(owner: type, name: str, fault: str) -> TypeError:
    """Return the error for a method."""
    return TypeError(f"{owner.__qualname__}.{name} {fault}.")


def _marked(owner: type, binds: Binds) -> Iterator[tuple[str, Callable[..., Any]]]:
    names = {
        name: None
        for base in reversed(owner.__mro__)
        for name, value in vars(base).items()
        if isfunction(value) and hasattr(value, MARK)
    }
    for name in names:
        method = getattr(owner, name)
        if method is None:
            continue
        if not hasattr(method, MARK):
            raise mistake(owner, name, "replaces a command: mark it with `@command`, or rename it")
        if any(callable(one) or isinstance(one, property) for one in _hidden(owner, name)):
            raise mistake(owner, name, f"hides what {binds.needs} needs: give it another name")
        yield name, method


def _hidden(owner: type, name: str) -> list[Any]:
    """Return the attributes of bases that have the name of a command and are not commands."""
    found = [vars(base).get(name) for base in owner.__mro__]
    return [value for value in found if not hasattr(value, MARK)]


def _bound(owner: type, name: str, method: Callable[..., Any], binds: Binds) -> Binding:
    """Bind a method to the command that annotates its argument."""
    batching = getattr(method, MARK).batching
    argument = "command: …" if batching is None else "commands: list[…]"
    start = "def" if binds.is_sync_allowed else "async def"
    write = f"write `{start} {name}(self, {argument})` with a subclass of `{binds.module}.Command`"
    if fault := fault_of(method):
        raise mistake(owner, name, fault)
    if batching is not None and not binds.is_batch_allowed:
        fault = f"gathers a batch, which {binds.needs} cannot have"
        raise mistake(owner, name, f"{fault}: write `@command` of `{binds.module}` without `batch`")
    if not (binds.is_sync_allowed or iscoroutinefunction(method)):
        raise mistake(owner, name, f"is not async: {write}")
    parameters = list(signature(method).parameters.values())[1:]
    if len(parameters) != 1 or parameters[0].kind is Parameter.KEYWORD_ONLY:
        raise mistake(owner, name, f"must take one argument: {write}")
    hints = _hints(owner, name, method)
    annotation = hints.get(parameters[0].name)
    if annotation is None:
        raise mistake(owner, name, f"has no annotation: {write}")
    struct = _item_of(annotation) if batching is not None else annotation
    if struct is None:
        raise mistake(owner, name, f"gathers a batch, but takes no list: {write}")
    if binds.is_batch_allowed and batching is None and get_origin(struct) is list:
        fault = "takes a list: write `@command(batch=…)`, or annotate it with one command"
        raise mistake(owner, name, fault)
    is_command = isinstance(struct, type) and issubclass(struct, binds.base)
    if not is_command or struct is binds.base:
        fault = getattr(struct, "__name__", struct)
        raise mistake(owner, name, f"is annotated with {fault}, not with a command: {write}")
    return Binding(name, method, struct, hints.get("return"), batching)


def _hints(owner: type, name: str, method: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(method)
    except NameError as error:
        fault = f"has an annotation that is unknown at run time ({error}): import it, also for that"
        raise mistake(owner, name, fault) from error


def _item_of(annotation: Any) -> Any:
    """Return the type of the items of a list; None if it is no list, or of anything."""
    items = get_args(annotation)
    return items[0] if get_origin(annotation) is list and items else None
