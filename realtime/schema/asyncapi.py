"""The AsyncAPI 3 document of a site: a channel for each socket and each topic class."""

from collections.abc import Iterable
from typing import Any

from ..topics.paths import PARAMETER
from ..wire.events import PROTOCOL
from .components import Components, Schema, with_prefix
from .frames import CallFrames, TopicFrames, ask_frames
from .json_schema import components_of, told_by, written
from .surface import Socket, Surface, TopicClass, doc_of

__all__ = ["asyncapi"]

VERSION = "3.0.0"
SCHEMAS = "#/components/schemas/"
RAW = {"text": {"type": "string"}, "binary": {"type": "string", "format": "binary"}}
"""Frames without the protocol, of consumers with `on_text` or `on_bytes`."""
Part = dict[str, Any]


def asyncapi(surface: Surface, *, title: str, release: str) -> str:
    """Return the document as text; `title` and `release` are those of the site's interface."""
    components = components_of(surface)
    writer = _Writer(components)
    for socket in surface.sockets:
        writer.add_socket(socket)
    for topic in surface.topics:
        writer.add_topic(topic)
    document = {
        "asyncapi": VERSION,
        "info": {
            "title": title,
            "version": release,
            "description": f"WebSockets with the protocol {PROTOCOL}, as JSON.",
        },
        "defaultContentType": "application/json",
        "channels": writer.channels,
        "operations": writer.operations,
        "components": {
            "schemas": _draft_7(with_prefix(writer.schemas(), SCHEMAS)),
            "messages": dict(sorted(writer.messages.items())),
        },
    }
    return written(document)


class _Writer:
    """Collects the parts of a document. A command is an operation that the site receives."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.channels: Part = {}
        self.operations: Part = {}
        self.messages: Part = {}
        self._frames: dict[str, Schema] = {}

    def schemas(self) -> dict[str, Schema]:
        return dict(sorted((self.components.schemas | self._frames).items()))

    def add_socket(self, socket: Socket) -> None:
        names = self.components.names
        name = names[socket.owner]
        for number, path in enumerate(socket.paths or (None,), 1):
            key = name if number == 1 else f"{name}_{number}"
            told = [names[one] for one in told_by(socket)]
            commands = [names[one.command] for one in socket.exchanges]
            asked = ask_frames(socket, self.components)
            frames = {key: one for part in asked for key, one in part.schemas().items()}
            self._frames |= frames
            names_of_all = [*commands, *told, *frames]
            found = self._channel(key, path, doc_of(socket.owner), names_of_all)
            for question in asked:
                self._asks(key, question)
            for kind in socket.raw:
                found["messages"][kind] = {"name": kind, "payload": RAW[kind]}
                self.operations[f"{key}.{kind}"] = self._operation("receive", key, "", [kind])
            for one in socket.exchanges:
                replies = [names[reply] for reply in one.replies]
                self._receives(key, one.name, one.doc, names[one.command], replies)
            self._sends(key, [names[one] for one in socket.events])

    def add_topic(self, topic: TopicClass) -> None:
        key = self.components.names[topic.owner]
        frames = TopicFrames.of(topic, self.components)
        self._frames |= frames.schemas()
        found = self._channel(key, _address(topic), doc_of(topic.owner), frames.schemas())
        if parameters := _parameters(topic):
            found["parameters"] = parameters
        for one in frames.calls:
            exchange = one.exchange
            self._receives(key, exchange.name, exchange.doc, one.name, one.results)
        self._sends(key, frames.events)

    def _channel(self, key: str, address: str | None, doc: str, messages: Iterable[str]) -> Part:
        found: Part = {"address": address, "title": key}
        if doc:
            found["description"] = doc
        found["messages"] = {name: self._message(name) for name in sorted(set(messages))}
        self.channels[key] = found
        return found

    def _message(self, name: str) -> Part:
        schema = self._frames.get(name) or self.components.schemas[name]
        message: Part = {"name": name, "title": name, "payload": {"$ref": f"{SCHEMAS}{name}"}}
        if text := schema.get("description"):
            message["summary"] = text.partition("\n")[0]
        self.messages[name] = message
        return {"$ref": f"#/components/messages/{name}"}

    def _receives(
        self, key: str, name: str, doc: str, command: str, replies: Iterable[str]
    ) -> None:
        found = self._operation("receive", key, doc, [command])
        answers = _references(key, replies)
        if answers:
            found["reply"] = {"channel": _channel_of(key), "messages": answers}
        self.operations[f"{key}.{name}"] = found

    def _asks(self, key: str, one: CallFrames) -> None:
        found = self._operation("send", key, one.exchange.doc, [one.name])
        found["reply"] = {"channel": _channel_of(key), "messages": _references(key, one.results)}
        self.operations[f"{key}.ask.{one.exchange.name}"] = found

    def _sends(self, key: str, events: Iterable[str]) -> None:
        names = sorted(events)
        if names:
            self.operations[f"{key}.events"] = self._operation("send", key, "", names)

    def _operation(self, action: str, key: str, doc: str, names: Iterable[str]) -> Part:
        found: Part = {"action": action, "channel": _channel_of(key)}
        if doc:
            found["summary"] = doc.partition("\n")[0]
        found["messages"] = _references(key, names)
        return found


def _channel_of(key: str) -> Part:
    return {"$ref": f"#/channels/{key}"}


def _references(key: str, names: Iterable[str]) -> list[Part]:
    return [{"$ref": f"#/channels/{key}/messages/{name}"} for name in names]


def _address(topic: TopicClass) -> str:
    return PARAMETER.sub(lambda found: f"{{{found['name']}}}", topic.path)


def _parameters(topic: TopicClass) -> Part:
    return {
        found["name"]: {"description": f"As the path converter `{found['converter'] or 'str'}`."}
        for found in PARAMETER.finditer(topic.path)
    }


def _draft_7(schema: Any) -> Any:
    """Return a schema as the dialect of AsyncAPI has it, which writes tuples in another way."""
    if isinstance(schema, list):
        return [_draft_7(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _draft_7(value) for key, value in schema.items()}
    if isinstance(found.get("prefixItems"), list):
        rest = found.pop("items", None)
        found["items"] = found.pop("prefixItems")
        if rest is not None:
            found["additionalItems"] = rest
    return found
