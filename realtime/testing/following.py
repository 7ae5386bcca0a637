"""The positions that a client has reached in its rooms and topics, from which it resumes."""

from typing import NamedTuple

from .encoding import Item

__all__ = ["Following", "Place"]


class Place(NamedTuple):
    """A room or a topic: the field that names it in a command, and its name."""

    field: str
    name: str


class Following:
    """What a client has joined and subscribed to, with the last position of each."""

    def __init__(self) -> None:
        self.positions: dict[Place, Item] = {}

    def update(self, item: Item) -> None:
        """Take note of an object from the server."""
        place = _place_of(item)
        if place is None:
            return
        match item["type"]:
            case "joined" | "subscribed" if item.get("through") is not None:
                self.positions[place] = {"seq": item["through"], "epoch": item["epoch"]}
            case "message" | "changed" | "event" if place in self.positions and item.get("seq"):
                self._advance(place, item)
            case "removed" | "resync" | "unsubscribed":
                self.positions.pop(place, None)
            case "left" if "ref" in item:  # the reply to this client
                self.positions.pop(place, None)

    def _advance(self, place: Place, item: Item) -> None:
        known = self.positions[place]
        epoch = item.get("epoch", known["epoch"])
        self.positions[place] = {"seq": max(known["seq"], item["seq"]), "epoch": epoch}


def _place_of(item: Item) -> Place | None:
    for field in ("room", "topic"):
        if name := item.get(field):
            return Place(field, name)
    return None
