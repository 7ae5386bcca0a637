"""The frames of a topic: the protocol's own, with the names and data of the topic's structs."""

import re
from typing import Any, NamedTuple

from msgspec import Struct

from ..wire.commands import Answer, Call
from ..wire.events import Ask, EntryEvent, Result
from ..wire.tags import name_of
from .components import Components, Schema
from .surface import Exchange, Socket, TopicClass

__all__ = ["CallFrames", "TopicFrames", "ask_frames", "pattern_of"]

DONE = "done"
"""The name of the result of a command that returns nothing."""
ANY_OBJECT: Schema = {"type": "object"}


class CallFrames(NamedTuple):
    """The frame that calls a command or asks, and those that answer it, each by its name."""

    exchange: Exchange
    name: str
    call: Schema
    results: dict[str, Schema]

    def schemas(self) -> dict[str, Schema]:
        """Return all frames by name."""
        return {self.name: self.call} | self.results


class TopicFrames(NamedTuple):
    """The schemas of the frames of a topic class."""

    calls: list[CallFrames]
    events: dict[str, Schema]

    @classmethod
    def of(cls, topic: TopicClass, components: Components) -> "TopicFrames":
        """Make the frames; the name of each begins with that of the topic class."""
        make = _Maker(components, components.names[topic.owner], pattern_of(topic))
        return cls(
            [make.call(one) for one in topic.exchanges],
            {make.name(event, "Frame"): make.event(name, event) for name, event in topic.events},
        )

    def schemas(self) -> dict[str, Schema]:
        """Return all frames by name."""
        found = dict(self.events)
        for one in self.calls:
            found |= one.schemas()
        return found


def ask_frames(socket: Socket, components: Components) -> list[CallFrames]:
    """Return the frames of the questions that the consumer of a socket declares."""
    names, owner = components.names, components.names[socket.owner]

    def frame(base: type[Struct], data: type[Struct], **fields: Schema) -> Schema:
        fields["data"] = {"$ref": names[data]}
        narrowed = {"type": "object", "properties": fields, "required": [*fields]}
        return {"allOf": [{"$ref": names[base]}, narrowed]}

    return [
        CallFrames(
            one,
            f"{owner}{names[one.command]}Ask",
            frame(Ask, one.command, name={"const": one.name}),
            {f"{owner}{names[reply]}Answer": frame(Answer, reply) for reply in one.replies},
        )
        for one in socket.questions
    ]


def pattern_of(topic: TopicClass) -> str:
    """Return the regular expression of a topic's names, as JavaScript has it."""
    pattern: str = topic.owner.route().pattern.regex.pattern
    return re.sub(r"\\[zZ]$", "$", re.sub(r"\(\?P<\w+>", "(?:", pattern))


class _Maker(NamedTuple):
    components: Components
    owner: str
    pattern: str

    def name(self, struct: type[Struct], end: str) -> str:
        return f"{self.owner}{self.components.names[struct]}{end}"

    def event(self, name: str, event: type[Struct]) -> Schema:
        """Return the frame of an event; `data` is missing if the value of a key was deleted."""
        return self._frame(EntryEvent, name, self._ref(event), is_data_required=False)

    def call(self, exchange: Exchange) -> CallFrames:
        """Return the frames of a command; without required fields it needs no `data`."""
        schema = self.components.schemas[self.components.names[exchange.command]]
        needs_data = bool(schema.get("required"))
        data = self._ref(exchange.command)
        call = self._frame(Call, exchange.name, data, is_data_required=needs_data)
        results = {
            self.name(reply, "Result"): self._frame(Result, name_of(reply), self._ref(reply))
            for reply in exchange.replies
        }
        if not results:
            results[f"{self.owner}DoneResult"] = self._frame(Result, DONE, ANY_OBJECT)
        return CallFrames(exchange, self.name(exchange.command, "Call"), call, results)

    def _ref(self, struct: Any) -> Schema:
        return {"$ref": self.components.names[struct]}

    def _frame(
        self, base: type[Struct], name: str, data: Schema, *, is_data_required: bool = True
    ) -> Schema:
        topic = {"type": "string", "pattern": self.pattern}
        fields = {"topic": topic, "name": {"const": name}, "data": data}
        required = ["topic", "name", *(["data"] if is_data_required else [])]
        narrowed = {"type": "object", "properties": fields, "required": required}
        return {"allOf": [self._ref(base), narrowed]}
