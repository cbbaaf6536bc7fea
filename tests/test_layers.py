"""The layout: which package may import which, no circles, no folders of odds and ends, a light engine."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "loadgen"

# From the lowest package to the highest: a package imports only those on lines above its own.
ORDER = (
    ("errors", "vllm_plugin"),
    ("inputs", "load", "moe"),
    ("engine",),
    ("servers",),
    ("checkpoints",),
    ("analysis",),
    ("spec", "doctor", "store"),
    ("study",),
    ("experiments", "report", "importers"),
    ("web",),
    ("service",),
    ("cli",),
)
# The same inside a package. What is not named here, a module of its own, may stand anywhere, but in no circle.
INNER_ORDER: dict[str, tuple[tuple[str, ...], ...]] = {
    "engine": (
        ("records",),
        ("eventloop",),
        ("wire",),
        ("capture",),
        ("drive",),
        ("measurement",),
        ("salvage", "worker"),
        ("workers",),
    ),
    "cli": (
        ("console",),
        ("flags", "tables"),
        ("progress",),
        ("commands",),
        ("app",),
        ("__main__",),
    ),
    "report": (
        ("format",),
        ("points",),
        ("figures",),
        ("words",),
        ("run_selection",),
        ("charts", "export"),
        ("comparison",),
        ("pages",),
        ("study",),
    ),
}
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "base", "manager", "managers", "misc"}
MAX_FILE_LINES = 600
MAX_FILES_IN_A_FOLDER = 20
# What the measuring process must not carry: each costs start-up time and memory, and none sends a request.
HEAVY = {"pydantic", "sqlalchemy", "alembic", "fastapi", "yaml", "rich", "typer", "jinja2", "vl_convert"}


@cache
def parsed(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text())


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in path.parts}


def package_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "errors"  # the package itself imports as little as its leaf


def inside(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module, without its expressions, which import nothing."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.expr):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


@cache
def imported(module: str) -> frozenset[str]:
    """The project's own modules that a module imports, as `loadgen.package.module`; also in its functions."""
    found: set[str] = set()
    for node in inside(parsed(module)):
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
    return frozenset(name for name in found if name.split(".")[0] == "loadgen")


def circle_in(graph: Mapping[str, Set[str]]) -> list[str]:
    """The nodes of one circle of the graph, none when there is no circle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_would_be_seen() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def inner_of(module: str) -> str:
    """The inner package or module of a package that a module is in or is: `wire` of loadgen.engine.wire.route."""
    return ".".join(module.split(".")[2:3])


def ranks(order: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {name: rank for rank, names in enumerate(order) for name in names}


def test_a_package_imports_only_lower_ones() -> None:
    """Imports inside functions and under `if TYPE_CHECKING` count."""
    rank = ranks(ORDER)
    assert [module for module in SOURCES if package_of(module) not in rank] == [], "these have no place in ORDER"
    upwards = {
        f"{module} imports {name}"
        for module in SOURCES
        for name in imported(module)
        if package_of(name) != package_of(module) and rank[package_of(name)] >= rank[package_of(module)]
    }
    assert upwards == set()


@pytest.mark.parametrize("package", INNER_ORDER)
def test_inside_a_package_too(package: str) -> None:
    rank = ranks(INNER_ORDER[package])
    modules = [module for module in SOURCES if package_of(module) == package and inner_of(module)]
    assert [module for module in modules if inner_of(module) not in rank] == [], "these have no place in INNER_ORDER"
    upwards = {
        f"{module} imports {name}"
        for module in modules
        for name in imported(module)
        if package_of(name) == package and inner_of(name) not in {"", inner_of(module)}
        if rank[inner_of(name)] >= rank[inner_of(module)]
    }
    assert upwards == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports inside functions and under `if TYPE_CHECKING` count."""
    assert circle_in({module: imported(module) - {module} for module in SOURCES}) == []


def test_no_inner_packages_import_each_other() -> None:
    def place(module: str) -> str:
        return ".".join(module.split(".")[:3])

    graph: dict[str, set[str]] = {}
    for module in SOURCES:
        graph.setdefault(place(module), set()).update({place(name) for name in imported(module)} - {place(module)})
    assert circle_in(graph) == []


def test_no_folder_is_a_long_list() -> None:
    files = Counter(path.parent.relative_to(PACKAGE).as_posix() for path in SOURCES.values())
    assert {folder for folder, count in files.items() if count > MAX_FILES_IN_A_FOLDER} == set()


def test_no_file_is_named_for_odds_and_ends() -> None:
    vague = [module for module in SOURCES if VAGUE_NAMES & set(module.split("."))]
    assert not vague


def test_no_file_has_grown_past_its_idea() -> None:
    lines = {module: len(path.read_text().splitlines()) for module, path in SOURCES.items()}
    assert {module: count for module, count in lines.items() if count > MAX_FILE_LINES} == {}


@pytest.mark.parametrize("module", ["loadgen.engine.drive.driver", "loadgen.engine.worker"])
def test_the_measuring_process_stays_light(module: str) -> None:
    code = f"import {module}, sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert HEAVY & {name.split(".")[0] for name in loaded.stdout.split()} == set()
