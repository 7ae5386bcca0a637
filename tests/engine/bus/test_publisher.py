"""Notes that a process without sockets publishes together."""

import asyncio
import math
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from channels.layers import BaseChannelLayer
from pytest_django import Settings

from realtime.engine.bus.notes import Broadcast, Note
from realtime.engine.bus.publisher import Publisher

LARGE = "x" * 60_000


class Carrier(BaseChannelLayer):
    """A channel layer that only records what it was given."""

    extensions: ClassVar[list[str]] = ["groups"]
    carried: ClassVar[list[Any]] = []
    sizes: ClassVar[list[int]] = []
    fails_at: ClassVar[int] = -1

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if len(self.sizes) == self.fails_at:
            raise ConnectionError("no")
        self.sizes.append(len(message["notes"]))
        self.carried.extend(message["notes"])


@pytest.fixture
def publisher(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.Carrier"}}
    for name, value in (("carried", []), ("sizes", []), ("fails_at", -1)):
        monkeypatch.setattr(Carrier, name, value)
    made = Publisher()
    made._site, made._site_until = "0" * 16, math.inf
    yield made
    assert made._loop is not None
    made._loop.call_soon_threadsafe(made._loop.stop)


def notes(number: int, text: str = "", topics: int = 1) -> list[tuple[str, Note]]:
    return [(f"t{one % topics}", Broadcast(f"{one} {text}", "")) for one in range(number)]


@pytest.mark.parametrize(("number", "text"), [(3000, ""), (400, LARGE)])
def test_many_notes_are_all_carried_in_their_order(
    publisher: Publisher, number: int, text: str
) -> None:
    """The queue has space for 1,000, or for 8 MiB; it drops the oldest ones."""
    assert publisher.submit(notes(number, text)).result(10) == ""
    assert [int(item[1].split()[0]) for item in Carrier.carried] == list(range(number))
    assert max(Carrier.sizes) > 1


def test_the_first_failure_is_the_result_of_all(publisher: Publisher) -> None:
    """Also if the last note is carried."""
    Carrier.fails_at = 0
    assert "no" in publisher.submit(notes(4, topics=2)).result(10)
    publisher._closed_until = 0.0
    Carrier.fails_at = -1
    assert publisher.submit(notes(1)).result(10) == ""


def test_a_failure_after_a_success_is_the_result_of_all(publisher: Publisher) -> None:
    Carrier.fails_at = 1
    assert "no" in publisher.submit(notes(4, topics=2)).result(10)
    assert len(Carrier.carried) == 1


def test_a_caller_in_the_background_does_not_wait(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that numbers for others would keep them waiting; the layer gets all the same."""
    may_carry = threading.Event()
    carry = Carrier.group_send

    async def slow(self: Carrier, group: str, message: dict[str, Any]) -> None:
        await asyncio.to_thread(may_carry.wait, 10)
        await carry(self, group, message)

    monkeypatch.setattr(Carrier, "group_send", slow)
    result = publisher.submit(notes(3), is_background=True)
    assert not result.done()
    may_carry.set()
    assert result.result(10) == ""
    assert len(Carrier.carried) == 3
