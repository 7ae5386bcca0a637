"""The floors of the house: imports point down only, and `wire/` stands on nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "realtime"
FLOORS = {
    "wire": 0,
    "models": 1,
    "conf": 1,
    "logs": 1,
    "signals": 1,
    "migrations": 1,
    "store": 2,
    "policy": 2,
    "engine": 3,
    "consumers": 4,
    "auth": 4,
    "push": 4,
    "moderation": 4,
    "rooms": 4,
    "accounts": 4,
    "retention": 4,
    "admin": 4,
    "views": 4,
    "middleware": 4,
    "importing": 4,
    "management": 4,
    "templatetags": 4,
    "testing": 4,
    "apps": 5,
    "checks": 5,
    "routing": 5,
    "urls": 5,
    "asgi": 5,
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "migrations")


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, source: str) -> Iterator[str]:
    """The full names of what a module imports, also inside functions."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str | None:
    """What part of the package a name belongs to."""
    parts = name.split(".")
    return parts[1] if parts[0] == "realtime" and len(parts) > 1 else None


def upward(path: Path, source: str) -> list[str]:
    own = room_of(name_of(path))
    if own is None:
        return []
    rooms = {name: room_of(name) for name in imports_of(path, source)}
    return [name for name, room in rooms.items() if room and FLOORS[room] > FLOORS[own]]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_stands_on_a_floor(path: Path) -> None:
    assert room_of(name_of(path)) in {None, *FLOORS}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    assert upward(path, path.read_text()) == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "wire").glob("*.py")), ids=name_of)
def test_the_wire_knows_no_framework_and_no_clock(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports_of(path, path.read_text())}
    outside = {"django", "channels", "channels_redis", "asgiref", "daphne", "redis"}
    assert roots & (outside | {"time", "asyncio", "socket", "threading"}) == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "engine").glob("*.py")), ids=name_of)
def test_the_engine_has_no_queries_of_its_own(path: Path) -> None:
    named = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert named & {"objects", "select_for_update", "bulk_create", "atomic"} == set()


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("wire/codecs.py", "from ..models import Room", ["realtime.models.Room"]),
        (
            "store/messages/history.py",
            "def f():\n    from ..engine.hub import Hub",
            ["realtime.engine.delivery.hub.Hub"],
        ),
        ("models/live.py", "from .. import push", ["realtime.push"]),
        ("policy.py", "import realtime.engine", ["realtime.engine"]),
        ("engine/delivery/hub.py", "from realtime.wire import codecs", []),
        ("store/rooms/access.py", "from ..policy import policy\nfrom .history import mark", []),
    ],
)
def test_an_import_that_points_up_is_found(module: str, source: str, found: list[str]) -> None:
    assert upward(PACKAGE / module, source) == found
