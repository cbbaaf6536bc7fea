"""The layout: which package may import which, no circles, no folders of odds and ends, a light engine."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "loadgen"

# From the lowest package to the highest: a package imports only those on lines above its own.
ORDER = (
    ("errors",),
    ("inputs", "load", "moe"),
    ("engine",),
    ("servers", "analysis"),
    ("spec", "doctor", "store"),
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
    ),
}
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "base", "manager", "managers", "misc"}
MAX_FILE_LINES = 600
MAX_FILES_IN_A_FOLDER = 20
# What the measuring process must not carry: each costs start-up time and memory, and none sends a request.
HEAVY = {"pydantic", "sqlalchemy", "alembic", "fastapi", "yaml", "rich", "typer", "jinja2", "vl_convert"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in path.parts}


def package_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "errors"  # the package itself imports as little as its leaf


def imported(module: str, nodes: Iterator[ast.AST]) -> set[str]:
    """The project's own modules that these nodes import, as `loadgen.package.module`."""
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


def at_import_time(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes outside functions: what runs when the module is imported, and what `if TYPE_CHECKING` holds."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def inner_of(module: str) -> str:
    """The inner package or module of a package that a module is in or is: `wire` of loadgen.engine.wire.route."""
    return ".".join(module.split(".")[2:3])


IMPORTED = {module: imported(module, ast.walk(ast.parse(path.read_text()))) for module, path in SOURCES.items()}


def ranks(order: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {name: rank for rank, names in enumerate(order) for name in names}


@pytest.mark.parametrize("module", SOURCES)
def test_a_package_imports_only_lower_ones(module: str) -> None:
    """Imports inside functions and under `if TYPE_CHECKING` count."""
    rank, package = ranks(ORDER), package_of(module)
    assert package in rank, f"{module} is in a package without a place in ORDER"
    names = {name for name in IMPORTED[module] if package_of(name) != package}
    upwards = {name for name in names if rank[package_of(name)] >= rank[package]}
    assert not upwards, f"{module} imports {sorted(upwards)}, which {package} may not"


@pytest.mark.parametrize(
    "module", [module for module in SOURCES if package_of(module) in INNER_ORDER and inner_of(module)]
)
def test_inside_a_package_too(module: str) -> None:
    package, inner = package_of(module), inner_of(module)
    rank = ranks(INNER_ORDER[package])
    assert inner in rank, f"{module} has no place in the order of {package}"
    inside = {name for name in IMPORTED[module] if package_of(name) == package and inner_of(name) not in {"", inner}}
    upwards = {name for name in inside if rank[inner_of(name)] >= rank[inner]}
    assert not upwards, f"{module} imports {sorted(upwards)}, which stand no lower in {package}"


def test_no_module_imports_itself_in_a_circle() -> None:
    """At import time or for its types, which are written under `if TYPE_CHECKING`."""
    graph = {
        module: imported(module, at_import_time(ast.parse(path.read_text()))) - {module}
        for module, path in SOURCES.items()
    }
    assert circle_in(graph) == []


def test_no_inner_packages_import_each_other() -> None:
    def place(module: str) -> str:
        return ".".join(module.split(".")[:3])

    graph: dict[str, set[str]] = {}
    for module, names in IMPORTED.items():
        graph.setdefault(place(module), set()).update({place(name) for name in names} - {place(module)})
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
