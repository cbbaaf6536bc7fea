"""`loadgen compare`: whether B is better or worse than A, or whether that cannot be told. Writes nothing to the database."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from loadgen.cli.commands.ids import full_id
from loadgen.cli.console.terminal import Terminal, show_json, stdout
from loadgen.cli.flags import options
from loadgen.cli.flags.options import argument
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import GateError, UsageError, listed

if TYPE_CHECKING:
    from loadgen.analysis.document.run import RunDocument
    from loadgen.analysis.document.server import ServerDocument
    from loadgen.analysis.gate import Gate
    from loadgen.cli.tables.comparison import ComparedSide
    from loadgen.store.repository import Store

_SHOWN = 3  # figures named in the sentence of a gate

_FLAGS = (
    Flag("metrics", "KEY,KEY…", "Compare only these metrics (default: all that have a better direction)."),
    Flag("confidence", "P", "Confidence level of the intervals.", type=float, default=0.95),
    Flag("smallest_change_ratio", "X", "Smallest change that counts, as a share of A.", type=float, default=0.02),
    Flag("anyway", "", "Compare although A and B were asked for different work.", type=bool, default=False),
    Flag("fail_if_worse", "", "Exit with code 4 if any figure is worse, or may be: a gate for CI.", type=bool, default=False),
    Flag("allow_inconclusive", "", "With --fail-if-worse: pass figures that cannot be judged.", type=bool, default=False),
)  # fmt: skip
ResultA = Annotated[
    str, argument("A", "The result before: an id, a name, 'latest' or a result file; or a group, alone.")
]
ResultB = Annotated[str | None, argument("[B]", "The result after, given likewise.")]


@command(_FLAGS)
def compare(
    terminal: Terminal,
    a: ResultA,
    b: ResultB = None,
    *,
    metrics: str | None,
    fail_if_worse: bool,
    allow_inconclusive: bool,
    as_json: options.Json = False,
    **thresholds: Any,
) -> None:
    """Compare B with A, metric by metric: better, worse or inconclusive.

    For example: loadgen compare s261123-152901-4f2a latest
    """
    from loadgen.analysis.compare import compare as compared
    from loadgen.analysis.gate import gate
    from loadgen.cli.tables.comparison import show_comparison
    from loadgen.report.export.results import comparison_facts

    _check(**thresholds)
    if allow_inconclusive and not fail_if_worse:
        raise UsageError("--allow-inconclusive needs --fail-if-worse, whose result it changes")
    keys = _metrics(metrics)
    pairs = _sides(terminal, a, b)
    comparisons, documents = [], []
    for side_a, side_b in pairs:
        if side_a.given_id == side_b.given_id:
            raise UsageError(f"A and B are both {side_a.given_id}; name two results")
        found = compared(side_a.runs, side_b.runs, metrics=keys, **thresholds)
        comparisons.append(found)
        if as_json:
            described = {"a": _described(side_a), "b": _described(side_b)}
            facts = comparison_facts((_server(side_a), _server(side_b)), (side_a.accuracy, side_b.accuracy))
            judged = {"gate": gate([found], keys).to_json()}
            documents.append({"schema_version": 1, **described, **facts, **found.to_json(), **judged})
        else:
            show_comparison(stdout(), side_a, side_b, found)
    if as_json:
        show_json(documents[0] if b is not None else {"schema_version": 1, "comparisons": documents})
    if fail_if_worse:
        _judge(gate(comparisons, keys), allow_inconclusive=allow_inconclusive)


def _judge(found: "Gate", *, allow_inconclusive: bool) -> None:
    """Raise GateError unless B passes."""
    if found.outcome == "failed":
        raise GateError(f"gate failed: worse in {_few(found.worse)}")
    if found.outcome == "inconclusive" and not allow_inconclusive:
        reason = _few(found.inconclusive) if found.inconclusive else "no figure could be compared"
        raise GateError(
            f"gate inconclusive: {reason}; measure both with --repeats 3 or more, limit it with --metrics, "
            "or pass --allow-inconclusive"
        )


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return "; ".join(words[:_SHOWN]) + more


def _check(*, confidence: float, smallest_change_ratio: float, **_: object) -> None:
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence:g}")
    if not 0 <= smallest_change_ratio < 1:
        raise UsageError(f"--smallest-change-ratio must be at least 0 and below 1, not {smallest_change_ratio:g}")


def _metrics(given: str | None) -> list[str]:
    from loadgen.analysis.figures.metrics import METRICS

    known = [metric.key for metric in METRICS if metric.better is not None]
    keys = [key.strip() for key in given.split(",")] if given is not None else []
    for key in keys:
        if key not in known:
            raise UsageError(f"--metrics names '{key}', which has no better and worse; {listed(known, 'metrics')}")
    return keys


def _described(side: "ComparedSide") -> dict[str, object]:
    first = side.runs[0]
    marks = {"simulated": first["simulated"], "imported": first.get("imported")}
    return {"id": side.given_id, **marks, "server": first["server"], "runs": len(side.runs)}


def _server(side: "ComparedSide") -> "ServerDocument":
    return side.runs[0]["server"]


def _sides(terminal: Terminal, a: str, b: str | None) -> "list[tuple[ComparedSide, ComparedSide]]":
    """A and B, or the first sweep of a group and each other one. The database is not opened for files alone.

    Raises UsageError.
    """
    if b is None:
        if _is_file(a):
            raise UsageError(f"{a} alone is no comparison: name another file, sweep or run to compare it with")
        with terminal.open() as store:
            return _of_group(store, full_id(store, a))
    with ExitStack() as stack:
        opened: list[Store] = []

        def side(given: str) -> "ComparedSide":
            if _is_file(given):
                return _of_file(Path(given))
            if not opened:
                opened.append(stack.enter_context(terminal.open()))
            return _of_store(opened[0], given)

        return [(side(a), side(b))]


def _is_file(given: str) -> bool:
    """Whether `given` names a result file and not an id or a name, which may have a slash as models' names do."""
    if given == "latest":
        return False
    return given.lower().endswith(".json") or given.startswith(("/", "./", "../")) or Path(given).is_file()


