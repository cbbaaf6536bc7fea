"""`loadgen compare`: whether B is better or worse than A, or whether that cannot be told. Writes nothing to the database."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadgen.cli import options
from loadgen.cli.results import full_id
from loadgen.cli.terminal import Terminal, show_json, stdout
from loadgen.errors import ExitCode, UsageError

Side = tuple[str, list[dict[str, Any]]]  # an id and its run documents

if TYPE_CHECKING:
    from loadgen.store.repository import Store


def compare(
    context: typer.Context,
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="The sweep or run before, or 'latest'; or a group, alone.", show_default=False
        ),
    ],
    b: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="The sweep or run after, or 'latest'.", show_default=False),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="KEY,KEY…", help="Only these metrics (default: all of note).")
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="P", help="How often an interval should hold the truth.")
    ] = 0.95,
    smallest_change_ratio: Annotated[
        float,
        typer.Option(
            "--smallest-change-ratio", metavar="X", help="The smallest change worth telling, as a share of A."
        ),
    ] = 0.02,
    anyway: Annotated[
        bool, typer.Option("--anyway", metavar="", help="Compare although what was asked is not alike.")
    ] = False,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", metavar="", help="End with exit code 4 when any figure is worse.")
    ] = False,
    as_json: options.Json = False,
    db: options.Database = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say of each figure whether B is better or worse than A, or whether one can't tell.

    For example: loadgen compare s261123-152901-4f2a latest
    """
    from loadgen.analysis.compare import compare as compared
    from loadgen.cli.comparison import show_comparison
    from loadgen.store.repository import Store

    _check(confidence, smallest_change_ratio)
    keys = _metrics(metrics)
    terminal = Terminal.of(context, db, quiet, verbose)
    with Store.open(terminal.db, read_only=True) as store:
        pairs = _pairs(store, a, b)
    worse, documents = 0, []
    for (id_a, runs_a), (id_b, runs_b) in pairs:
        if id_a == id_b:
            raise UsageError(f"A and B are both {id_a}; name two sweeps or runs")
        found = compared(
            runs_a,
            runs_b,
            anyway=anyway,
            metrics=keys,
            confidence=confidence,
            smallest_change_ratio=smallest_change_ratio,
        )
        worse += found.count("worse")
        if as_json:
            sides = {"a": _described(id_a, runs_a), "b": _described(id_b, runs_b)}
            documents.append({"schema_version": 1, **sides, **found.to_json()})
        else:
            show_comparison(stdout(), (id_a, runs_a), (id_b, runs_b), found)
    if as_json:
        show_json(documents[0] if b is not None else {"schema_version": 1, "comparisons": documents})
    if fail_if_worse and worse:
        raise typer.Exit(ExitCode.GATE_FAILED)


def _check(confidence: float, smallest_change_ratio: float) -> None:
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence:g}")
    if not 0 <= smallest_change_ratio < 1:
        raise UsageError(f"--smallest-change-ratio must be at least 0 and below 1, not {smallest_change_ratio:g}")


def _metrics(given: str | None) -> list[str]:
    from loadgen.analysis.metrics import METRICS

    known = [metric.key for metric in METRICS if metric.better is not None]
    keys = [key.strip() for key in given.split(",")] if given is not None else []
    for key in keys:
        if key not in known:
            raise UsageError(f"--metrics names '{key}', which has no better and worse; choose from {', '.join(known)}")
    return keys


def _pairs(store: "Store", a: str, b: str | None) -> list[tuple[Side, Side]]:
    """A and B, or the first sweep of a group and each other one. Raises UsageError."""
    if b is not None:
        return [(_side(store, a), _side(store, b))]
    if not a.startswith("g"):
        raise UsageError(
            f"{a} alone is no comparison: name two sweeps or runs, or a group (g…), whose sweeps are compared with its first"
        )
    sides: list[Side] = [(sweep.sweep_id, runs) for sweep in store.group(a) if (runs := store.runs(sweep.sweep_id))]
    if len(sides) < 2:
        raise UsageError(
            f"the group {a} has {len(sides) or 'no'} sweep{'' if len(sides) == 1 else 's'} with a finished run, and comparing takes two"
        )
    return [(sides[0], other) for other in sides[1:]]


def _side(store: "Store", given: str) -> Side:
    """The full id and its run documents. Raises UsageError when there is none."""
    found = full_id(store, given)
    if found.startswith("g"):
        raise UsageError(f"{found} is a group; compare it alone, or name two of its sweeps")
    runs = [store.run(found)] if found.startswith("r") else store.runs(found)
    if not runs:
        raise UsageError(f"the sweep {found} has no finished run, so there is nothing to compare")
    return found, runs


def _described(found: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    first = runs[0]
    marks = {"simulated": first["simulated"], "imported": first.get("imported")}
    return {"id": found, **marks, "server": first["server"], "runs": len(runs)}
