"""Write docs/run-document.md from the types of loadgen/analysis/document: `make docs`."""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from typing_extensions import get_original_bases, is_typeddict

from loadgen.analysis.document import run, server, spec, sweep
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.stats import Distribution
from loadgen.load import arrivals, shapes
from loadgen.moe import expert_counts

PAGE = Path(__file__).resolve().parent.parent / "docs" / "run-document.md"
_OPENING = """\
# The JSON of a run and of a sweep

<!-- Made from loadgen/analysis/document by `make docs`; a test holds the two together. -->

`loadgen export ID --format json`, `--json` of `run`, `sweep`, `search` and `show`, and the `.json` twins of a sweep's and a run's page write these documents; \
`loadgen import` reads them. `schema_version` is 1: keys are added, and none is renamed or removed.

- A figure that is not known is null, never 0.
- *Optional* keys are absent from documents of earlier versions, or of results that another client measured.
- Times are on the run's clock, which begins with the run's first intended or sent request, unless they are named `_at`: these are UTC, ISO 8601.
- [method.md](method.md) defines the figures, the window and the findings.
"""
_PARTS: tuple[tuple[str, tuple[ModuleType, ...], str], ...] = (
    ("A run", (run,), "`RunDocument` is the document of a run."),
    ("Distributions", (), ""),
    ("What was asked", (spec, shapes, arrivals), "The `spec` of a run."),
    ("The server and the client's host", (server,), "The `server`, `environment`, `server_account`, `server_readings` and `gpu` of a run."),
    ("Experts", (expert_counts,), "The `experts` of a run, and the files of `loadgen moe experts`."),
    ("A sweep", (sweep,), "`SweepDocument` is a sweep with its runs, `LoneRunDocument` a run that is exported alone, `GroupDocument` a group."),
)  # fmt: skip
_UNITS = (
    ("_tokens_per_s", "tokens/s"),
    ("_per_s", "1/s"),
    ("_per_minute", "1/min"),
    ("_tokens", "tokens"),
    ("_requests", "requests"),
    ("spread_ratio", "ratio"),
    ("_ratio", "0 to 1"),
    ("_bytes", "bytes"),
    ("_mhz", "MHz"),
    ("_at", "UTC"),
    ("_s", "s"),
    ("_w", "W"),
    ("_j", "J"),
    ("_c", "°C"),
)
_DOLLARS = re.compile(r"(^|_)usd(_|$)")
_FIGURES = {metric.key: f"{metric.label}: {metric.formula}" for metric in METRICS}
_WORDS = {"str": "text", "Words": "text", "Id": "id", "Timestamp": "timestamp", "int": "integer", "float": "number", "bool": "true or false", "object": "anything", "Bounds": "[number or null, number or null]"}  # fmt: skip


def page() -> str:
    """Return the page."""
    sections = [_OPENING]
    for title, modules, words in _PARTS:
        sections.append(f"\n## {title}\n" + (f"\n{words}\n" if words else ""))
        kinds = [kind for module in modules for kind in _kinds(module)] or [Distribution]
        sections.extend(map(_section, kinds))
    return "".join(sections)


def _kinds(module: ModuleType) -> list[type]:
    """The types that a module defines, the whole before its parts."""
    own = [each for each in vars(module).values() if is_typeddict(each) and each.__module__ == module.__name__]
    return own[::-1]


def _section(kind: type) -> str:
    bases = [base.__name__ for base in get_original_bases(kind) if is_typeddict(base)]
    also = f" Has all keys of {' and '.join(map(_link, bases))} as well." if bases else ""
    rows = "".join(_rows(kind))
    table = f"\n| key | value | unit | meaning |\n|---|---|---|---|\n{rows}" if rows else ""
    return f"\n### {kind.__name__}\n\n{inspect.getdoc(kind)}{also}\n{table}"


def _rows(kind: type) -> Iterator[str]:
    """A row of the table for each key of the type's own, in the order of the source."""
    source = textwrap.dedent(inspect.getsource(kind))
    comments = {
        token.start[0]: token.string.removeprefix("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    total = not any(keyword.arg == "total" for keyword in tree.keywords)
    for field in tree.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        key, value = field.target.id, field.annotation
        optional = not total
        if isinstance(value, ast.Subscript) and _name(value.value) == "NotRequired":
            optional, value = True, value.slice
        meaning = comments.get(field.end_lineno or 0, "")
        if kind is run.Summary:
            meaning = meaning or _FIGURES.get(key, "")
        cells = (f"`{key}`{' *optional*' if optional else ''}", _value(value), _unit(key), meaning.replace("|", "\\|"))
        yield f"| {' | '.join(cells)} |\n"


def _unit(key: str) -> str:
    if _DOLLARS.search(key):
        return "US dollars"
    return next((unit for ending, unit in _UNITS if key.endswith(ending)), "")


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _value(node: ast.expr) -> str:
    """A type in words."""
    match node:
        case ast.Constant(value=None):
            return "null"
        case ast.Name(id=name):
            return _WORDS.get(name) or (_shapes() if name == "ShapeDocument" else _literal(name) or _link(name))
        case ast.BinOp(left=left, right=right):
            return f"{_value(left)} or {_value(right)}"
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return f"list of {_value(item)}"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, item])):
            return f"object of {_value(item)} by name"
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[base, *_])):
            return _value(base)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return _choices(choices)
    raise ValueError(f"no words for {ast.unparse(node)}")


def _choices(node: ast.expr) -> str:
    return " or ".join(
        f"`{ast.unparse(each)}`".replace("'", '"') for each in (node.elts if isinstance(node, ast.Tuple) else [node])
    )


def _literal(name: str) -> str:
    """The choices of a named Literal; empty for anything else."""
    for module in (run, sweep, expert_counts):
        for node in ast.parse(inspect.getsource(module)).body:
            if (
                isinstance(node, ast.Assign)
                and _name(node.targets[0]) == name
                and isinstance(node.value, ast.Subscript)
            ):
                return _choices(node.value.slice)
    return ""


def _shapes() -> str:
    return " or ".join(_link(shape.__name__) for shape in shapes.ShapeDocument.__args__)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
