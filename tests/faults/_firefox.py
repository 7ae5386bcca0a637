"""An unchanged Firefox, driven by the open protocol WebDriver BiDi."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

__all__ = ["Firefox", "find_firefox"]

LISTENS = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")
START_SECONDS = 60
ANSWER_SECONDS = 60
PREFERENCES = {
    "remote.active-protocols": 1,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.update.disabledForTesting": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
}


def find_firefox() -> str | None:
    return shutil.which("firefox") or shutil.which("firefox-esr")


class Firefox:
    """A running Firefox; answers come by the number of their command."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, profile: Path) -> AsyncIterator["Firefox"]:
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in PREFERENCES.items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        command = [str(find_firefox()), "--headless", "--no-remote", "--profile", str(profile)]
        process = await asyncio.create_subprocess_exec(
            *command,
            "--remote-debugging-port=0",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": str(profile)},
            start_new_session=True,
        )
        try:
            url = await asyncio.wait_for(_listening(process), START_SECONDS)
            async with connect(f"{url}/session", max_size=None, ping_interval=None) as socket:
                firefox = cls(socket)
                reading = asyncio.create_task(firefox._read())
                await firefox.do("session.new", capabilities={})
                yield firefox
                await firefox.do("browser.close")
                reading.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def do(self, method: str, **parameters: Any) -> Any:
        """Send a command; return its result."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return await asyncio.wait_for(answer, ANSWER_SECONDS)

    async def tab(self) -> "FirefoxTab":
        return FirefoxTab(self, (await self.do("browsingContext.create", type="tab"))["context"])

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            answer = self._waiting.pop(message.get("id"), None)
            if answer is None or answer.done():
                continue
            if message["type"] == "error":
                answer.set_exception(RuntimeError(f"{message['error']}: {message['message']}"))
            else:
                answer.set_result(message["result"])


async def _listening(process: asyncio.subprocess.Process) -> str:
    """Return the address that Firefox prints, and go on reading what else it prints."""
    assert process.stderr
    while line := await process.stderr.readline():
        if found := LISTENS.search(line):
            asyncio.create_task(process.stderr.read())  # noqa: RUF006
            return found[1].decode()
    raise RuntimeError("Firefox has ended before it listened.")


class FirefoxTab:
    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    async def goto(self, url: str) -> None:
        await self._firefox.do(
            "browsingContext.navigate", context=self._context, url=url, wait="complete"
        )

    async def run(self, function: str, argument: Any = None) -> Any:
        # Values pass as JSON: the protocol's own form of objects is a list of pairs.
        code = f"async (given) => JSON.stringify((await ({function})(JSON.parse(given))) ?? null)"
        given = {"type": "string", "value": json.dumps(argument)}
        answer = await self._firefox.do(
            "script.callFunction",
            functionDeclaration=code,
            arguments=[given],
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    async def close(self) -> None:
        await self._firefox.do("browsingContext.close", context=self._context)

    async def crash(self) -> None:
        raise NotImplementedError("The protocol has no command that ends the process of a tab.")
