"""Ask a client or a process of the site, from any thread of any process."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import msgspec

from ..wire.codecs import Frame
from ..wire.events import Ask
from .bus.notes import Answered, Inspect, Outcome, Question
from .bus.publisher import publisher
from .engine import Engine
from .reporting import Inspection

__all__ = ["Asked", "ask", "inspect"]

NO_OTHERS = "This process shares no channel layer with others, so it has no such connection."
MakeNote = Callable[[str], Question | Inspect]
"""Makes the note for the topic to which its answer has to go."""
AWAY = "The channel layer does not answer."


class Asked:
    """A question whose answer has not come; `result` gets what becomes of it."""

    __slots__ = ("_ref", "result")

    def __init__(self, ref: str, result: Future[Answered]) -> None:
        self._ref = ref
        self.result = result

    def close(self) -> None:
        """Wait no longer."""
        publisher.answers.forget(self._ref)


def ask(connection: str, name: str, data: dict[str, Any], seconds: float) -> Asked:
    """Send a question to a connection.

    Raises `RealtimeError` with `limit_exceeded` if this process waits for too many answers.
    """
    ref, result = publisher.answers.expect()
    frame = Frame.of(Ask(ref=ref, name=name, data=data, timeout=seconds))
    make = partial(_question, ref, frame.text, connection, seconds)
    _publish(f"node.{connection.partition('.')[0]}", make)
    return Asked(ref, result)


def inspect(node: str, question: Inspection) -> Asked:
    """Ask a process about what it serves; raises as `ask`.

    Code in an event loop awaits the result by `asyncio.wrap_future`.
    """
    ref, result = publisher.answers.expect()
    text = msgspec.json.encode(question).decode()
    _publish(f"node.{node}", lambda reply: Inspect(ref, text, reply))
    return Asked(ref, result)


def _publish(topic: str, make: MakeNote) -> None:
    engine = Engine.running()
    if engine is None:
        publisher.ask(topic, make)
    else:
        engine.call_soon(_send, engine, topic, make)


def _question(ref: str, text: str, connection: str, seconds: float, reply: str) -> Question:
    return Question(ref, text, connection, reply, seconds)


def _send(engine: Engine, topic: str, make: MakeNote) -> None:
    note, layer = make(engine.topic), engine.hub.layer
    if topic != engine.topic and not layer.is_shared:
        answer = Answered(note.ref, Outcome.NOT_SENT, "gone", NO_OTHERS)
        publisher.answers.settle(answer)
    elif topic != engine.topic and layer.is_away:
        publisher.answers.fail(note.ref, AWAY)
    else:
        engine.send_to_process(topic, note, partial(_settle, note.ref))


def _settle(ref: str, is_sent: bool) -> None:
    if not is_sent:
        publisher.answers.fail(ref, AWAY, Outcome.UNKNOWN)
