"""The driver of the Python client: `python -m realtime.conformance.python_driver`."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..client import (
    Changed,
    Client,
    MessageEvent,
    RealtimeError,
    Reset,
    StateChange,
    TopicEvent,
)

__all__ = ["main"]

ABILITIES = [
    "handshake", "identity", "heartbeat", "join", "log", "send", "topic", "frames", "plain-json",
    "gaps-by-join", "clock"
]  # fmt: skip
Fields = dict[str, Any]


class Driver:
    """One client, and the tasks of what it was told to do."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._tokens: list[str | None] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: set[str] = set()

    def take(self, line: str) -> None:
        """Do what a line says, and tell when it is settled."""
        command = json.loads(line)
        task = asyncio.create_task(self._settle(command.pop("id"), command.pop("do"), command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End the client, and all that still waits."""
        if self._client is not None:
            await self._client.close()
        for task in self._tasks:
            task.cancel()

    async def _settle(self, number: int, what: str, fields: Fields) -> None:
        try:
            value = await self._acts[what](self, **fields)
        except RealtimeError as error:
            tell(settled=number, error=error.code, outcome=error.outcome, path=error.path)
        else:
            tell(settled=number, value=value)

    # What a client can be told to do

    async def _connect(self, url: str, tokens: Any = None, **options: Any) -> None:
        self._tokens = tokens or []
        token = self._next_token if tokens else None
        self._client = Client(url, token=token, timeout=3600, **options)
        self._start(self._tell_states(self._client))
        await self._client.__aenter__()

    async def _join(self, room: str, history: int = 0) -> None:
        self._follow(f"room {room}", self._open.room(room))
        await self._open.room(room).join(history=history)

    async def _leave(self, room: str) -> None:
        self._open.room(room).leave()

    async def _send(self, room: str, content: str) -> Fields:
        ack = await self._open.room(room).send(content)
        return {"seq": ack.seq}

    async def _subscribe(self, topic: str, history: int = 0) -> None:
        self._follow(f"topic {topic}", self._open.topic(topic))
        await self._open.topic(topic).subscribe(history=history)

    async def _unsubscribe(self, topic: str) -> None:
        self._open.topic(topic).unsubscribe()

    async def _call(self, topic: str, name: str, data: Fields, timeout: float = 10) -> Fields:
        return await self._open.topic(topic).call(name, data, timeout=timeout)

    async def _answer(self, name: str, data: Fields) -> None:
        async def answer(question: Fields) -> Fields:
            return data

        self._open.answer(name, answer)

    async def _values(self, topic: str) -> Fields:
        return dict(self._open.topic(topic).values)

    async def _reconnect(self) -> None:
        self._open.reconnect_now()

    async def _clock(self, by: float) -> None:
        """Set the clock of the machine, as this process sees it."""
        set_clock(by)

    async def _sync(self) -> None:
        """Let all loops handle what they have got."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def _close(self) -> None:
        """End the client and what was told to it, so that `connect` makes another one."""
        set_clock(0)
        tasks = self._tasks - {asyncio.current_task()}
        await self._open.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loops.clear()

    _acts: dict[str, Callable[..., Awaitable[Any]]] = {
        "connect": _connect,
        "join": _join,
        "leave": _leave,
        "send": _send,
        "subscribe": _subscribe,
        "unsubscribe": _unsubscribe,
        "call": _call,
        "answer": _answer,
        "values": _values,
        "reconnect": _reconnect,
        "clock": _clock,
        "sync": _sync,
        "close": _close,
    }

    # What the client tells

    @property
    def _open(self) -> Client:
        assert self._client is not None  # noqa: S101 - `connect` is the first command
        return self._client

    def _next_token(self) -> str | None:
        return self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_states(self, client: Client) -> None:
        async for one in client.events(StateChange):
            tell(event="state", state=one.state, code=one.code, retry_in=one.retry_in)

    def _follow(self, name: str, log: Any) -> None:
        if name not in self._loops:
            self._loops.add(name)
            self._start(self._tell_events(name, log))

    async def _tell_events(self, name: str, log: Any) -> None:
        try:
            async for event in log:
                _tell_event(event)
        except RealtimeError as error:
            tell(event="refused", name=error.code)
        self._loops.discard(name)


def _tell_event(event: object) -> None:
    match event:
        case MessageEvent():
            tell(event="message", room=event.room, seq=event.seq, content=event.content)
        case Changed():
            tell(event="changed", room=event.room, seq=event.message.seq)
        case Reset():
            tell(event="reset")
        case TopicEvent():
            tell(event="event", name=event.name, key=event.key, seq=event.seq, data=event.data)


machine_time = time.time


def set_clock(by: float) -> None:
    """Set the clock to so many seconds beside the machine's."""
    time.time = lambda: machine_time() + by


def tell(**fields: Any) -> None:
    """Write one line for the runner."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def _lines() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line


async def main() -> None:
    """Do what each line of stdin says, until its end."""
    driver = Driver()
    tell(ready=ABILITIES)
    async for line in _lines():
        driver.take(line)
    await driver.close()


if __name__ == "__main__":
    asyncio.run(main())
