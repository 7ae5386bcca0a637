"""The driver of `HttpClient`: `python -m realtime.conformance.http_driver`.

It is an example: nothing but the protocol connects it with the other clients of the package.
"""

import asyncio
import json
import sys
from typing import Any

from .http_client import HttpClient, Refused

__all__ = ["main"]

ABILITIES = ["http", "poll", "one-line", "anew-by-join"]


class HttpDriver:
    """One client, and the tasks of what it was told to do."""

    def __init__(self) -> None:
        self._client: HttpClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, line: str) -> None:
        """Do what a line says, and tell when it is settled."""
        self._start(self._settle(**json.loads(line)))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, id: int, do: str, **fields: Any) -> None:  # noqa: A002 - the protocol's
        try:
            value = await self._do(do, fields)
        except Refused as error:
            tell(settled=id, error=error.code)
        else:
            tell(settled=id, value=value)

    async def _do(self, what: str, fields: dict[str, Any]) -> Any:
        client = self._client
        match what, client:
            case "connect", _:
                self._connect(**fields)
            case "close", _:
                await self._close()
            case "join", HttpClient():
                await client.join(fields["room"])
            case "send", HttpClient():
                return {"seq": (await client.send(**fields))["seq"]}
            case "reconnect", HttpClient():
                client.reconnect()
        return None

    def _connect(
        self, http: str, over: str, tokens: list[str | None] | None = None, **_: object
    ) -> None:
        left = list(tokens or [None])
        client = HttpClient(
            http, tell, lambda: left.pop(0) if len(left) > 1 else left[0], polls=over == "poll"
        )
        self._client = client
        self._start(client.run())

    async def _close(self) -> None:
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def tell(**fields: Any) -> None:
    """Write one line for the runner."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Do what each line of stdin says, until its end."""
    driver = HttpDriver()
    tell(ready=ABILITIES)
    while line := await asyncio.to_thread(sys.stdin.readline):
        driver.take(line)


if __name__ == "__main__":
    asyncio.run(main())
