"""The shape of the house: which room may import which, no circles, no rooms for odds and ends, a light engine."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "loadgen"

# A room imports only rooms to its left; `servers` stands beside the engine, and the last four sit on top.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "inputs": {"errors"},
    "load": {"errors"},
    "engine": {"errors", "load"},
    "moe": {"errors"},
    "servers": {"errors", "inputs", "load", "engine", "moe"},
    "analysis": {"errors", "load", "engine", "moe"},
    "store": {"errors", "load", "engine", "moe", "servers", "analysis"},
    "report": {"errors", "load", "engine", "moe", "servers", "analysis", "store"},
    "imports": {"errors", "load", "analysis", "store"},
    "experiments": {"errors", "inputs", "load", "engine", "moe", "servers", "analysis", "store"},
    "web": {"errors", "load", "engine", "moe", "servers", "analysis", "store", "report"},
    "service": {
        "errors",
        "inputs",
        "load",
        "engine",
        "moe",
        "servers",
        "analysis",
        "store",
        "report",
        "imports",
        "experiments",
        "web",
    },
    "cli": {
        "errors",
        "inputs",
        "load",
        "engine",
        "moe",
        "servers",
        "analysis",
        "store",
        "report",
        "imports",
        "experiments",
        "web",
        "service",
    },
}
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "base", "manager", "managers", "misc"}
LONGEST_FILE_LINES = 600
# What the measuring process must not carry: each costs start-up time and memory, and none sends a request.
HEAVY = {"pydantic", "sqlalchemy", "alembic", "fastapi", "yaml", "rich", "typer", "jinja2", "vl_convert"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in path.parts}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "errors"  # the package itself imports as little as its leaf


def imported(module: str, nodes: Iterator[ast.AST]) -> set[str]:
    """The project's own modules that these nodes import, as `loadgen.room.module`."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                package = module.split(".") if SOURCES[module].name == "__init__.py" else module.split(".")[:-1]
                above = package[: len(package) - node.level + 1]
                origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                found.update({inner, origin} if inner in SOURCES else {origin})
    return {name for name in found if name.split(".")[0] == "loadgen"}


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """The nodes of one circle of the graph, none when there is no circle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_would_be_seen() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def at_import_time(tree: ast.Module, *, with_types: bool = False) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: everything outside functions and, unless `with_types`, `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not with_types
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or typing_only:
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("module", SOURCES)
def test_a_room_imports_only_rooms_to_its_left(module: str) -> None:
    room = room_of(module)
    assert room in MAY_IMPORT, f"{module} is in a room that DESIGN does not name: add it to this table with its place"
    names = imported(module, ast.walk(ast.parse(SOURCES[module].read_text())))
    strangers = {name for name in names if room_of(name) != room and room_of(name) not in MAY_IMPORT[room]}
    assert not strangers, f"{module} may import {sorted(MAY_IMPORT[room])} and its own room, not {sorted(strangers)}"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        module: imported(module, at_import_time(ast.parse(path.read_text()))) - {module}
        for module, path in SOURCES.items()
    }
    assert circle_in(graph) == []


def test_no_modules_name_the_types_of_each_other() -> None:
    """Imports under `if TYPE_CHECKING` count; only a part of a spec's class may name the class that it is a part of."""
    parts_of_a_spec = {module for module in SOURCES if module.endswith("_keys")}
    graph = {
        module: imported(module, at_import_time(ast.parse(path.read_text()), with_types=True)) - {module}
        for module, path in SOURCES.items()
        if module not in parts_of_a_spec
    }
    assert circle_in(graph) == []


def test_no_file_is_named_for_odds_and_ends() -> None:
    vague = [module for module in SOURCES if VAGUE_NAMES & set(module.split("."))]
    assert not vague


def test_no_file_has_grown_past_its_idea() -> None:
    lines = {module: len(path.read_text().splitlines()) for module, path in SOURCES.items()}
    assert {module: count for module, count in lines.items() if count > LONGEST_FILE_LINES} == {}


@pytest.mark.parametrize("module", ["loadgen.engine.driver", "loadgen.engine.worker"])
def test_the_measuring_process_stays_light(module: str) -> None:
    code = f"import {module}, sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert HEAVY & {name.split(".")[0] for name in loaded.stdout.split()} == set()


def test_the_table_of_rooms_is_itself_in_order() -> None:
    assert circle_in(MAY_IMPORT) == []
