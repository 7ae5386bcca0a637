"""One room as a client sees it, and checks of the order that the protocol promises."""

from dataclasses import dataclass, field

from harness.client.encoding import Object

__all__ = ["RoomView", "changed_seq"]


def changed_seq(message: Object) -> int:
    """Return the position of a message's last change."""
    return int(message.get("changed_seq") or message["seq"])


@dataclass
class RoomView:
    """A room as one client shows it: how far it has come, and the messages by id."""

    position: int = 0
    epoch: str = ""
    messages: dict[int, Object] = field(default_factory=dict)
    is_joined: bool = False

    @property
    def target(self) -> Object:
        """Fields of a `join` command that resume; none where nothing can be continued."""
        return {"since": {"seq": self.position, "epoch": self.epoch}} if self.epoch else {}

    def forget(self) -> None:
        """Know nothing: what was known cannot be continued."""
        self.position, self.epoch, self.is_joined = 0, "", False
        self.messages.clear()

    def enter(self, reply: Object) -> None:
        """Stand where a `joined` reply ends."""
        self.position, self.epoch, self.is_joined = reply["through"], reply["epoch"], True

    def misplaced(self, reply: Object, since: int) -> list[Object]:
        """Return the messages of a `joined` reply that do not lie in what was missed."""
        through = reply["through"]
        return [one for one in reply["messages"] if not since < changed_seq(one) <= through]

    def fault_of(self, event: Object) -> str:
        """Return how an event breaks the order: a repeat or a gap; "" if it does not."""
        seq = event["seq"]
        if seq <= self.position:
            return f"{seq} after {self.position}"
        if (event.get("from") or seq) > self.position + 1:
            return f"gap from {self.position} to {seq}"
        return ""

    def advance(self, event: Object) -> bool:
        """Take the next event of the log; returns whether its message is news."""
        self.position = max(self.position, event["seq"])
        return self.keep(event["message"] if event["type"] == "changed" else event)

    def keep(self, message: Object) -> bool:
        """Show a message, unless a later change of it is shown; returns whether it is news."""
        known = self.messages.get(message["id"])
        if known is not None and changed_seq(known) >= changed_seq(message):
            return False
        self.messages[message["id"]] = message
        return True
