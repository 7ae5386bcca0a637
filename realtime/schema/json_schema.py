"""The JSON Schema document of a site: each struct, and unions for what each side sends."""

import json
from collections.abc import Iterable
from typing import Any

from ..wire.commands import Call, Subscribe
from ..wire.events import PROTOCOL, EntryEvent, Result
from .components import Components, Schema, with_prefix
from .frames import TopicFrames, ask_frames
from .surface import Socket, Surface, TopicClass, doc_of

__all__ = ["FRAMES", "components_of", "json_schema", "told_by", "written"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PREFIX = "#/$defs/"
FRAMES = (Subscribe, Call, Result, EntryEvent)
"""The structs that the frames of topics refer to, also where no socket has topics."""


def json_schema(surface: Surface) -> str:
    """Return the document as text."""
    components = components_of(surface)
    definitions = dict(components.schemas)
    unions: list[str] = []
    for socket in surface.sockets:
        found = _of_socket(socket, components)
        definitions |= found
        unions += [name for name, schema in found.items() if "anyOf" in schema]
    for topic in surface.topics:
        found = _of_topic(topic, components)
        definitions |= found
        unions += [name for name, schema in found.items() if "anyOf" in schema]
    document = {
        "$schema": DIALECT,
        "title": PROTOCOL,
        "description": "Each frame that a client or the server sends, as JSON.",
        "anyOf": [{"$ref": name} for name in unions],
        "$defs": dict(sorted(definitions.items())),
    }
    return written(with_prefix(document, PREFIX))


def components_of(surface: Surface) -> Components:
    """Return the schemas of all structs of a site, and names for its consumers and topics."""
    frames = FRAMES if surface.topics else ()
    return Components.of((*surface.structs(), *frames), surface.owners())


def told_by(socket: Socket) -> tuple[type[Any], ...]:
    """Return the structs that the server sends: replies and events, each once."""
    replies = [reply for one in socket.exchanges for reply in one.replies]
    return tuple(dict.fromkeys([*replies, *socket.events]))


def written(document: Any) -> str:
    """Return a document as JSON text that is easy to compare."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _of_socket(socket: Socket, components: Components) -> dict[str, Schema]:
    name = components.names[socket.owner]
    place = " or ".join(f"`{path}`" for path in socket.paths) or name
    commands = [components.names[one.command] for one in socket.exchanges]
    told = sorted(components.names[one] for one in told_by(socket))
    unions = {
        f"{name}Command": _union(f"What a client sends to {place}.", commands),
        f"{name}Outgoing": _union(f"What {place} sends: replies and events.", told),
    }
    asked = ask_frames(socket, components)
    answers = dict.fromkeys(key for one in asked for key in one.results)
    unions |= {
        f"{name}Ask": _union(f"Questions of {place}.", [one.name for one in asked]),
        f"{name}Answer": _union(f"Answers to questions of {place}.", answers),
    }
    frames = {key: schema for one in asked for key, schema in one.schemas().items()}
    return frames | {key: union for key, union in unions.items() if union["anyOf"]}


def _of_topic(topic: TopicClass, components: Components) -> dict[str, Schema]:
    name = components.names[topic.owner]
    frames = TopicFrames.of(topic, components)
    about = f"the topics `{topic.path}`"
    results = dict.fromkeys(key for one in frames.calls for key in one.results)
    unions = {
        f"{name}Call": _union(f"Calls of {about}.", [one.name for one in frames.calls]),
        f"{name}Result": _union(f"Replies of {about}.", results),
        f"{name}Event": _union(f"Events of {about}. {doc_of(topic.owner)}".strip(), frames.events),
    }
    return frames.schemas() | {key: union for key, union in unions.items() if union["anyOf"]}


def _union(description: str, names: Iterable[str]) -> Schema:
    return {"description": description, "anyOf": [{"$ref": name} for name in names]}
