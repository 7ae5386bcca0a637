"""The client for code without `async`, used by threads, against a server that is written out."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from realtime.client import RealtimeError
from realtime.client.sync import Client
from tests.client.scripted import SECONDS, Script


async def serve(urls: list[str], is_up: threading.Event) -> None:
    """Let each client in, until the task is cancelled."""
    async with Script() as script:
        urls.append(script.url)
        is_up.set()
        while True:
            await (await script.socket()).welcome()


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a server in another thread."""
    loop, urls, is_up = asyncio.new_event_loop(), list[str](), threading.Event()
    serving = loop.create_task(serve(urls, is_up))

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().run_until_complete(asyncio.wait({serving}))

    thread = threading.Thread(target=run)
    thread.start()
    assert is_up.wait(SECONDS)
    yield urls[0]
    loop.call_soon_threadsafe(serving.cancel)
    thread.join()


def test_threads_that_use_a_client_while_it_closes_do_not_hang(url: str) -> None:
    client = Client(url)
    client.__enter__()
    room = client.room("general")
    ends_at = time.monotonic() + 0.5

    def use() -> None:
        while time.monotonic() < ends_at:
            with suppress(RealtimeError):  # it is closed
                room.typing()

    threads = [threading.Thread(target=use, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    client.close()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert "realtime-client" not in [thread.name for thread in threading.enumerate()]


def test_positions_may_be_asked_for_while_another_thread_makes_rooms(url: str) -> None:
    with Client(url) as client:
        making = threading.Thread(target=lambda: [client.room(f"r{n}") for n in range(2000)])
        making.start()
        while making.is_alive():
            assert client.positions == {}


def test_a_client_is_used_once(url: str) -> None:
    """A second block does not disturb the first one."""
    with Client(url) as client:
        with pytest.raises(RuntimeError, match="another one"):
            client.__enter__()
        assert client.room("general")
