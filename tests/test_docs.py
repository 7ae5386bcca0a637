"""The documents say what the code does."""

import ast
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from pytest_django import Settings

from realtime import moderation, push
from realtime.conf import known_keys
from realtime.models import Membership, Message, Report, Room, Sanction
from realtime.store.messages.drafts import Draft
from realtime.store.outbox import room_numbering
from realtime.wire import events
from realtime.wire.codecs import CODECS
from realtime.wire.commands import COMMANDS
from realtime.wire.costs import COSTS, Cost
from realtime.wire.errors import CloseCode, ErrorCode

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
README = (ROOT / "README.md").read_text()
DEVELOPMENT = (ROOT / "docs/development.md").read_text()
PLACES = re.findall(r"^\| .+\? \| (.+) \| `(realtime/.+)` \|$", DEVELOPMENT, re.MULTILINE)
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
STEPS = re.findall(r"^\d+\. `([\w/]+\.py)`, `([\w.]+)`: ", ARCHITECTURE, re.MULTILINE)
PACKAGE = sorted((ROOT / "realtime").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
SENTENCES = re.compile(r"(?<![0-9])[.!?][)*\"]* (?=[A-Z`\[*])")
ACTS = ["ban", "delete", "kick", "move", "mute", "unban", "unmute"]


def section(title: str) -> str:
    """The text under a heading of the protocol document."""
    return PROTOCOL.split(f"## {title}\n")[1].split("\n## ")[0]


def names_of(kind: str) -> list[str]:
    """Return the names of the commands or events that have a section."""
    return re.findall(rf"^### {kind} `(\w+)`$", PROTOCOL, re.MULTILINE)


def test_the_protocol_document_names_every_command() -> None:
    """No command lacks a section, and no section lacks a command."""
    assert sorted(names_of("Command")) == sorted(COMMANDS)


def test_the_protocol_document_names_every_reply_and_event() -> None:
    """The same for what the server sends."""
    tags = [struct.__struct_config__.tag for struct in get_args(events.AnyOutgoing)]
    assert sorted(names_of("Event")) == sorted(tags)


def test_the_protocol_document_names_every_error_code() -> None:
    """The list of error codes is the enumeration."""
    codes = section("Error codes").split("\n\n")[0]
    assert re.findall(r"`(\w+)`", codes) == [code.value for code in ErrorCode]


def test_the_protocol_document_names_every_close_code() -> None:
    """The table of close codes is the enumeration."""
    rows = re.findall(r"^\| (\d{4}) \|", section("Close codes"), re.MULTILINE)
    assert [int(row) for row in rows] == [code.value for code in CloseCode]


def test_the_protocol_document_names_the_cost_of_every_command() -> None:
    """The table of costs is the one that is used."""
    rows = re.findall(r"^\| (`[^|]+) \| `(\w+)` \| ([^|]+) \|$", section("Costs"), re.MULTILINE)
    told = {
        name: (allowance, cost)
        for names, allowance, cost in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told == {
        command.__name__.lower(): (cost.allowance, _in_words(cost))
        for command, cost in COSTS.items()
    }


def _in_words(cost: Cost) -> str:
    """A cost as the table has it."""
    parts = [f"{cost.fixed:g}"] if cost.fixed else []
    if cost.field:
        parts.append(f"`{cost.field}`" + (f" / {cost.per:g}" if cost.per != 1 else ""))
    return " + ".join(parts)


def test_the_protocol_document_names_the_settings_of_every_allowance() -> None:
    """They exist, and none is missing."""
    rows = re.findall(r"^\| `(\w+)` \| ((?:`[A-Z_]+`(?:, )?)+) \|$", section("Costs"), re.MULTILINE)
    named = {allowance: re.findall(r"`(\w+)`", settings) for allowance, settings in rows}
    assert set(named) == {cost.allowance for cost in COSTS.values()}
    assert {name for names in named.values() for name in names} <= set(known_keys())


def test_the_protocol_document_names_every_subprotocol() -> None:
    """The table of encodings is the registry."""
    named = set(re.findall(r"`(realtime\.v1\.\w+)`", section("Encodings (WebSocket subprotocol)")))
    assert named == set(CODECS)


@pytest.mark.parametrize("snippet", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_each_python_snippet_of_the_readme_compiles(snippet: str) -> None:
    """A reader can paste it; `await` may stand at the top as in a shell."""
    flags = __import__("ast").PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(snippet, "README.md", "exec", flags=flags)


@pytest.mark.django_db
def test_the_functions_of_moderation_do_what_their_page_says() -> None:
    """Its snippet runs, and leaves what it says."""
    text = (ROOT / "docs/moderation.md").read_text()
    [snippet] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    admin = User.objects.create(username="admin")
    room = Room.objects.create(slug="general")
    draft = Draft(room_id=room.pk, content="rude", sender="7", username="Ada")
    given = {
        "room": room,
        "table": Room.objects.create(slug="table"),
        "user": User.objects.create(username="ada"),
        "message": room_numbering.append([draft])[0].state.id,
        "request": SimpleNamespace(user=admin),
    }
    exec(snippet, given)
    kinds = list(Sanction.objects.order_by("pk").values_list("kind", "address"))
    assert kinds == [("ban", "2600:1:2:3::/64"), ("mute", ""), ("ban", "")]
    assert Message.objects.get().content == ""
    assert LogEntry.objects.filter(user=admin).count() == 5


@pytest.mark.django_db
def test_the_functions_of_rooms_do_what_their_page_says(settings: Settings) -> None:
    """Its snippet runs, and leaves what it says."""
    settings.REALTIME = {"CREATE_ROOMS": "users"}
    text = (ROOT / "docs/rooms.md").read_text()
    snippet, policy = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(policy, {})
    given = {name: User.objects.create(username=name) for name in ("user", "other", "third")}
    exec(snippet, given)
    rows = Membership.objects.order_by("pk").values_list("room__kind", "role")
    assert list(rows) == [
        ("private", "owner"),
        ("private", "member"),
        ("direct", "member"),
        ("direct", "member"),
    ]


def test_the_page_of_sending_compiles_and_names_what_there_is() -> None:
    """Its snippets, and the properties of a `Handover`."""
    text = (ROOT / "docs/push.md").read_text()
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(snippet, "push.md", "exec")
        assert set(re.findall(r"push\.(\w+)\(", snippet)) <= set(push.__all__)
    named = set(re.findall(r"^- `(\w+)`:", text, re.MULTILINE))
    assert all(isinstance(vars(push.Handover)[name], property) for name in named)


def test_the_page_of_moderation_names_what_there_is() -> None:
    """Commands, functions and permissions."""
    text = (ROOT / "docs/moderation.md").read_text()
    functions = set(re.findall(r"moderation\.(\w+)", text))
    assert functions <= set(moderation.__all__)
    commands = re.findall(r"^- Command: (.+)$", text, re.MULTILINE)
    named = {name for line in commands for name in re.findall(r"`(\w+)`", line)}
    assert named - {"void"} <= set(COMMANDS)
    permissions = set(re.findall(r"`realtime\.(\w+)`", text))
    models = {model.__name__.lower() for model in (Message, Room, Sanction, Report)}
    known = {f"{act}_{name}" for act in ("add", "change", "delete") for name in models}
    known |= {"change_connection", "change_node"}
    known |= {f"view_{name}" for name in ("message", "direct_message", "connection")}
    assert permissions <= known | {"moderate_room"}


def test_each_function_of_moderation_has_an_async_twin() -> None:
    assert set(moderation.__all__) == {*ACTS, *(f"a{name}" for name in ACTS)}


@pytest.mark.parametrize("name", ACTS)
async def test_the_async_twin_does_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it is given."""
    asked: list[Any] = []
    monkeypatch.setattr(moderation, name, lambda *args, **kwargs: asked.append((args, kwargs)))
    given = {"delete": (7,), "move": (None, None, [])}.get(name, (None, "guest:1"))
    await getattr(moderation, f"a{name}")(*given, by=None)
    assert asked == [(given, {"by": None})]


@pytest.mark.parametrize(("word", "module"), PLACES, ids=[word for word, _ in PLACES])
def test_a_module_is_found_by_the_usual_word(word: str, module: str) -> None:
    """The word is in the docstring, and a search finds few other modules of the server."""
    docstring = ast.get_docstring(ast.parse((ROOT / module).read_text())) or ""
    assert word in " ".join(docstring.lower().split())
    found = [path for path in PACKAGE if word in path.read_text().lower()]
    found = [path for path in found if path.parent.name not in {"client", "conformance"}]
    assert ROOT / module in found
    assert len(found) <= 12


@pytest.mark.parametrize(("file", "function"), STEPS, ids=[name for _, name in STEPS])
def test_a_step_of_a_walk_exists(file: str, function: str) -> None:
    """The walks of the page of the architecture name files and functions of the package."""
    body = ast.parse((ROOT / "realtime" / file).read_text()).body
    *classes, name = function.split(".")
    for one in classes:
        [body] = [node.body for node in body if isinstance(node, ast.ClassDef) and node.name == one]
    assert name in {getattr(node, "name", None) for node in body}


def test_the_page_of_the_architecture_has_four_walks() -> None:
    """Each step is a file and a function, so that none escapes the test above."""
    walks = re.findall(r"^## The way of an? (\w+)$", ARCHITECTURE, re.M)
    assert walks == ["message", "event", "ban", "login"]
    assert len(re.findall(r"^\d+\. ", ARCHITECTURE, re.MULTILINE)) == len(STEPS)


def test_the_page_of_the_architecture_names_what_there_is() -> None:
    """Files and methods in the text beside the steps, such as `Layer.publish`."""
    files = re.findall(r"`((?:tests/)?[\w/]+\.py)`", ARCHITECTURE)
    roots = (ROOT, ROOT / "realtime")
    assert [one for one in files if not any((root / one).exists() for root in roots)] == []
    source = "\n".join(path.read_text() for path in PACKAGE)
    methods = re.findall(r"`([A-Z]\w+)\.(\w+)`", ARCHITECTURE)
    unknown = [f"{owner}.{name}" for owner, name in methods if f" {name}(" not in source]
    assert unknown == []
    assert [owner for owner, _ in methods if not re.search(rf"class {owner}\b", source)] == []


def test_the_way_of_a_message_has_as_many_files_as_it_says() -> None:
    walk = ARCHITECTURE.split("\n## The way of a message\n")[1].split("\n## ")[0]
    files = re.findall(r"^\d+\. `([\w/]+\.py)`", walk, re.MULTILINE)
    assert re.findall(r"Each of the (\d+) files stands once", walk) == [str(len(files))]
    assert len(set(files)) == len(files)


def test_the_page_of_the_architecture_has_each_term_once() -> None:
    terms = ARCHITECTURE.split("\n## Terms\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (?!term )([^|]+) \|", terms, re.MULTILINE)
    words = [word for cell in cells for word in re.split(r", | \(|\)", cell) if word]
    assert len(words) > 50
    assert [word for word, number in Counter(words).items() if number > 1] == []


def test_the_page_of_development_answers_every_question() -> None:
    assert len(PLACES) == 14


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Relative links and pictures exist, and so do the sections that are linked."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text())
    targets = [(page.parent / link if link else page, anchor) for link, anchor in links]
    assert [target for target, _ in targets if not target.exists()] == []
    assert [one for one in targets if one[1] and one[1] not in anchors(one[0])] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {one.strip().replace(" ", "-") for one in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_narrow(page: Path) -> None:
    """A wide row is a section or a list with an anchor."""
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert [row for row in rows if len(row) > 160] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_has_one_sentence_a_line(page: Path) -> None:
    """Short lines with one sentence each, so that a change can be reviewed."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "#"))]
    assert [line for line in prose if len(line) >= 140] == []
    assert [line for line in prose if SENTENCES.search(line)] == []


def test_the_page_of_development_names_the_targets_of_make() -> None:
    """What it tells to type is there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", DEVELOPMENT, re.MULTILINE)) <= targets


def test_the_page_of_development_names_every_kind_of_fault() -> None:
    """F, A, B and G are the letters of the files."""
    letters = {file.name[0].upper() for file in (ROOT / "tests/faults").glob("[a-z][0-9][0-9]_*")}
    assert set(re.findall(r"^\| ([A-Z]) \|", DEVELOPMENT, re.MULTILINE)) == letters


def test_the_page_of_development_names_every_marker() -> None:
    """And pyproject.toml registers them."""
    markers = set(re.findall(r"^    \"([a-z]+): ", (ROOT / "pyproject.toml").read_text(), re.M))
    named = set(re.findall(r"^\| `([a-z]+)` \|", DEVELOPMENT, re.MULTILINE))
    more = set(re.findall(r"^The marker `([a-z]+)` is on", DEVELOPMENT, re.MULTILINE))
    assert markers == named | more
