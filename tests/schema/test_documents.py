"""The documents are valid, complete, and the same each time."""

import json
import re
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from django.core.management import BaseCommand, call_command, load_command_class
from jsonschema import Draft7Validator, Draft202012Validator

from harness.javascript import PACKAGE, find_node
from realtime.consumers import ChatConsumer
from realtime.schema.asyncapi import asyncapi
from realtime.schema.json_schema import json_schema, told_by
from realtime.schema.surface import Surface
from realtime.schema.typescript import typescript
from realtime.wire import events
from realtime.wire.commands import AnyCommand

ASYNCAPI = Path(__file__).parent / "asyncapi/3.0.0.json"
"""The official schema of AsyncAPI 3 documents, unchanged; its licence is beside it."""
ORDER = "order/7"
ASK = {"type": "ask", "ref": "r", "timeout": 20}


def as_asyncapi(surface: Surface) -> Any:
    return json.loads(asyncapi(surface, title="Shop", release="3"))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from references(one)


def resolved(document: Any, reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_the_chat_is_described_with_every_frame_of_the_protocol() -> None:
    """A struct that is missing here is missing in `sends` of its consumer, or in `LATER`."""
    [socket] = Surface.of({ChatConsumer: set()}).sockets
    assert {one.command for one in socket.exchanges} == set(get_args(AnyCommand))
    assert set(told_by(socket)) == set(get_args(events.AnyOutgoing))


def test_the_asyncapi_document_is_valid(surface: Surface) -> None:
    document = as_asyncapi(surface)
    official = Draft7Validator(json.loads(ASYNCAPI.read_text()))
    assert [error.message for error in official.iter_errors(document)] == []


def test_the_official_schema_refuses_what_is_wrong(surface: Surface) -> None:
    """So the test above can fail."""
    document = as_asyncapi(surface)
    document["operations"]["GameConsumer.move"]["action"] = "take"
    official = Draft7Validator(json.loads(ASYNCAPI.read_text()))
    assert list(official.iter_errors(document))


def test_the_asyncapi_document_has_channels_for_sockets_and_topics(surface: Surface) -> None:
    document = as_asyncapi(surface)
    assert {key: one["address"] for key, one in document["channels"].items()} == {
        "ChatConsumer": "/ws/",
        "EchoConsumer": "/ws/echo/",
        "GameConsumer": "/ws/game/",
        "GameConsumer_2": "/ws/old/",
        "OddTopic": "odd/`${x}/{part}",
        "OrderTopic": "order/{pk}",
    }
    assert document["channels"]["OrderTopic"]["parameters"].keys() == {"pk"}
    operation = document["operations"]["OrderTopic.cancel"]
    assert operation["action"] == "receive"
    assert operation["summary"] == "Cancel this order, if it was not sent."
    [reply] = operation["reply"]["messages"]
    assert reply["$ref"].endswith("/OrderTopicPaidResult")
    moves = document["operations"]["GameConsumer.move"]
    assert moves["messages"] == [{"$ref": "#/channels/GameConsumer/messages/Move"}]


@pytest.mark.parametrize("write", [json_schema, lambda one: asyncapi(one, title="a", release="1")])
def test_each_reference_leads_to_something(surface: Surface, write: Any) -> None:
    document = json.loads(write(surface))
    found = set(references(document))
    assert len(found) > 50
    for reference in found:
        assert resolved(document, reference)


def test_the_json_schema_is_valid(surface: Surface) -> None:
    Draft202012Validator.check_schema(json.loads(json_schema(surface)))


@pytest.mark.parametrize(
    ("definition", "frame", "is_valid"),
    [
        ("GameConsumerCommand", {"type": "move", "to": 3}, True),
        ("GameConsumerCommand", {"type": "move"}, False),
        ("GameConsumerCommand", {"type": "tree", "children": [{"type": "tree"}]}, True),
        ("GameConsumerCommand", {"type": "join", "room": "a"}, False),
        ("GameConsumerOutgoing", {"type": "moved", "to": 3, "ref": 1}, True),
        ("ChatConsumerCommand", {"type": "join", "room": "a"}, True),
        ("ChatConsumerOutgoing", {"type": "ping"}, True),
        ("GameConsumerAsk", {**ASK, "name": "confirm", "data": {"text": "Sure?"}}, True),
        ("GameConsumerAsk", {**ASK, "name": "confirm", "data": {}}, False),
        ("GameConsumerAsk", {**ASK, "name": "other", "data": {"text": "Sure?"}}, False),
        ("GameConsumerAnswer", {"type": "answer", "ref": "r", "data": {"is_sure": True}}, True),
        ("GameConsumerAnswer", {"type": "answer", "ref": "r", "data": {}}, False),
        ("OrderTopicCall", {"topic": ORDER, "name": "cancel"}, True),
        ("OrderTopicCall", {"topic": "order/x", "name": "cancel"}, False),
        ("OrderTopicCall", {"topic": ORDER, "name": "rate"}, False),
        ("OrderTopicCall", {"topic": ORDER, "name": "rate", "data": {}}, False),
        (
            "OrderTopicCall",
            {"topic": ORDER, "name": "rate", "data": {"stars": 5}},
            True,
        ),
    ],
)
def test_the_json_schema_accepts_what_the_site_accepts(
    surface: Surface, definition: str, frame: Any, is_valid: bool
) -> None:
    document = json.loads(json_schema(surface))
    document["$ref"] = f"#/$defs/{definition}"
    del document["anyOf"]
    call = {"type": "call"} if definition == "OrderTopicCall" else {}
    assert Draft202012Validator(document).is_valid(call | frame) is is_valid


def test_a_deleted_value_needs_no_data(surface: Surface) -> None:
    document = json.loads(json_schema(surface))
    document["$ref"] = "#/$defs/OrderTopicEvent"
    del document["anyOf"]
    frame = {"type": "event", "topic": ORDER, "name": "courier.position"}
    validator = Draft202012Validator(document)
    assert validator.is_valid(frame | {"key": "a", "deleted": True})
    assert validator.is_valid(frame | {"data": {"point": [1, 2]}})
    assert not validator.is_valid(frame | {"data": {"point": [1]}})
    assert not validator.is_valid(frame | {"name": "unknown", "data": {}})


def test_questions_are_in_the_documents(surface: Surface) -> None:
    operation = as_asyncapi(surface)["operations"]["GameConsumer.ask.confirm"]
    assert operation["action"] == "send"
    assert operation["summary"] == "Ask whether a player is sure."
    [answer] = operation["reply"]["messages"]
    assert answer["$ref"].endswith("/GameConsumerConfirmedAnswer")
    text = typescript(surface)
    assert "export interface GameConsumerQuestions {\n" in text
    assert "  confirm: { data: Confirm; reply: Confirmed };\n" in text
    assert "ChatConsumerQuestions" not in text


def test_the_documents_do_not_depend_on_an_order(surface: Surface) -> None:
    paths = {one.owner: set(one.paths) for one in reversed(surface.sockets)}
    turned = Surface.of(paths, [one.owner for one in reversed(surface.topics)])
    for write in (json_schema, typescript):
        assert write(turned) == write(surface)
    assert as_asyncapi(turned) == as_asyncapi(surface)


def test_a_consumer_of_raw_frames_has_no_frames_of_the_protocol(surface: Surface) -> None:
    document = as_asyncapi(surface)
    assert document["channels"]["EchoConsumer"]["messages"] == {
        "text": {"name": "text", "payload": {"type": "string"}}
    }
    assert "EchoConsumer.text" in document["operations"]
    assert "EchoConsumer.auth" not in document["operations"]
    assert "EchoConsumerCommand" not in json.loads(json_schema(surface))["$defs"]
    assert "export type EchoConsumerCommand = never;" in typescript(surface)


def test_the_typescript_has_the_types_of_topics(surface: Surface) -> None:
    text = typescript(surface)
    assert "  name: `order/${number}`;\n" in text
    assert "  name: `odd/\\`\\${x}/${string}`;\n" in text
    assert '    "courier.position": Position;\n' in text
    assert "    rate: { data: Rate; reply: {} };\n" in text
    assert "    /** Cancel this order, if it was not sent. */\n" in text
    assert "An order was paid. *\\/ is no end here." in text


def test_a_topic_that_keeps_events_has_those_of_html(surface: Surface) -> None:
    events = {one.path.split("/")[0]: dict(one.events).keys() for one in surface.topics}
    assert {"html", "refresh"} <= events["order"]
    assert not {"html", "refresh"} & events["odd"]


DOCUMENT = (Path(__file__).parent.parent.parent / "docs/schema.md").read_text()
[SNIPPET] = re.findall(r"```ts\n(.*?)```", DOCUMENT, re.DOTALL)
[OWN] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
USE = """
import { RealtimeClient } from "django-channels-realtime";
import type { ChatConsumerCommand, OrderTopic, Paid, Site } from "./site";
const client = new RealtimeClient<Site>();
declare const [pk, slug, path]: [number, string, string];
const order = client.topic(`order/${pk}`);
const join: ChatConsumerCommand = { type: "join", room: "a" };
const name: OrderTopic["name"] = "order/7";
order.on("paid", ({ total }) => total.toUpperCase());
order.on("paid", (_data, { data, deleted }): [string, false] => [data.total, deleted]);
order.on("html", ({ html }) => html.trim());
order.on("refresh", ({ within }) => within?.toFixed());
order.on("event", ({ name, key, live }) => [name, key, live]);
order.on("value", ({ key, isDeleted }) => [key, isDeleted]);
order.on("state", ({ state }) => state === "live", { once: true });
const paid: Promise<Paid> = order.call("cancel");
void order.call("rate", { stars: 5 }, { timeout: 3 }).then((reply) => reply);
void order.subscribe({ history: 3 }).then(({ values }) => values.get("courier"));
order.store.subscribe(({ last, state }) => [last?.seq, state]);
const latest = order.recent("courier.position", { by: ({ kind }) => kind, seconds: 5 }).get();
const point: unknown[] | undefined = latest.get("car")?.point;
client.topic(path).on("anything", ({ field }) => field);
client.topic(`order/${slug}`).on("anything", ({ field }) => field);
new RealtimeClient().topic("order/7").on("anything", ({ field }) => field);
export { join, name, paid, point };
"""
WRONG = [
    'order.on("unknown", () => 0);',
    'order.on("paid", ({ missing }) => missing);',
    'order.on("event", ({ data }) => data.total);',
    'order.recent("paid", { by: ({ missing }) => missing, seconds: 5 });',
    "void order.nonsense;",
    'void order.call("rate");',
    'void order.call("unknown");',
    'void order.call("rate", { stars: "five" });',
    'client.topic("order/7").on("payd", () => 0);',
    'const bad: OrderTopic["name"] = "order/x"; void bad;',
    'const bad: ChatConsumerCommand = { type: "join" }; void bad;',
]
OPTIONS = {
    "strict": True,
    "noEmit": True,
    "target": "es2022",
    "module": "es2022",
    "moduleResolution": "bundler",
    "types": [],
}


@pytest.fixture(scope="module")
def package_types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The declarations of the browser client, as its package has them."""
    folder = tmp_path_factory.mktemp("types")
    tsc = find_node("typescript/bin/tsc")
    done = subprocess.run(
        [*tsc, "-p", "tsconfig.types.json", "--outDir", str(folder)],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return folder


def test_the_typescript_passes_strict_checks(
    surface: Surface, package_types: Path, tmp_path: Path
) -> None:
    """As does the example of the document. Wrong lines stand under `@ts-expect-error`."""
    (tmp_path / "site.ts").write_text(typescript(surface))
    wrong = "".join(f"\n// @ts-expect-error\n{{ {line} }}\n" for line in WRONG)
    (tmp_path / "use.ts").write_text(USE + wrong)
    (tmp_path / "document.ts").write_text(SNIPPET)
    paths = {"django-channels-realtime": [str(package_types / "package.d.ts")]}
    config = {"compilerOptions": {**OPTIONS, "paths": paths}, "include": ["*.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    command = [*find_node("typescript/bin/tsc"), "-p", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_no_line_of_a_document_ends_with_a_blank(surface: Surface) -> None:
    for write in (json_schema, typescript):
        assert not re.search(r"[ \t]+$", write(surface), re.MULTILINE)


def test_the_consumer_of_the_document_is_described() -> None:
    given: dict[str, Any] = {"__name__": "game"}
    exec(OWN, given)
    text = typescript(Surface.of({given["GameConsumer"]: {"/ws/game/"}}))
    assert "  move: Moved;\n" in text
    assert re.search(r"GameConsumerOutgoing = .*\bEnded\b", text)
    assert "/** Move a piece. */\nexport interface Move {" in text


def test_the_document_names_every_option() -> None:
    parser = load_command_class("realtime", "realtime_schema").create_parser("manage.py", "x")
    usual = BaseCommand().create_parser("manage.py", "x")
    options = {name for one in parser._actions for name in one.option_strings}
    options -= {name for one in usual._actions for name in one.option_strings}
    table = re.findall(r"^\| (`--.+?) \|", DOCUMENT, re.MULTILINE)
    assert set(re.findall(r"--[\w-]+", " ".join(table))) == options


def test_the_commands_of_the_document_work(tmp_path: Path, monkeypatch: Any) -> None:
    """In their order: the last one checks what the first one has written."""
    (tmp_path / "frontend").mkdir()
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^python manage.py (realtime_schema .+)$", DOCUMENT, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        call_command(*line.split(), stdout=StringIO())
    assert {one.name for one in tmp_path.rglob("*.*")} == {"site.ts", "asyncapi.json"}
