"""However a connection ends, it holds nothing: the end comes once at each point where it waits."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

import pytest

from harness.client.encoding import Object
from harness.site import UNLIMITED
from harness.waiting import eventually
from realtime import testing
from realtime.consumers import ChatConsumer, Command, Consumer, Done, command
from realtime.consumers.authentication import Login
from realtime.consumers.heartbeat import Heartbeat
from realtime.consumers.lifecycle import Lifecycle
from realtime.engine.connections.connection import Connection
from realtime.engine.connections.intake import Intake
from realtime.engine.connections.outbox import Outbox
from realtime.engine.connections.phase import Phase
from realtime.engine.engine import Engine
from realtime.models import Room
from realtime.wire.errors import CloseCode, Disconnect
from tests.consumers.test_sign_in import JWT, token_for

OWNERS = (ChatConsumer, Connection, Heartbeat, Intake, Lifecycle, Login, Outbox)
"""Whose timers must not outlive a connection."""
JOIN: Object = {"type": "join", "room": "general"}
RENAME: Object = {"type": "auth", "name": "NAME"}
"""`NAME` becomes another one in each walk: nobody may have that of somebody else."""
TALK: list[Object] = [
    JOIN,
    {"type": "message", "room": "general", "content": "hi", "ref": 1},
    {"type": "history", "room": "general"},
    {"type": "leave", "room": "general"},
    JOIN,
    {"type": "ping"},  # what is sent last may be lost, as the client leaves then
]


class Watched:
    """A coroutine that tells `at_wait` the number of each of its waits, just before it."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], at_wait: Callable[[int], None]
    ) -> None:
        self._coroutine = coroutine
        self._at_wait = at_wait
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        value: Any = None
        step: Callable[[Any], Any] = self._coroutine.send
        while True:
            try:
                future = step(value)
            except StopIteration:
                return
            self.waits += 1
            self._at_wait(self.waits)
            try:
                value, step = (yield future), self._coroutine.send
            except BaseException as error:
                value, step = error, self._coroutine.throw


class Walk:
    """One connection of a client that has sent all of its commands already, and then left."""

    def __init__(
        self, commands: list[Object], query: str, ends: dict[int, str], base: type[Consumer]
    ) -> None:
        self.base: Any = base
        self.consumers: list[Consumer] = []
        self.kinds: list[str] = []
        self._inbox: asyncio.Queue[Object] = asyncio.Queue()
        self._scope = {
            "type": "websocket",
            "path": "/ws",
            "query_string": query.encode(),
            "headers": [],
            "subprotocols": ["realtime.v1.json"],
            "client": ["192.0.2.1", 50000],
        }
        self._ends = ends
        self.waits = 0
        self._inbox.put_nowait({"type": "websocket.connect"})
        for one in commands:
            text = json.dumps(one).replace("NAME", f"Ada {secrets.token_hex(4)}")
            self._inbox.put_nowait({"type": "websocket.receive", "text": text})
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def run(self) -> None:
        """Walk to the end."""
        walk = self

        class Noting(self.base):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                walk.consumers.append(self)

        application = Noting.as_asgi()
        watched = Watched(application(self._scope, self._inbox.get, self._send), self._at_wait)

        async def serve() -> None:
            await watched

        self.task = asyncio.create_task(serve())
        await asyncio.wait([self.task], timeout=10)
        assert self.task.done(), (self._ends, self.kinds)
        assert self.task.cancelled() or self.task.exception() is None
        self.waits = watched.waits

    @property
    def connection(self) -> Connection | None:
        return getattr(self.consumers[0], "connection", None) if self.consumers else None

    def _at_wait(self, number: int) -> None:
        connection = self.connection
        match self._ends.get(number):
            case "the server cancels":
                self.task.cancel()
            case "the engine closes" if connection and connection.phase is not Phase.CONNECTING:
                connection.close(Disconnect(CloseCode.KICKED))
            case "the client leaves":
                while not self._inbox.empty():
                    self._inbox.get_nowait()
                self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def _send(self, message: Object) -> None:
        await asyncio.sleep(0)
        if message["type"] == "websocket.send":
            self.kinds.append(json.loads(message["text"])["type"])
        elif message["type"] == "websocket.close":
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})


