"""The TypeScript declarations of a site: a type for each struct, consumer and topic class."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..topics.paths import PARAMETER
from .components import Components, Schema
from .json_schema import components_of, told_by
from .surface import Exchange, Socket, Surface, TopicClass, doc_of

__all__ = ["typescript"]

HEADER = "// Made by `manage.py realtime_schema --typescript`. Do not edit.\n"
SCALARS = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
NUMERIC = frozenset({"int"})
"""The converters of paths that read numbers."""


def typescript(surface: Surface) -> str:
    """Return the declarations as text."""
    components = components_of(surface)
    parts = [HEADER]
    parts += [_declaration(name, schema) for name, schema in components.schemas.items()]
    parts += [_socket(socket, components) for socket in surface.sockets]
    parts += [_topic(topic, components) for topic in surface.topics]
    return "".join([*parts, _site(surface, components)])


# Structs


def _declaration(name: str, schema: Schema) -> str:
    doc = _doc(schema.get("description", ""))
    if schema.get("type") == "object" and "properties" in schema:
        return f"\n{doc}export interface {name} {_object(schema)}\n"
    return f"\n{doc}export type {name} = {_type(schema)};\n"


def _object(schema: Schema, indent: str = "") -> str:
    """Return the fields of an object; those that may be left out have a question mark."""
    required = set(schema.get("required", ()))
    inner = f"{indent}  "
    lines = [
        f"{_doc(field.get('description', ''), inner)}{inner}{_key(name)}"
        f"{'' if name in required else '?'}: {_type(field, inner)};"
        for name, field in schema["properties"].items()
    ]
    return "{\n" + "".join(f"{line}\n" for line in lines) + f"{indent}}}" if lines else "{}"


def _type(schema: Schema | bool, indent: str = "") -> str:
    """Return the type for a schema. An unknown shape is `unknown`."""
    if isinstance(schema, bool):
        return "unknown" if schema else "never"
    if "$ref" in schema:
        return str(schema["$ref"])
    if "enum" in schema:
        return _union(map(_literal, schema["enum"]))
    if "const" in schema:
        return _literal(schema["const"])
    if "anyOf" in schema:
        return _union(_type(one, indent) for one in schema["anyOf"])
    kind = schema.get("type")
    if kind == "array":
        return _array(schema, indent)
    if kind == "object":
        return _record(schema, indent)
    return SCALARS.get(str(kind), "unknown")


def _array(schema: Schema, indent: str) -> str:
    if "prefixItems" not in schema:
        item = _type(schema.get("items", True), indent)
        return f"{item}[]" if IDENTIFIER.fullmatch(item) else f"({item})[]"
    places = [_type(one, indent) for one in schema["prefixItems"]]
    least = schema.get("minItems", len(places))
    shown = [place if at < least else f"({place})?" for at, place in enumerate(places)]
    is_open = schema.get("items") is not False and schema.get("maxItems") != len(places)
    return f"[{', '.join([*shown, *(['...unknown[]'] if is_open else [])])}]"


def _record(schema: Schema, indent: str) -> str:
    if "properties" in schema:
        return _object(schema, indent)
    value = _type(schema.get("additionalProperties", True), indent)
    return f"{{ [key: string]: {value} }}"


# Sockets and topics


def _socket(socket: Socket, components: Components) -> str:
    name = components.names[socket.owner]
    place = " or ".join(f"`{path}`" for path in socket.paths) or name
    commands = sorted(components.names[one.command] for one in socket.exchanges)
    told = sorted(components.names[one] for one in told_by(socket))
    replies = [f"  {_key(one.name)}: {_replies(one, components)};\n" for one in socket.exchanges]
    questions = [_command(one, components, "  ") for one in socket.questions]
    return (
        f"\n{_doc(f'What a client sends to {place}.')}"
        f"export type {name}Command = {_union(commands)};\n"
        f"\n{_doc(f'What {place} sends: replies and events.')}"
        f"export type {name}Outgoing = {_union(told)};\n"
        f"\n{_doc(f'The reply to each command of {place}, by its type.')}"
        f"export interface {name}Replies {{\n{''.join(replies)}}}\n"
    ) + (
        f"\n{_doc(f'What {place} asks, and what the client answers, by the name of the question.')}"
        f"export interface {name}Questions {{\n{''.join(questions)}}}\n"
        if questions
        else ""
    )


def _topic(topic: TopicClass, components: Components) -> str:
    name = components.names[topic.owner]
    events = "".join(
        f"    {_key(event)}: {components.names[struct]};\n" for event, struct in topic.events
    )
    commands = "".join(_command(one, components, "    ") for one in topic.exchanges)
    doc = _doc(doc_of(topic.owner) or f"The topics `{topic.path}`.")
    return (
        f"\n{doc}export interface {name} {{\n  name: {_name_type(topic.path)};\n"
        f"  events: {_block(events)};\n  commands: {_block(commands)};\n}}\n"
    )


def _command(one: Exchange, components: Components, indent: str) -> str:
    """Return a field with the types of a command, or of a question, and of its reply."""
    data, reply = components.names[one.command], _replies(one, components, "{}")
    types = f"{{ data: {data}; reply: {reply} }}"
    return f"{_doc(one.doc, indent)}{indent}{_key(one.name)}: {types};\n"


def _site(surface: Surface, components: Components) -> str:
    """Return the type that the browser client takes: each topic class, by its path."""
    topics = "".join(
        f"    {_literal(str(one.path))}: {components.names[one.owner]};\n" for one in surface.topics
    )
    doc = _doc("The topics of this site, for `new RealtimeClient<Site>()`.")
    return f"\n{doc}export interface Site {{\n  topics: {_block(topics)};\n}}\n"


def _block(lines: str) -> str:
    return f"{{\n{lines}  }}" if lines else "{}"


def _replies(exchange: Exchange, components: Components, nothing: str = "null") -> str:
    return _union([components.names[reply] for reply in exchange.replies] or [nothing])


def _name_type(path: str) -> str:
    r"""Return the type of a topic's name: `order/<int:pk>` is `order/${number}`."""
    parts, end = [], 0
    for found in PARAMETER.finditer(path):
        parts.append(_template_text(path[end : found.start()]))
        parts.append("${number}" if found["converter"] in NUMERIC else "${string}")
        end = found.end()
    return f"`{''.join(parts)}{_template_text(path[end:])}`"


def _template_text(text: str) -> str:
    return re.sub(r"([`\\]|\$\{)", r"\\\1", text)


# Syntax


def _union(types: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(types)) or "never"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if IDENTIFIER.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _doc(text: str, indent: str = "") -> str:
    """Return a comment, or nothing for an empty text."""
    lines = [line.rstrip() for line in text.replace("*/", "*\\/").splitlines()]
    if not lines:
        return ""
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return "".join(_doc_lines(lines, indent))


def _doc_lines(lines: list[str], indent: str) -> Iterator[str]:
    yield f"{indent}/**\n"
    for line in lines:
        yield f"{indent} * {line}".rstrip() + "\n"
    yield f"{indent} */\n"
