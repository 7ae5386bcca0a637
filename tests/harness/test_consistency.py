"""Waiting for clients, without servers."""

import asyncio
import itertools

from harness.client.chatter import Chatter
from harness.client.consistency import all_caught_up
from harness.database import Database, Row


class Busy(Database):
    """A log that others append to all the time."""

    def __init__(self) -> None:
        super().__init__("")
        self.ends = itertools.count(1)

    def last_seq(self, room: str) -> int:
        return next(self.ends)

    def messages(self, room: str) -> list[Row]:
        return []

    def epoch(self, room: str) -> str:
        return ""


class Idle(Chatter):
    """A client that is ahead of the log, and has no connection."""

    async def _live(self) -> None:
        self.known["general"].position = 10**6
        self.known["general"].is_joined = True
        await asyncio.Event().wait()


class Late(Idle):
    """It learns late that the log has begun anew."""

    @property
    def is_answered(self) -> bool:
        self.resent = 1
        return True


async def test_clients_catch_up_with_a_log_that_grows() -> None:
    async with Idle("client", [], ["general"]) as client, asyncio.timeout(5):
        await all_caught_up([client], Busy())


async def test_what_is_sent_again_is_waited_for() -> None:
    database = Busy()
    async with Late("client", [], ["general"]) as client, asyncio.timeout(5):
        await all_caught_up([client], database)
    assert next(database.ends) == 3
