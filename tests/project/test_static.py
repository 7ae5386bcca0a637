"""The client and the page's scripts as files."""

import gzip
import posixpath
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders, storage
from django.core.management import call_command
from django.test import override_settings

import project
import realtime

FOLDER = Path(realtime.__file__).parent / "static" / "realtime"
DEMO = Path(project.__file__).parent / "static" / "chat"
SCRIPTS = sorted([*FOLDER.glob("*.js"), *DEMO.glob("*.js")])
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
"""It may import a type, which not every version of Django takes for a file."""
IMPORT = re.compile(r"""(?:from|import)\s*\(?["']([^"']+)["']""")


@pytest.mark.parametrize(("name", "most"), [("core", 5.8), ("topics", 9.8), ("client", 13.1)])
def test_client_is_small(name: str, most: float) -> None:
    """On the wire: docs/clients.md says what the bytes are for."""
    assert len(gzip.compress((FOLDER / f"{name}.js").read_bytes(), 9)) <= most * 1024


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_imports_are_relative_and_markup_is_never_parsed(script: Path) -> None:
    """No build, no foreign code, and text nodes only."""
    code = script.read_text()
    for name in IMPORT.findall(code):
        path = name.partition("?")[0]
        assert finders.find(posixpath.normpath(f"{script.parent.name}/{path}"))
        assert name.startswith(("./", "../"))
    names_styles = script.name == "htmx.js"  # such as outerHTML; htmx itself parses
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert (
            re.search(rf"{re.escape(word)}\s*=" if names_styles else re.escape(word), code) is None
        )


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_a_file_of_the_client_imports_nothing(script: Path) -> None:
    """Where names have no hash, a browser may keep an old module beside a new client."""
    assert IMPORT.findall(script.read_text()) == []


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    """What `collectstatic` makes of the package's files."""
    with override_settings(STATIC_ROOT=tmp_path):
        call_command("collectstatic", verbosity=0, interactive=False)
    return tmp_path


def test_collected_modules_import_one_another_by_their_hashed_names(collected: Path) -> None:
    """A browser that keeps files for ever never mixes two versions."""
    scripts = [path for path in collected.glob("*/*.js") if path.stem.count(".") == 1]
    texts = {path: COMMENT.sub("", path.read_text()) for path in scripts}
    found = [(path.parent, name) for path, text in texts.items() for name in IMPORT.findall(text)]
    assert len(found) >= 6
    for folder, name in found:
        path = name.partition("?")[0]
        assert re.search(r"\.[0-9a-f]{12}\.js$", path)
        assert (folder / path).is_file()


def test_names_are_hashed_only_once_there_is_a_manifest(tmp_path: Path) -> None:
    """The demo runs without collectstatic."""
    assert storage.staticfiles_storage.url("chat/chat.js") == "/static/chat/chat.js"
    assert finders.find("chat/chat.js")
    with override_settings(STATIC_ROOT=tmp_path):
        call_command("collectstatic", verbosity=0, interactive=False)
        fresh = storage.staticfiles_storage._wrapped.__class__(location=tmp_path)
        assert re.search(r"chat\.[0-9a-f]{12}\.js$", fresh.url("chat/chat.js"))
