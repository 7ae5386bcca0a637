"""Raw frames: `on_text` and `on_bytes` take those of clients that do not speak protocol v1."""

from collections.abc import Sequence
from inspect import Parameter, signature
from typing import NamedTuple

from ..wire.codecs import RAW, Codec, choose
from ..wire.handlers import USUAL_COST, check_allowance, fault_of, is_marked, mistake
from .commands import CommandSet
from .handlers import Handler, frames_mark

__all__ = ["Agreement", "RawHandlers", "agree"]


class RawHandlers(NamedTuple):
    """The handlers of text and binary frames of a consumer class; None where it has none."""

    text: Handler | None
    binary: Handler | None

    @classmethod
    def of(cls, consumer: type) -> "RawHandlers":
        """Find the handlers of a class; raise `TypeError` that says what to write instead."""
        return cls(_handler(consumer, "on_text"), _handler(consumer, "on_bytes"))

    @property
    def exist(self) -> bool:
        """Whether the consumer takes raw frames at all."""
        return self.text is not None or self.binary is not None


class Agreement(NamedTuple):
    """The encoding of a connection, and the subprotocol that the handshake answers."""

    codec: Codec
    subprotocol: str | None


def agree(
    offered: Sequence[str], handlers: RawHandlers, commands: CommandSet, own: Sequence[str]
) -> Agreement:
    """Choose how a client and a consumer speak.

    A consumer with commands of its own speaks protocol v1 with a client that offers it. A consumer
    with raw handlers speaks raw with all others, and answers the first subprotocol of its `own`.
    """
    codec, subprotocol = choose(offered)
    speaks_v1 = not handlers.exist or (subprotocol is not None and commands.has_own)
    if speaks_v1:
        return Agreement(codec, subprotocol)
    return Agreement(RAW, next((one for one in offered if one in own), None))


def _handler(consumer: type, name: str) -> Handler | None:
    method = getattr(consumer, name, None)
    if method is None:
        return None
    if is_marked(method):
        raise mistake(consumer, name, "takes frames, not commands: mark it with `@frames`")
    if fault := fault_of(method):
        raise mistake(consumer, name, fault)
    parameters = list(signature(method).parameters.values())[1:]
    if len(parameters) != 1 or parameters[0].kind is Parameter.KEYWORD_ONLY:
        write = f"write `async def {name}(self, {'text' if name == 'on_text' else 'data'})`"
        raise mistake(consumer, name, f"must take one argument: {write}")
    mark = frames_mark(method)
    cost = mark.cost or USUAL_COST
    check_allowance(consumer, name, cost)
    if cost.field:
        raise mistake(consumer, name, f"costs by {cost.field!r}, but a frame has no fields")
    return Handler.of(method, cost, mark.batching)
