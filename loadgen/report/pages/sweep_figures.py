"""What the list of sweeps shows of each sweep's figures: its best load point, and the GPUs of the server.

The figures are those of the sweep's own page: means over the repeats of a point that are not invalid.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadgen.analysis.server.served_gpus import served_gpus
from loadgen.report.format import MISSING_FIGURE, plural
from loadgen.report.points import pool
from loadgen.report.words.sweep_tables import worst_status
from loadgen.store.rows import RunFigures, SweepRow, sweep_json


@dataclass(frozen=True, slots=True)
class BestPoint:
    """The load point with the highest output throughput. A figure that no repeat has is None."""

    point_hash: str
    load_label: str | None
    input_tokens: int | None
    output_tokens: int
    runs: int  # repeats in the means
    status: str  # of these repeats: valid or doubtful
    output_tokens_per_s: float | None
    ttft_p50_s: float | None


@dataclass(frozen=True, slots=True)
class SweepFigures:
    """A sweep's best load point, None if all its runs are invalid; and its GPUs, None if they are unknown."""

    best_point: BestPoint | None = None
    gpu_count: int | None = None
    gpu_names: list[str] | None = None  # one for each GPU; each model once if which were used is unknown
    lengths_vary: bool = False  # the sweep has points of other lengths than its best one


def sweep_figures(sweeps: Sequence[SweepRow], runs: Iterable[RunFigures]) -> dict[str, SweepFigures]:
    """The figures of each of these sweeps by its id, from all their runs."""
    theirs: dict[str, list[RunFigures]] = {sweep.sweep_id: [] for sweep in sweeps}
    for run in runs:
        if run.sweep_id in theirs:  # others began after the list was read
            theirs[run.sweep_id].append(run)
    return {sweep.sweep_id: _figures(sweep, theirs[sweep.sweep_id]) for sweep in sweeps}


def sweeps_document(sweeps: Sequence[SweepRow], runs: Iterable[RunFigures]) -> dict[str, Any]:
    """The list of sweeps as one JSON document: their rows, each with `best_point`, `gpu_count` and `gpu_names`."""
    listed = []
    figures = sweep_figures(sweeps, runs)
    for sweep in sweeps:
        found = asdict(figures[sweep.sweep_id])
        del found["lengths_vary"]
        listed.append(sweep_json(sweep) | found)
    return {"schema_version": 1, "sweeps": listed}


def best_point(runs: Iterable[RunFigures]) -> BestPoint | None:
    """The point with the highest mean throughput over its repeats that are not invalid, never the luckiest repeat.

    Without any throughput it is the only point, if that has a TTFT. None if no figure is usable.
    """
    points: dict[str, list[RunFigures]] = {}
    for run in runs:
        if run.verdict_status != "invalid":
            points.setdefault(run.point_hash, []).append(run)
    made = [_point(repeats) for repeats in points.values()]
    known = [(point.output_tokens_per_s, point) for point in made if point.output_tokens_per_s is not None]
    if known:
        return max(known, key=lambda pair: pair[0])[1]
    return made[0] if len(made) == 1 and made[0].ttft_p50_s is not None else None


def gpus_line(count: int | None, names: Sequence[str] | None) -> str:
    """GPUs in words: `2 × NVIDIA H200`, `1 × NVIDIA A100, 1 × NVIDIA H200`, `3 GPUs` of an unknown model; a dash if unknown."""
    if count is None:
        return MISSING_FIGURE
    if not names:
        return plural(count, "GPU")
    if len(names) != count:
        return f"{count} × {' or '.join(names)}"
    return ", ".join(f"{number} × {name}" for name, number in Counter(names).items())


def _point(repeats: Sequence[RunFigures]) -> BestPoint:
    output = pool([run.output_tokens_per_s for run in repeats])
    ttft = pool([run.ttft_p50_s for run in repeats])
    first = repeats[0]
    return BestPoint(
        point_hash=first.point_hash,
        load_label=first.load_label,
        input_tokens=first.input_tokens,
        output_tokens=first.output_tokens,
        runs=len(repeats),
        status=worst_status([_document(run) for run in repeats]),
        output_tokens_per_s=None if output is None else output.mean,
        ttft_p50_s=None if ttft is None else ttft.mean,
    )


def _document(run: RunFigures) -> Any:
    """As much of the run document as the verdict on a load point takes."""
    return {
        "verdict": {"status": run.verdict_status},
        "interrupted": run.interrupted,
        "spec": {"shape": {"kind": run.shape_kind}},
        "output_tokens_per_s": run.output_tokens_per_s,
        "e2e_latency_s": {"p50": run.e2e_latency_p50_s},
    }


def _figures(sweep: SweepRow, runs: Sequence[RunFigures]) -> SweepFigures:
    """GPUs are those of the runs at the best point, else of the latest run that knows them, else of the server's start."""
    best = best_point(runs)
    at_best = [run for run in runs if best is not None and run.point_hash == best.point_hash]
    known = [run for run in (*runs, *at_best) if run.gpu_count is not None]
    lengths = {(run.input_tokens, run.output_tokens) for run in runs if run.verdict_status != "invalid"}
    count, names = (known[-1].gpu_count, known[-1].gpu_names) if known else served_gpus({"server": sweep.server})
    return SweepFigures(
        best_point=best,
        gpu_count=count,
        gpu_names=names,
        lengths_vary=len(lengths) > 1,
    )
