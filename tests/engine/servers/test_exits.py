"""Code of a site that would end more than itself."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from realtime.engine.servers.exits import contained


class Stop(BaseException):
    """An exception that no `except Exception` catches."""


async def raising(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [SystemExit(1), Stop()], ids=["exit", "stop"])
async def test_what_would_end_the_server_is_a_failure(error: BaseException) -> None:
    with pytest.raises(RuntimeError, match=r"as sys.exit\(\) does") as found:
        await contained(raising(error))
    assert found.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), asyncio.CancelledError(), KeyboardInterrupt()],
    ids=["failure", "cancellation", "interrupt"],
)
async def test_what_others_handle_is_left_alone(error: BaseException) -> None:
    with pytest.raises(type(error)) as found:
        await contained(raising(error))
    assert found.value is error


async def test_a_coroutine_that_is_closed_ends() -> None:
    """It must not answer its end with an error."""
    work: Coroutine[Any, Any, None] = contained(asyncio.sleep(60))
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    waiting = contained(asyncio.sleep(0))
    waiting.send(None)  # type: ignore[attr-defined]
    waiting.close()  # type: ignore[attr-defined]
