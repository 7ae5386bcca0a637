"""One topic as a client sees it, and checks of the order that the protocol promises."""

from dataclasses import dataclass, field
from itertools import pairwise

from harness.client.encoding import Object

__all__ = ["TopicView"]


@dataclass
class TopicView:
    """A topic as one client shows it: how far it has come, its values, and the events it has got.

    `events` are the entries without a key since the last `forget`, in the order in which they came,
    and `loose` those that are not stored.
    """

    position: int = 0
    epoch: str | None = None
    until: int | None = None
    values: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    loose: list[Object] = field(default_factory=list)
    is_joined: bool = False

    @property
    def target(self) -> Object:
        """Fields of a `subscribe` command that resume; none where nothing can be continued."""
        if self.epoch is None:
            return {}
        since: Object = {"seq": self.position, "epoch": self.epoch}
        return {"since": since if self.until is None else since | {"until": self.until}}

    def forget(self) -> None:
        """Know nothing: what was known cannot be continued."""
        self.position, self.epoch, self.until, self.is_joined = 0, None, None, False
        self.values.clear()
        self.events.clear()

    def faults_of(self, reply: Object) -> list[str]:
        """Return how a `subscribed` reply breaks the rules; it follows a command with `target`."""
        seqs = [entry["seq"] for entry in reply["entries"]]
        found = [f"{later} after {seq}" for seq, later in pairwise(seqs) if later <= seq]
        if reply["recovered"]:
            start, end = self.position, reply["through"]
            found += [f"{seq} is not in ({start}, {end}]" for seq in seqs if not start < seq <= end]
            bound = self.until or 0
            found += [
                f"the event {entry['seq']} came with the first page"
                for entry in reply["entries"]
                if "key" not in entry and entry["seq"] <= bound
            ]
        elif gone := [entry for entry in reply["entries"] if entry.get("deleted")]:
            found.append(f"a snapshot has the deleted values {gone}")
        return found

    def enter(self, reply: Object) -> None:
        """Take a page of entries; stand where it ends, and be subscribed if it is the last one."""
        if not reply["recovered"]:
            self.forget()
        for entry in reply["entries"]:
            self.keep(entry)
        self.position, self.epoch = reply["through"], reply["epoch"]
        self.until = reply.get("until") if reply["has_more"] else None
        self.is_joined = not reply["has_more"]

    def fault_of(self, event: Object) -> str:
        """Return how an event breaks the order: a repeat or a gap; "" if it does not."""
        seq = event.get("seq")
        if seq is None:
            return ""
        if seq <= self.position:
            return f"{seq} after {self.position}"
        if (event.get("from") or seq) > self.position + 1:
            return f"gap from {self.position} to {seq}"
        if self.epoch == "" and not event.get("epoch"):
            return f"{seq} begins a log without its epoch"
        return ""

    def advance(self, event: Object) -> None:
        """Take the next event of the log, or one that is not stored."""
        if "seq" not in event:
            self.loose.append(event)
            return
        self.epoch = event.get("epoch") or self.epoch
        if event["seq"] > self.position:
            self.position = event["seq"]
            self.keep(event)

    def keep(self, entry: Object) -> None:
        """Show an entry: an event, or the value of a key, unless a later one is shown."""
        key = entry.get("key")
        if key is None:
            self.events.append(entry)
        elif entry.get("deleted"):
            self.values.pop(key, None)
        elif key not in self.values or self.values[key]["seq"] < entry["seq"]:
            self.values[key] = entry
