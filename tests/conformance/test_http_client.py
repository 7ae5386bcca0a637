"""The small client of plain HTTP, where its scenarios do not reach."""

import asyncio
from typing import Any

import pytest

from realtime.conformance.http_client import HttpClient, Refused
from realtime.conformance.http_server import HttpServer

USER = {"user_id": "9"}


async def test_a_room_that_is_refused_ends_what_waits_for_it() -> None:
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(10), HttpServer() as server, asyncio.TaskGroup() as tasks:
        client = HttpClient(
            server.url, lambda **fields: told.append(fields), lambda: None, polls=False
        )
        running = tasks.create_task(client.run())
        await (await server.line()).welcome(USER)
        joining = asyncio.ensure_future(client.join("a"))
        sending = asyncio.ensure_future(client.send("a", "hello"))
        stream = await server.line()
        await stream.welcome(USER)
        error = {"type": "error", "code": "permission_denied", "retryable": False, "ref": "a"}
        await stream.send([error])
        for waiting in (joining, sending):
            with pytest.raises(Refused, match="permission_denied"):
                await waiting
        running.cancel()
    assert told[-1] == {"event": "refused", "name": "permission_denied"}
