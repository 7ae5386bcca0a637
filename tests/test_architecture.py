"""The layers of the package: imports point down only, and `wire/` is at the bottom."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "realtime"
DOCUMENT = Path(__file__).parent.parent / "docs" / "architecture.md"
LAYERS = {
    "wire": 0,
    "models": 1,
    "conf": 1,
    "bursts": 1,
    "counts": 1,
    "log_fields": 1,
    "logs": 1,
    "signals": 1,
    "spans": 1,
    "shared_numbers": 1,
    "errors": 1,
    "migrations": 1,
    "store": 2,
    "policy": 2,
    "hooks": 2,
    "publications": 2,
    "client": 2,
    "engine": 3,
    "consumers": 4,
    "topics": 4,
    "auth": 4,
    "push": 4,
    "screening": 4,
    "moderation": 4,
    "rooms": 4,
    "accounts": 4,
    "retention": 4,
    "admin": 4,
    "page": 4,
    "views": 4,
    "metrics": 4,
    "worker_numbers": 4,
    "debug_toolbar": 4,
    "operations": 4,
    "over_http": 4,
    "middleware": 4,
    "importing": 4,
    "exporting": 4,
    "templatetags": 4,
    "apps": 5,
    "schema": 5,
    "management": 5,
    "doctor": 5,
    "checks": 5,
    "routing": 5,
    "urls": 5,
    "asgi": 5,
    "testing": 5,
    "conformance": 5,
    "serving": 5,
    "pytest_plugin": 5,
}
STEPS = (
    "store.database",
    "store.accounts",
    "policy",
    "store.presence",
    "store.occupancy",
    "store.logs",
    "store.messages",
    "store.topics",
    "store.outbox",
    "store.moderation",
    "store.draining",
    "store.rooms",
    "store.overview",
    "store.traces",
    "engine.servers",
    "engine.database",
    "engine.after",
    "engine.bus",
    "engine.connections",
    "engine.tracing",
    "engine.delivery",
    "engine.teardown",
    "engine.pulse",
    "engine.draining",
    "engine.numbers",
    "engine.versions",
    "engine.series",
    "engine.places",
    "engine.reporting",
    "engine.engine",
    "engine.health",
    "engine.notify",
    "engine.asking",
)
"""The order inside the layers 2 and 3: each imports from those above it in this list only."""
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "migrations")


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, source: str) -> Iterator[str]:
    """The full names of what a module imports, also inside functions, but not for types alone."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in run_time_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from run_time_nodes(child)


def part_of(name: str) -> str | None:
    """What part of the package a name belongs to."""
    parts = name.split(".")
    is_part = parts[0] == "realtime" and len(parts) > 1 and parts[1] != "__version__"
    return parts[1] if is_part else None


def step_of(name: str) -> str | None:
    """Which of `STEPS` a name belongs to."""
    inner = name.removeprefix("realtime.")
    return next((one for one in STEPS if f"{inner}.".startswith(f"{one}.")), None)


def upward(path: Path, source: str) -> list[str]:
    """What a module imports from a higher layer, or from a later step."""
    own = name_of(path)
    layer, step = LAYERS.get(part_of(own) or ""), step_of(own)
    if layer is None:
        return []
    found = []
    for name in dict.fromkeys(imports_of(path, source)):
        part, other = part_of(name), step_of(name)
        is_higher = part is not None and LAYERS[part] > layer
        is_later = step and other and STEPS.index(other) > STEPS.index(step)
        if is_higher or is_later:
            found.append(name)
    return found


# One test for a rule, not one for each module: a test that is collected costs more than the rule.


def test_every_module_is_in_a_layer() -> None:
    assert {part_of(name_of(path)) for path in MODULES} <= {None, *LAYERS}


def test_every_module_of_the_store_and_the_engine_has_a_step() -> None:
    names = {name_of(path) for path in MODULES} - {"realtime.store", "realtime.engine"}
    inner = {name for name in names if part_of(name) in {"store", "engine"}}
    assert {name for name in inner if step_of(name) is None} == set()