def _of_file(path: Path) -> "ComparedSide":
    from loadgen.cli.tables.comparison import ComparedSide
    from loadgen.importers.importing import read_sweep

    found = read_sweep(path)
    mark = None if found.sweep.imported is None else asdict(found.sweep.imported)
    runs = [cast("RunDocument", run | {"imported": mark}) for run in found.runs]
    return ComparedSide(found.sweep.sweep_id, runs, found.sweep.accuracy)


def _of_group(store: "Store", found: str) -> "list[tuple[ComparedSide, ComparedSide]]":
    from loadgen.cli.tables.comparison import ComparedSide

    if not found.startswith("g"):
        raise UsageError(
            f"{found} alone is no comparison: name two sweeps or runs, or a group (g…), whose sweeps are compared with its first"
        )
    members = [
        ComparedSide(sweep.sweep_id, runs, sweep.accuracy)
        for sweep in store.group(found)
        if (runs := store.runs(sweep.sweep_id))
    ]
    if len(members) < 2:
        raise UsageError(
            f"the group {found} has {len(members) or 'no'} sweep{'' if len(members) == 1 else 's'} with a finished run, and comparing takes two"
        )
    return [(members[0], other) for other in members[1:]]


def _of_store(store: "Store", given: str) -> "ComparedSide":
    from loadgen.cli.tables.comparison import ComparedSide

    found = full_id(store, given)
    if found.startswith("g"):
        raise UsageError(f"{found} is a group; compare it alone, or name two of its sweeps")
    runs: list[RunDocument] = [store.run(found)] if found.startswith("r") else store.runs(found)
    if not runs:
        raise UsageError(f"the sweep {found} has no finished run, so there is nothing to compare")
    return ComparedSide(found, runs, store.sweep(runs[0]["sweep_id"]).accuracy)
