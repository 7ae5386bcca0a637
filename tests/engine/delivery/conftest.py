"""One process with one room, on SQLite."""

from collections.abc import AsyncIterator, Callable

import pytest

from realtime.models import Room
from tests.engine.process import Process


@pytest.fixture
def room(sqlite: str, make_room: Callable[[str], Room]) -> Room:
    return make_room("general")


@pytest.fixture
async def process(room: Room) -> AsyncIterator[Process]:
    async with Process() as made:
        yield made
