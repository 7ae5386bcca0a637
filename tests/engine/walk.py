"""Random steps of a log and its members: broadcasts late, out of order or never, and absences."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import pytest

from realtime.wire.codecs import JSON, NDJSON, Codec
from tests.engine.process import Process
from tests.examples import examples

LOST = 0.15
"""The share of broadcasts that are lost on the way."""


class Leaving(Protocol):
    """A member that can go away."""

    def leave(self) -> None:
        """Receive nothing more."""


M = TypeVar("M", bound=Leaving)
Step = Callable[[], Awaitable[None]]


class Walk(Generic[M]):
    """The steps that rooms and topics share; a subclass says what is written, and who comes."""

    def __init__(self, process: Process, codec: Codec, seed: int) -> None:
        self.process = process
        self.codec = codec
        self.dice = random.Random(seed)
        self.members: list[M] = []
        self.away: list[M] = []
        self.delayed: list[Callable[[], None]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.number = 0

    @property
    def writes(self) -> Sequence[Step]:
        """The steps that write."""
        raise NotImplementedError

    def new_member(self) -> M:
        """Return a member that was never there."""
        raise NotImplementedError

    async def enter(self, member: M) -> None:
        """Have a member come, as new or with what it knows."""
        raise NotImplementedError

    async def run(self, steps: int) -> None:
        actions = [*self.writes, self.broadcast, self.broadcast, self.pause, self.pause]
        actions += [self.come, self.come_back, self.leave, self.refresh]
        for _ in range(steps):
            await self.dice.choice(actions)()
        await self.come()
        await asyncio.gather(*self.tasks)

    async def broadcast(self) -> None:
        while self.delayed:
            self.delayed.pop(0)()

    async def come(self) -> None:
        self._enter(self.new_member())

    async def come_back(self) -> None:
        if self.away:
            self._enter(self._one_of(self.away))

    async def refresh(self) -> None:
        if self.members:
            self._enter(self._one_of(self.members))

    async def leave(self) -> None:
        if self.members:
            member = self._one_of(self.members)
            member.leave()
            self.away.append(member)

    async def pause(self) -> None:
        for _ in range(self.dice.randint(1, 5)):
            await asyncio.sleep(0)

    def plan(self, broadcast: Callable[[], None]) -> None:
        """Broadcast later, perhaps before others, or never."""
        if self.dice.random() > LOST:
            place = self.dice.randint(max(0, len(self.delayed) - 1), len(self.delayed))
            self.delayed.insert(place, broadcast)

    def is_likely(self) -> bool:
        """Throw the dice: four times of five it is."""
        return self.dice.random() < 0.8

    def _one_of(self, members: list[M]) -> M:
        return members.pop(self.dice.randrange(len(members)))

    def _enter(self, member: M) -> None:
        async def enter() -> None:
            await self.enter(member)
            self.members.append(member)

        self.tasks.append(asyncio.get_running_loop().create_task(enter()))


with_much_and_little_memory = pytest.mark.parametrize(
    ("ring_bytes", "capacity"), [(2**26, 500), (4000, 500), (2**26, 8)]
)
in_each_codec = pytest.mark.parametrize("codec", [JSON, NDJSON])
from_each_seed = pytest.mark.parametrize("seed", range(examples(8)))
