"""Bind the commands of a consumer class, and a site's own commands: methods marked `@command`.

The annotation of its argument binds a method to a command.
"""

from collections import Counter
from typing import get_args

from ..wire.commands import Answer, Auth, Command, Ping, Pong
from ..wire.costs import COSTS
from ..wire.decoder import Decoder, tag_of
from ..wire.events import Outgoing, Ref
from ..wire.handlers import USUAL_COST, Binding, Binds, bindings, cost_of, mistake
from .handlers import Handler, command

__all__ = ["CommandSet", "Handler", "Reply", "command", "with_ref"]

BINDS = Binds(
    Command, "a consumer", "realtime.consumers", is_sync_allowed=True, is_batch_allowed=True
)
EVERY = (Answer, Auth, Ping, Pong)
"""The commands that each consumer has."""


class Reply(Outgoing, kw_only=True):
    """The base of a site's own replies; `ref` is that of the command."""

    ref: Ref = None


class CommandSet(dict[type[Command], Handler]):
    """The handlers of a consumer class by command, and the decoder of these commands."""

    decoder: Decoder

    @property
    def has_own(self) -> bool:
        """Whether there are more commands than each consumer has."""
        return any(struct not in EVERY for struct in self)

    @classmethod
    def of(cls, consumer: type) -> "CommandSet":
        """Collect the commands of a class; raise `TypeError` that says what to write instead."""
        found = cls()
        names: dict[type[Command], str] = {}
        for one in bindings(consumer, BINDS):
            _check_reply(consumer, one)
            usual = COSTS.get(one.struct, USUAL_COST)
            names[one.struct] = one.name
            cost = cost_of(consumer, one.name, one.struct, usual)
            found[one.struct] = Handler.of(one.method, cost, one.batching)
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


def _check_reply(consumer: type, binding: Binding) -> None:
    for reply in get_args(binding.returns) or (binding.returns,):
        if not isinstance(reply, type) or not issubclass(reply, Outgoing) or reply is Outgoing:
            continue
        if "ref" not in reply.__struct_fields__:
            fault = f"returns {reply.__name__}, which has no `ref`: derive that from `Reply`"
            raise mistake(consumer, binding.name, fault)


def _check_tags(consumer: type, names: dict[type[Command], str]) -> None:
    for struct, name in names.items():
        config = struct.__struct_config__
        if config.tag_field != "type" or not isinstance(config.tag, str):
            fault = f"takes {struct.__name__}, whose tag is not a text in `type`: leave `tag` out"
            raise mistake(consumer, name, fault)
    tags = Counter(map(tag_of, names))
    for struct, name in names.items():
        if tags[tag := tag_of(struct)] > 1:
            fault = f"takes {struct.__name__}, whose tag {tag!r} another command has"
            write = f"write `class {struct.__name__}(Command, tag=…)` with a tag of its own"
            raise mistake(consumer, name, f"{fault}: {write}")
