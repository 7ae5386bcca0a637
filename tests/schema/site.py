"""The sockets and topics of a made-up site, for the tests of its schema."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal
from uuid import UUID

from msgspec import Struct, field

from realtime.consumers import Command, Consumer, Reply
from realtime.consumers import command as socket_command
from realtime.topics import Command as Call
from realtime.topics import Event, Topic
from realtime.topics import command as topic_command


class Colour(StrEnum):
    """The colours of a courier."""

    RED = "red"
    BLUE = "blue"


class Member(Struct):
    """Has the name of a struct of the protocol."""

    name: str


class Paid(Event):
    """An order was paid. */ is no end here.

    `total` is a decimal as text.
    """

    total: Decimal
    by: UUID | None = None
    at: datetime | None = None


class Position(Event, name="courier.position"):
    """Where a courier is."""

    point: tuple[float, float]
    colour: Colour = Colour.RED
    members: list[Member] = []
    notes: dict[str, list[int | None]] = {}
    kind: Literal["car", "bike"] = "car"
    from_: str = field(default="", name="from")
    not_an_identifier: int = field(default=0, name="not-an identifier")


class Cancel(Call):
    """Cancel an order."""

    reason: str = ""


class Rate(Call):
    stars: int


class Message(Call):
    """Has the name of a command of the protocol."""

    text: str


class OrderTopic(Topic):
    """What happens to an order."""

    path = "order/<int:pk>"
    events = [Position, Paid]
    keep = timedelta(days=1)
    pk: int

    @topic_command
    def cancel(self, command: Cancel) -> Paid:
        """Cancel this order, if it was not sent."""
        raise NotImplementedError

    @topic_command
    def rate(self, command: Rate) -> None: ...

    @topic_command
    async def message(self, command: Message) -> Paid | Position | None: ...


class OddTopic(Topic):
    path = "odd/`${x}/<slug:part>"


class EchoConsumer(Consumer):
    """Sends each text back."""

    async def on_text(self, text: str) -> str:
        return text


class Move(Command):
    """Move a piece."""

    to: int


class Moved(Reply):
    to: int


class Tree(Command):
    """Contains itself."""

    children: list["Tree"] = []


class Confirm(Struct):
    """Ask whether a player is sure."""

    text: str


class Confirmed(Struct):
    is_sure: bool


class GameConsumer(Consumer):
    """A game."""

    asks = {Confirm: Confirmed}

    @socket_command
    async def move(self, command: Move) -> Moved:
        """Move, and get the new place."""
        raise NotImplementedError

    @socket_command
    async def tree(self, command: Tree) -> None: ...
