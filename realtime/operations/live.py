"""The topic of the live page: the numbers of all processes, and questions to each of them."""

import asyncio
from typing import Any

import msgspec

from ..engine.asking import inspect
from ..engine.bus.notes import Outcome
from ..engine.engine import Engine
from ..engine.reporting import CLIENTS, LIVE, Inspection, PageQuestion
from ..store.accounts.users import is_staff_with
from ..store.overview import member_counts
from ..topics import Command, CommandError, ErrorCode, Event, Topic, command
from ..wire.text import Text as _

__all__ = ["PERMISSION", "InspectNode", "Inspected", "LiveNumbers", "Look", "Report", "may_look"]

PERMISSION = "realtime.view_live"
ANSWER_SECONDS = 2.0
ROOMS = 100
"""The most rooms whose members are counted at once."""
NO_ANSWER = _("The process did not answer. It may have ended.")


class Report(Event):
    """The numbers of one process, as `engine.reporting.Report` has them."""

    numbers: dict[str, Any]
    opened: list[dict[str, Any]]
    closed: list[str]
    is_partial: bool
    number: int
    steps: list[Any]
    moved: list[dict[str, Any]]


class Look(Command):
    """Have all processes report while this client is subscribed."""


class InspectNode(Command):
    """Ask one process for its clients, its rooms and topics, or its last 15 minutes."""

    node: str
    what: PageQuestion
    offset: int = 0
    ids: list[str] = []


class Inspected(Event):
    """The answer of a process: some rows, and the number of all."""

    total: int
    rows: list[Any]


class CountMembers(Command):
    """Ask how many users are members of some rooms."""

    rooms: list[str]


class MemberCounts(Event):
    """The number of members by room; a room without members is not in it."""

    counts: dict[str, int]


def may_look(user: Any) -> bool:
    """Return whether a user may see the live page."""
    return is_staff_with(user, PERMISSION)


class LiveNumbers(Topic):
    """The numbers of all processes, once a second while somebody is subscribed; nothing is kept."""

    path = LIVE
    events = [Report]

    def may_subscribe(self) -> bool:
        """Admit staff with the permission to see the live page."""
        return self.identity.user_pk is not None and may_look(self.identity.user)

    @command
    async def look(self, command: Look) -> None:
        """Have all processes report."""
        if (engine := Engine.here()) is not None:
            engine.reporter.watch()

    @command
    async def inspect(self, command: InspectNode) -> Inspected:
        """Ask a process, and return its answer."""
        question = Inspection(command.what, command.offset, command.ids[:CLIENTS])
        return await _ask(command.node, question)

    @command
    async def count_members(self, command: CountMembers) -> MemberCounts:
        """Count the members of some rooms; they may be members without being connected."""
        engine = await Engine.current()
        counts = await engine.db.read(member_counts, command.rooms[:ROOMS])
        return MemberCounts(counts=counts)


async def _ask(node: str, question: Inspection) -> Inspected:
    if Engine.here() is None:
        raise CommandError(ErrorCode.UNAVAILABLE, NO_ANSWER)
    asked = inspect(node, question)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            note = await asyncio.wrap_future(asked.result)
    except TimeoutError:
        raise CommandError(ErrorCode.UNAVAILABLE, NO_ANSWER, retry_after=1) from None
    finally:
        asked.close()
    if note.outcome != Outcome.ANSWERED:
        raise CommandError(ErrorCode.UNAVAILABLE, NO_ANSWER, retry_after=1)
    return msgspec.json.decode(note.text, type=Inspected)
