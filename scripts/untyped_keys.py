"""Count the places of loadgen that read dictionaries without a type: `make untyped`.

(a) Subscripts by a literal string of which mypy does not know the type of the value (the object is Any, or a mapping to Any);
(b) mentions of `dict[str, Any]`. Print both by file, and the places of (a) with `--places`.
"""

import argparse
import os
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mypy.build import BuildSource, build
from mypy.config_parser import parse_config_file
from mypy.find_sources import create_source_list
from mypy.nodes import Argument, IndexExpr, MypyFile, Node, StrExpr
from mypy.options import Options
from mypy.types import AnyType, Instance, Type, UnionType, get_proper_type

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "loadgen"
UNTYPED = "dict[str, Any]"
_REFERENCES = {"node", "info", "type_guard", "def_var"}  # which lead out of the tree


def _nodes(tree: MypyFile) -> Iterator[Node]:
    """Every node of the tree. mypy's own visitors are compiled and cannot be derived from."""
    pending: list[object] = list(tree.defs)
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, list | tuple):
            pending.extend(each)
        elif isinstance(each, Node | Argument) and id(each) not in seen:
            seen.add(id(each))
            if isinstance(each, Node):
                yield each
            names = {name for kind in type(each).__mro__ for name in getattr(kind, "__mypyc_attrs__", ())}
            pending.extend(getattr(each, name, None) for name in names - _REFERENCES)


def untyped_subscripts() -> Iterator[tuple[Path, int, str, str]]:
    """(file, line, key, type of the object) of each subscript by a literal string whose object is untyped."""
    os.chdir(ROOT)
    options = Options()
    parse_config_file(options, lambda: None, "pyproject.toml")
    options.export_types = options.preserve_asts = True
    options.incremental = False
    options.cache_dir = os.devnull
    sources: list[BuildSource] = create_source_list([PACKAGE], options)
    result = build(sources, options)
    for source in sources:
        tree = result.graph[source.module].tree
        if tree is None or source.path is None:
            continue
        for node in sorted(_nodes(tree), key=lambda node: (node.line, node.column)):
            if isinstance(node, IndexExpr) and isinstance(node.index, StrExpr):
                holder = result.types.get(node.base)
                if holder is None or _is_untyped(holder):
                    yield Path(source.path), node.line, node.index.value, str(holder)


def _is_untyped(holder: Type) -> bool:
    """Whether mypy knows nothing of what the object holds: it is Any, or a mapping to Any or to object."""
    kind = get_proper_type(holder)
    if isinstance(kind, UnionType):
        return any(_is_untyped(each) for each in kind.items)
    if isinstance(kind, Instance) and kind.args:
        value = get_proper_type(kind.args[-1])
        is_object = isinstance(value, Instance) and value.type.fullname == "builtins.object"
        return kind.type.has_base("typing.Mapping") and (isinstance(value, AnyType) or is_object)
    return isinstance(kind, AnyType)


def untyped_mentions() -> Counter[Path]:
    """How often each file has `dict[str, Any]` in its code, comments and texts left out."""
    mentions: Counter[Path] = Counter()
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        with tokenize.open(path) as file:
            code = "".join(
                token.string
                for token in tokenize.generate_tokens(file.readline)
                if token.type in (tokenize.NAME, tokenize.OP)
            )
        mentions[path.relative_to(ROOT)] = code.count(UNTYPED.replace(" ", ""))
    return +mentions


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", action="store_true", help="print each subscript with its place and type")
    places = list(untyped_subscripts())
    if parser.parse_args().places:
        for path, line, key, holder in places:
            print(f"{path}:{line}: [{key!r}] of {holder}")
    subscripts, mentions = Counter(path for path, *_ in places), untyped_mentions()
    print(f"{'subscripts':>10} {UNTYPED:>16}")
    for path in sorted({*subscripts, *mentions}, key=lambda path: (-subscripts[path] - mentions[path], path)):
        print(f"{subscripts[path]:>10} {mentions[path]:>16}  {path}")
    print(f"{subscripts.total():>10} {mentions.total():>16}  in all")


if __name__ == "__main__":
    main()
