"""A scenario over plain HTTP: a stream or poll is the line, and commands come beside it."""

from typing import Any

from .driver import Driver
from .exchange import Exchange
from .http_server import HttpServer
from .line import Frame
from .scenario import Scenario, Step
from .stage import Mismatch, Stage, fits

__all__ = ["HttpStage"]

LINE, COMMANDS = "line", "commands"
REFUSED: Frame = {"type": "error", "code": "unavailable"}


class HttpStage(Stage):
    """A scenario whose steps are about the line, or with `over` about a request with commands."""

    def __init__(self, scenario: Scenario, server: HttpServer, driver: Driver) -> None:
        super().__init__(scenario, server, driver)
        self._http = server
        self._requests: dict[str, Exchange] = {}
        """The latest request of each kind."""
        self._over = LINE

    async def _do(self, written: Step) -> None:
        self._over = written.get("over", LINE)
        self._line = self._requests.get(self._over)
        await super()._do(written)

    async def _act(self, step: Step) -> bool:
        if "refuse" not in step:
            return await super()._act(step)
        await self._request.refuse(step["refuse"], step.get("frame", REFUSED))
        return True

    @property
    def _request(self) -> Exchange:
        if self._over not in self._requests:
            raise Mismatch("The scenario has no request yet.")
        return self._requests[self._over]

    def _addresses(self) -> Step:
        over = self._scenario.options["over"]
        return {"url": self._http.socket_url, "http": self._http.url, "over": over}

    async def _opening(self) -> Exchange:
        is_line = self._over == LINE
        opened: Exchange = await (self._http.line() if is_line else self._http.commands())
        self._requests[self._over] = opened
        return opened

    def _check_line(self, line: Any, wanted: Step) -> None:
        super()._check_line(line, wanted)
        if "user" in wanted and line.user != wanted["user"]:
            raise Mismatch(f"The user was {line.user!r}.")

    async def _expect(self, wanted: Step) -> Step:
        """Return the next command; a client that enters a room may begin another stream."""
        while True:
            try:
                return await super()._expect(wanted)
            except ConnectionError:
                if self._over == COMMANDS:
                    raise
            await self._next_line({}, {})

    async def _refute(self, unwanted: Step) -> None:
        """Fail if such a command is in a request that has come."""
        came = [*self._request.unread, *self._request.rest()]
        if self._over == COMMANDS and self._http.has_commands():
            raise Mismatch("The client has sent another request.")
        if any(fits(frame, unwanted) for frame in came):
            raise Mismatch("The client has sent this.")

    async def _be_quiet(self) -> None:
        """Fail if the client tells more; what it has not read yet is found by later steps."""
        await self._driver.settle(self._driver.do("sync"))
        self._check_quiet()
