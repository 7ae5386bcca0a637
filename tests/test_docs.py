"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from realtime.wire import events
from realtime.wire.codecs import CODECS
from realtime.wire.commands import COMMANDS
from realtime.wire.errors import CloseCode, ErrorCode

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """The text under a heading of the protocol document."""
    return PROTOCOL.split(f"## {title}\n")[1].split("\n## ")[0]


def first_cells(title: str) -> list[str]:
    """What stands in back ticks in the first column of a section's table."""
    rows = re.findall(r"^\| (`[^|]+) \|", section(title), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_protocol_document_names_every_command() -> None:
    """No command is missing from the table, and none stands there alone."""
    assert sorted(first_cells("Commands")) == sorted(COMMANDS)


def test_the_protocol_document_names_every_reply_and_event() -> None:
    """The same for what the server sends."""
    tags = {
        struct.__struct_config__.tag
        for name in events.__all__
        if isinstance(struct := getattr(events, name), type)
        and issubclass(struct, events.Outgoing)
        and struct is not events.Outgoing
    }
    assert set(first_cells("Replies and events")) == tags


def test_the_protocol_document_names_every_error_code() -> None:
    """The list of error codes is the enumeration."""
    assert re.findall(r"`(\w+)`", section("Error codes")) == [code.value for code in ErrorCode]


def test_the_protocol_document_names_every_close_code() -> None:
    """The table of close codes is the enumeration."""
    rows = re.findall(r"^\| (\d{4}) \|", section("Close codes"), re.MULTILINE)
    assert [int(row) for row in rows] == [code.value for code in CloseCode]


def test_the_protocol_document_names_every_subprotocol() -> None:
    """The table of encodings is the registry."""
    named = set(re.findall(r"`(realtime\.v1\.\w+)`", section("Encodings (WebSocket subprotocol)")))
    assert named == set(CODECS)


@pytest.mark.parametrize("snippet", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_each_python_snippet_of_the_readme_compiles(snippet: str) -> None:
    """A reader can paste it; `await` may stand at the top as in a shell."""
    flags = __import__("ast").PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(snippet, "README.md", "exec", flags=flags)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """Relative links and pictures exist."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
