"""The last 15 minutes of a process in steps, and those of processes that have ended.

A process keeps its own steps. When it stops, it hands them over to the others. Each step has
what happened in its time, so that a sum over processes counts nothing twice.
"""

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from ..counts import counts
from ..wire.errors import CloseCode
from .bus.notes import Past
from .delivery.hub import EVERYONE

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["ENDED", "STEPS", "STEP_SECONDS", "NodePast", "Series", "Step"]

STEP_SECONDS = 5
STEPS = 180
"""The steps of 15 minutes; as objects they take about 100 KB."""
NUMBERS = 6
"""The counts of a step before those of its commits."""
ENDED = 32
"""The most processes that have ended whose steps are kept, each as JSON of about 12 KB."""


class Step(msgspec.Struct, array_like=True):
    """What a process did in one step, and what was open at its end."""

    at: int
    """The number of the step since the epoch, by the clock of the process."""
    connections: int
    queued_frames: int
    frames_received: int
    frames_sent: int
    deliveries: int
    repairs: int
    refused: int
    slow: int
    acks: list[int]
    """The new times in the buckets of `Acks`; empty if there was none."""


class NodePast(msgspec.Struct):
    """The steps of a process, oldest first."""

    node: str
    steps: list[Step]


class Series:
    """Takes the steps of a process, and keeps those that others hand over."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.steps: deque[Step] = deque(maxlen=STEPS)
        self._ended: dict[str, tuple[int, str]] = {}
        """By node, its last step and the JSON of all."""
        self._before = _totals()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Take a step at each multiple of its length."""
        delay = STEP_SECONDS - time.time() % STEP_SECONDS
        self._timer = self._engine.loop.call_later(delay, self._tick)

    def stop(self) -> None:
        """Take the last step, and hand over what this process knows."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self.take(int(time.time() // STEP_SECONDS))
        own = msgspec.json.encode(list(self.steps)).decode()
        layer = self._engine.hub.layer
        layer.publish(EVERYONE, Past(self._engine.node.id, own))
        for node, (_last, text) in self._kept().items():
            layer.publish(EVERYONE, Past(node, text))

    def take(self, at: int) -> None:
        """Add the step `at`, with all that has happened since the one before.

        If the clock was set back, the steps of the later time are dropped.
        """
        while self.steps and self.steps[-1].at >= at:
            self.steps.pop()
        before, self._before = self._before, _totals()
        grown = [now - then for now, then in zip(self._before, before, strict=True)]
        received, sent, deliveries, repairs, refused, slow = grown[:NUMBERS]
        acks = grown[NUMBERS:] if any(grown[NUMBERS:]) else []
        numbers = (received, sent, deliveries, repairs, refused, slow)
        self.steps.append(Step(at, *self._open(), *numbers, acks))

    def inherit(self, note: Past) -> None:
        """Keep the steps of a process that has ended. Raises `ValueError` for a broken note."""
        if note.node in self._ended or note.node == self._engine.node.id:
            return
        steps = msgspec.json.decode(note.text, type=list[Step])
        if len(steps) > STEPS:
            raise ValueError("a process has the steps of at most 15 minutes")
        self._ended[note.node] = (steps[-1].at if steps else 0, note.text)
        self._ended = dict(list(self._kept().items())[-ENDED:])

    @property
    def ended(self) -> list[NodePast]:
        """The processes that have ended in the last 15 minutes, as far as this one knows."""
        return [
            NodePast(node, msgspec.json.decode(text, type=list[Step]))
            for node, (_last, text) in self._kept().items()
        ]

    def _kept(self) -> dict[str, tuple[int, str]]:
        first = time.time() // STEP_SECONDS - STEPS
        return {node: past for node, past in self._ended.items() if past[0] >= first}

    def _tick(self) -> None:
        # A timer may be early by the clock of the wall, so the nearest multiple has just passed.
        self.take(round(time.time() / STEP_SECONDS) - 1)
        self.start()

    def _open(self) -> tuple[int, int]:
        connections = self._engine.connections
        return len(connections), sum(len(one.outbox.queue) for one in connections.values())


def _totals() -> list[int]:
    """Return the counts of this process in the order of a step."""
    return [
        counts.frames_received,
        counts.frames_sent,
        counts.deliveries,
        counts.repairs,
        sum(counts.refused.values()),
        counts.closed[CloseCode.SLOW],
        *counts.acks.buckets,
    ]
