"""The costs of commands: which allowance pays for each, and how much."""

from typing import Any, NamedTuple

from msgspec import Struct

from .commands import (
    Accept,
    Answer,
    Appoint,
    Auth,
    Ban,
    Block,
    Call,
    Command,
    Configure,
    Create,
    Delete,
    Direct,
    History,
    Invite,
    Join,
    Joins,
    Kick,
    Leave,
    Membership,
    Message,
    Mute,
    Ping,
    Pong,
    Presence,
    Read,
    Report,
    Signal,
    Subscribe,
    Subscribes,
    Typing,
    Unban,
    Unmute,
    Unsubscribe,
)

__all__ = ["ALLOWANCES", "COSTS", "REPLY_BYTES", "Cost"]

ALLOWANCES = ("command", "join", "subscribe", "message", "room", "report", "act")

REPLY_BYTES = 32 * 1024
"""One more is charged for each so many bytes of a reply with messages, entries or members."""


class Cost(NamedTuple):
    """A fixed part, and one for each `per` of a number that the command names in `field`."""

    allowance: str
    fixed: float = 1
    field: str = ""
    per: float = 1
    is_reply_charged: bool = False
    """Whether the bytes of the reply are charged as well, because it may be large."""
    is_never_refused: bool = False
    """Whether it is executed beyond the allowance too, because no client waits for a reply."""

    def of(self, command: Struct) -> float:
        """Return how much of its allowance a command costs."""
        if not self.field:
            return self.fixed
        value: Any = getattr(command, self.field)
        return self.fixed + (len(value) if isinstance(value, list) else value) / self.per


COSTS: dict[type[Command], Cost] = {
    Ping: Cost("command"),
    Pong: Cost("command", is_never_refused=True),
    Answer: Cost("command", is_never_refused=True),
    Typing: Cost("command"),
    Leave: Cost("command"),
    Unsubscribe: Cost("command"),
    Call: Cost("command"),
    Read: Cost("command", 2),
    Auth: Cost("command", 3),
    Accept: Cost("command", 3),
    Membership: Cost("command", 3),
    Presence: Cost("command", 5, is_reply_charged=True),
    History: Cost("command", 1, "limit", 25, is_reply_charged=True),
    Join: Cost("join", is_reply_charged=True),
    Joins: Cost("join", 0, "rooms"),
    Subscribe: Cost("subscribe", is_reply_charged=True),
    Subscribes: Cost("subscribe", 0, "topics"),
    Message: Cost("message"),
    Signal: Cost("message"),
    Create: Cost("room"),
    Direct: Cost("room"),
    Invite: Cost("room"),
    Report: Cost("report"),
    Configure: Cost("act", 3),
    Appoint: Cost("act"),
    Ban: Cost("act"),
    Block: Cost("act"),
    Delete: Cost("act"),
    Kick: Cost("act"),
    Mute: Cost("act"),
    Unban: Cost("act"),
    Unmute: Cost("act"),
}
