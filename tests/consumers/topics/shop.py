"""The topics of a small site, for tests: who may subscribe is in the table of memberships.

A topic `order/7` is for the members of the room with this key, as its owner would have it.
"""

import asyncio
import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from realtime.models import Membership
from realtime.topics import Command, CommandError, Cost, ErrorCode, Event, Topic, command

__all__ = ["Gate", "Shop"]


class Gate:
    """Makes handlers wait until the test opens it, and keeps what has begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.open = threading.Event()

    def wait(self, name: str) -> None:
        self.begun.append(name)
        self.open.wait(10)

    async def wait_async(self, name: str) -> None:
        self.begun.append(name)
        while not self.open.is_set():
            await asyncio.sleep(0.005)


class Shop:
    """The classes, what they were asked, and gates for their handlers; made for each test."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate, self.asking = Gate(), Gate()
        self.asking.open.set()
        self.failure: Exception | None = None
        self.broken: Exception = ZeroDivisionError()
        self.instances: list[Topic] = []
        self._define()

    def _define(self) -> None:  # noqa: C901 - the classes of a site
        shop = self

        class Paid(Event):
            total: int

        class Position(Event):
            x: int

        class Huge(Event):
            text: str

        class Cancel(Command):
            reason: str = ""
            seats: list[int] = []

        class Slow(Command):
            name: str

        class SlowAsync(Command):
            name: str

        class Refuse(Command):
            pass

        class Break(Command):
            pass

        class Fill(Command):
            characters: int

        class Costly(Command):
            pass

        class Quiet(Command):
            pass

        class OrderTopic(Topic):
            path = "order/<int:pk>"
            events = [Paid, Position]
            keep = timedelta(days=7)
            pk: int

            def may_subscribe(self) -> bool:
                shop.asked.append([self.name])
                shop.asking.wait(self.name)
                if shop.failure is not None:
                    raise shop.failure
                members = Membership.objects.filter(room_id=self.pk)
                return members.filter(user_id=self.identity.user_pk).exists()

            @command
            def cancel(self, command: Cancel) -> Paid:
                shop.instances.append(self)
                return Paid(total=len(command.seats) + self.pk)

            @command
            def slow(self, command: Slow) -> Paid:
                shop.gate.wait(command.name)
                return Paid(total=1)

            @command
            async def slow_async(self, command: SlowAsync) -> Paid:
                await shop.gate.wait_async(command.name)
                return Paid(total=2)

            @command
            def refuse(self, command: Refuse) -> None:
                raise CommandError(
                    ErrorCode.PERMISSION_DENIED, "It is paid.", path="data.pk", retry_after=3
                )

            @command
            async def break_(self, command: Break) -> None:
                raise shop.broken

            @command
            def fill(self, command: Fill) -> Huge:
                return Huge(text="x" * command.characters)

            @command(cost=Cost("act", 30))
            def costly(self, command: Costly) -> None:
                """Cost much."""

            @command
            def quiet(self, command: Quiet) -> None:
                """Return nothing."""

        class ParcelTopic(Topic):
            """As many as are asked for are decided by one query."""

            path = "parcel/<int:pk>"
            events = [Paid]
            pk: int

            @classmethod
            def allowed(cls, asks: Sequence["ParcelTopic"]) -> Iterable["ParcelTopic"]:
                shop.asked.append([ask.name for ask in asks])
                pairs = set(
                    Membership.objects.filter(room_id__in={ask.pk for ask in asks}).values_list(
                        "room_id", "user_id"
                    )
                )
                return [ask for ask in asks if (ask.pk, ask.identity.user_pk) in pairs]

        class NewsTopic(Topic):
            """For everyone, also for guests."""

            path = "news"
            events = [Paid, Position]
            keep = timedelta(days=1)

            def may_subscribe(self) -> bool:
                shop.asked.append([self.name])
                return True

        class CursorsTopic(Topic):
            """Not kept."""

            path = "cursors/<slug:board>"
            events = [Position]
            board: str

            def may_subscribe(self) -> bool:
                return True

        self.Paid, self.Position = Paid, Position
        self.OrderTopic: Any = OrderTopic
        self.ParcelTopic: Any = ParcelTopic
        self.NewsTopic: Any = NewsTopic
        self.CursorsTopic: Any = CursorsTopic