def test_imports_point_down() -> None:
    found = {name_of(path): upward(path, path.read_text()) for path in MODULES}
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_no_two_parts_import_each_other() -> None:
    """A cycle of packages, also where no cycle of modules keeps them from being imported."""
    edges: dict[str, set[str]] = {}
    for path in MODULES:
        own = name_of(path)
        place = step_of(own) or part_of(own)
        if place is None:
            continue
        for name in imports_of(path, path.read_text()):
            other = step_of(name) or part_of(name)
            if other not in {None, place, "store", "engine"}:
                edges.setdefault(place, set()).add(str(other))
    TopologicalSorter(edges).prepare()  # raises CycleError


def test_the_layers_of_the_document_are_these() -> None:
    rows = re.findall(r"^\| (\d) \| (`[^|]+`) \|", DOCUMENT.read_text(), re.MULTILINE)
    told = {
        name.removesuffix("/").removesuffix(".py"): int(layer)
        for layer, names in rows
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert told == LAYERS


def test_the_steps_of_the_document_are_these() -> None:
    rows = re.findall(
        r"^\| `((?:store|engine)/[a-z]+/?|policy)(?:\.py)?` \|", DOCUMENT.read_text(), re.M
    )
    assert tuple(name.removesuffix("/").replace("/", ".") for name in rows) == STEPS


OUTSIDE = {"django", "channels", "channels_redis", "asgiref", "daphne", "redis"}


@pytest.mark.parametrize("outside", sorted(OUTSIDE | {"time", "asyncio", "socket", "threading"}))
def test_the_wire_knows_no_framework_and_no_clock(outside: str) -> None:
    paths = (PACKAGE / "wire").glob("*.py")
    assert {name_of(path) for path in paths if outside in roots_of(path)} == set()


@cache
def roots_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path, path.read_text())}


def test_a_class_stays_small() -> None:
    """At most 300 lines, and 20 public methods beside its properties."""
    found = [one for path in MODULES for one in ast.walk(ast.parse(path.read_text()))]
    classes = [one for one in found if isinstance(one, ast.ClassDef)]
    assert [one.name for one in classes if (one.end_lineno or 0) - one.lineno >= 300] == []
    assert [one.name for one in classes if len(list(public_methods(one))) > 20] == []


def public_methods(of: ast.ClassDef) -> Iterator[str]:
    for one in of.body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            is_property = any("property" in ast.unparse(way) for way in one.decorator_list)
            if not is_property and not one.name.startswith("_"):
                yield one.name


@pytest.mark.parametrize("folder", ["harness", "benchmarks", "project", "realtime"])
def test_nothing_but_tests_imports_tests(folder: str) -> None:
    """What tests and benchmarks share is in `harness/`."""
    paths = (PACKAGE.parent / folder).rglob("*.py")
    found = {name for path in paths for name in imports_of(path, path.read_text())}
    assert {name for name in found if name.split(".")[0] == "tests"} == set()


def test_the_engine_has_no_queries_of_its_own() -> None:
    queries = {"objects", "select_for_update", "bulk_create", "atomic"}
    paths = (PACKAGE / "engine").rglob("*.py")
    found = [(path, node) for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    attributes = [(path, node) for path, node in found if isinstance(node, ast.Attribute)]
    assert {name_of(path) for path, node in attributes if node.attr in queries} == set()


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("wire/codecs.py", "from ..models import Room", ["realtime.models.Room"]),
        (
            "store/messages/history.py",
            "def f():\n    from ...engine.delivery.hub import Hub",
            ["realtime.engine.delivery.hub.Hub"],
        ),
        ("models/live.py", "from .. import push", ["realtime.push"]),
        ("policy.py", "import realtime.engine", ["realtime.engine"]),
        ("engine/bus/layer.py", "from ..delivery import hub", ["realtime.engine.delivery.hub"]),
        (
            "store/accounts/users.py",
            "from ..rooms.access import enter",
            ["realtime.store.rooms.access.enter"],
        ),
        ("policy.py", "from .store import messages", ["realtime.store.messages"]),
        ("engine/pulse.py", "if TYPE_CHECKING:\n    from .engine import Engine", []),
        ("engine/delivery/hub.py", "from realtime.wire import codecs", []),
        ("store/rooms/access.py", "from ...policy import policy\nfrom . import blocks", []),
    ],
)
def test_an_import_that_points_up_is_found(module: str, source: str, found: list[str]) -> None:
    assert upward(PACKAGE / module, source) == found
