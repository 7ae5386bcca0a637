"""The server's own `send` is found under any wrapper, and never that of another connection."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from realtime.engine.servers import transport
from realtime.engine.servers.wrappers import MOST_MISSES, Wrappers, name_of
from tests.lines import all_again

Send = Callable[[dict[str, Any]], Any]


@pytest.fixture(autouse=True)
def _wrappers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the failed searches of other tests in this process."""
    monkeypatch.setattr(transport, "wrappers", Wrappers())


class Wire:
    """A transport."""

    def get_write_buffer_size(self) -> int:
        return 0


class Protocol:
    """The part of uvicorn's protocol that is used."""

    def __init__(self, key: bytes = b"mine") -> None:
        self.connections = self.run_asgi = None
        self.transport = Wire()
        self.scope = {"headers": [(b"sec-websocket-key", key)], "asgi": {}}

    async def send(self, message: dict[str, Any]) -> None:
        raise AssertionError


class Slots:
    __slots__ = ("inner",)

    def __init__(self, inner: Send) -> None:
        self.inner = inner

    async def __call__(self, message: dict[str, Any]) -> None:
        await self.inner(message)

    async def method(self, message: dict[str, Any]) -> None:
        await self.inner(message)


def closure(send: Send) -> Send:
    async def wrapped(message: dict[str, Any]) -> None:
        await send(message)

    return wrapped


def decorated(send: Send) -> Send:
    @functools.wraps(send)
    def wrapped(*arguments: Any) -> Any:
        return send(*arguments)

    return wrapped


WRAPPERS: dict[str, Callable[[Send], Send]] = {
    "closure": closure,
    "functools.wraps": decorated,
    "partial": lambda send: functools.partial(lambda inner, message: inner(message), send),
    "keyword": lambda send: functools.partial(lambda message, inner: inner(message), inner=send),
    "instance": lambda send: Slots(send),
    "method": lambda send: Slots(send).method,
    "in a container": lambda send: Slots({"all": [(send,)]}).method,  # type: ignore[arg-type]
    "five deep": lambda send: closure(Slots(decorated(closure(Slots(send).method)))),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
async def test_the_transport_is_found_under_a_wrapper(wrap: Callable[[Send], Send]) -> None:
    mine = Protocol()
    found = transport.server_send(mine.scope, wrap(mine.send))
    assert found == mine.send
    assert transport.is_known(found)


async def test_the_end_of_a_queue_leads_to_the_task_that_empties_it() -> None:
    """Though nothing refers to `send` but that task's variables."""
    mine, queue = Protocol(), asyncio.Queue[Any]()

    async def pump(send: Send) -> None:
        while True:
            await send(await queue.get())

    task = asyncio.create_task(pump(mine.send))
    await asyncio.sleep(0)
    assert transport.server_send(mine.scope, queue.put) == mine.send
    task.cancel()


async def test_a_local_variable_of_the_server_leads_there_too() -> None:
    """Where the wrapper hides it from Python."""
    mine = Protocol()

    async def opaque(message: dict[str, Any]) -> None:
        raise AssertionError

    async def application(send: Send) -> Any:
        return await inner()

    async def inner() -> Any:
        return transport.server_send(mine.scope, opaque)

    assert await asyncio.create_task(application(mine.send)) == mine.send


async def test_thousands_of_headers_hide_nothing() -> None:
    """A client chooses how many it sends; servers keep them as tuples or lists."""
    mine = Protocol()
    headers = [(b"x", bytes([n % 256])) for n in range(5000)]
    more = [[b"x", b"y"] for _ in range(5000)]
    kept: Any = {"headers": headers, "more": more, "deep": {"er": [{"send": mine.send}]}}
    assert transport.server_send(mine.scope, Slots(kept).method) == mine.send


async def test_the_transport_of_another_connection_is_not_used() -> None:
    """Middleware may keep all that it has wrapped."""
    mine, other = Protocol(), Protocol(b"theirs")
    registry = [other.send, mine.send]

    async def wrapped(message: dict[str, Any]) -> None:
        await registry[-1](message)

    assert transport.server_send(mine.scope, wrapped) == mine.send
    unknown = {"headers": [(b"sec-websocket-key", b"unknown")], "asgi": {}}
    assert transport.server_send(unknown, wrapped) == wrapped


async def test_the_log_names_a_wrapper_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        all_again()
        mine = Protocol()
        transport.server_send(mine.scope, Only(mine.send))
    [record] = caplog.records
    assert f"{__name__}.Only" in record.getMessage()
    assert "no fast path" in record.getMessage()


class Only(Slots):
    """Met in one test."""


def test_a_wrapper_has_its_own_name_in_the_log() -> None:
    """Not that of what it pretends to be."""
    prefix = f"{__name__}."
    assert name_of(closure(print)) == prefix + "closure.<locals>.wrapped"
    assert name_of(decorated(closure(print))) == prefix + "decorated.<locals>.wrapped"
    assert name_of(functools.partial(closure, 1)) == f"partial of {prefix}closure"
    assert name_of(Slots(print)) == prefix + "Slots"
    assert name_of(Slots(print).method) == prefix + "Slots.method"


async def test_a_kind_of_send_without_success_is_soon_skipped() -> None:
    """A handshake is not to pay for it for ever."""
    examined: list[Any] = []
    wrappers = Wrappers()
    for _ in range(MOST_MISSES + 2):
        seen = len(examined)
        assert wrappers.find(closure(print), lambda one: examined.append(one)) is None
    assert len(examined) == seen