def held(engine: Engine) -> dict[str, Any]:
    """What of connections the engine still holds."""
    admission, presence = engine.admission, engine.presence
    timers = [
        one
        for one in engine.loop._scheduled  # type: ignore[attr-defined]
        if not one.cancelled() and isinstance(getattr(one._callback, "__self__", None), OWNERS)
    ]
    found = {
        "connections": engine.connections,
        "members": [one.name for one in engine.hub.topics.values() if one.members],
        "lanes": [
            one.name
            for one in engine.hub.topics.values()
            if any(lane.outboxes for lane in one._lanes.values())
        ],
        "slots": (admission.open, admission.unauthenticated, admission.guests) != (0, 0, 0),
        "counts": [
            *admission.arriving,
            *admission.guests_of,
            *admission.users_of,
            *admission.connections_of,
        ],
        "revalidator": engine.revalidator._tracked,
        "watchdog": engine.watchdog._since,
        "presence": [*presence._connections, *presence._presences, *presence._places],
        "timers": timers,
    }
    return {name: one for name, one in found.items() if one}


@pytest.fixture
async def engine(room: Room) -> AsyncIterator[Engine]:
    """The engine of a site that takes guests and tokens, and forgets who leaves at once."""
    given = UNLIMITED | JWT | {"PRESENCE_GRACE_SECONDS": 0}
    async with testing.engine(**given) as running:
        yield running


async def walk_everywhere(
    engine: Engine,
    commands: list[Object],
    query: str,
    end: str,
    base: type[Consumer] = ChatConsumer,
) -> set[str]:
    """End a walk at each of its waits, and cancel it at each later one as well.

    Returns the kinds of frames of the walk that is not disturbed.
    """

    async def walk(ends: dict[int, str]) -> Walk:
        made = Walk(commands, query, ends, base)
        await made.run()
        await asyncio.sleep(0.002)  # presence is let go a moment later
        await eventually(lambda: not held(engine), 10, f"{ends}: nothing held")
        if made.connection is not None:
            assert made.connection.phase is Phase.CLOSED
            assert made.connection._acquired == []
        return made

    free = await walk({})
    for first in range(1, free.waits + 1):
        ended = await walk({first: end})
        for second in range(first + 1, ended.waits + 1):
            await walk({first: end, second: CANCEL})
    return set(free.kinds)


CANCEL = "the server cancels"
ENDS = [CANCEL, "the engine closes", "the client leaves"]


@pytest.mark.parametrize("end", ENDS)
async def test_a_guest_leaves_nothing_wherever_it_ends(
    engine: Engine, settings: Any, end: str
) -> None:
    """A handshake, a room, messages, another name."""
    settings.REALTIME = settings.REALTIME | {"GUESTS": True}
    kinds = await walk_everywhere(engine, [RENAME, *TALK], "", end)
    assert {"welcome", "authenticated", "joined", "history", "left"} <= kinds


@pytest.mark.parametrize("end", ENDS)
async def test_a_first_message_leaves_nothing_wherever_it_ends(
    engine: Engine, ada: Any, end: str
) -> None:
    """With an end of the token, for which there are timers."""
    auth = {"type": "auth", "token": token_for(ada, 3600), "ref": 1}
    kinds = await walk_everywhere(engine, [auth, *TALK], "", end)
    assert {"welcome", "authenticated", "joined", "history", "left"} <= kinds


@pytest.mark.parametrize("end", ENDS)
async def test_a_refused_handshake_leaves_nothing_wherever_it_ends(
    engine: Engine, end: str
) -> None:
    kinds = await walk_everywhere(engine, [JOIN], "token=wrong", end)
    assert kinds == {"disconnect"}


class Value(Command):
    number: int


class Gathering(Consumer):
    """Has batches that are full, that are due, and that are left at the end."""

    @command(batch=2, within=0.005)
    async def value(self, commands: list[Value]) -> list[Done]:
        await asyncio.sleep(0)
        return [Done(note=str(one.number)) for one in commands]

    async def on_connect(self) -> None:
        self.spawn(asyncio.sleep(3600))


@pytest.mark.parametrize("end", ENDS)
async def test_batches_and_the_background_leave_nothing_wherever_they_end(
    engine: Engine, settings: Any, end: str
) -> None:
    settings.REALTIME = settings.REALTIME | {"GUESTS": True}
    values: list[Object] = [{"type": "value", "number": number} for number in range(4)]
    commands = [*values[:3], {"type": "auth", "name": "NAME"}, values[3], {"type": "ping"}]
    kinds = await walk_everywhere(engine, commands, "", end, Gathering)
    assert {"welcome", "done", "authenticated"} <= kinds
