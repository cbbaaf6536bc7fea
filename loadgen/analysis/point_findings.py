"""What only the repeats of one load point together can show: that they differ.

A finding of a point changes no run's verdict.
"""

from collections.abc import Sequence

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import PointDocument
from loadgen.analysis.verdict import WORST_FIRST, MergedFinding, merge_findings
from loadgen.load.shapes import shape_class

REPEATS_DIFFER = "repeats_differ"
MAX_SPREAD_RATIO = 0.10  # greatest/least − 1; docs/method.md has the reason


def findings_of(runs: Sequence[RunDocument]) -> list[MergedFinding]:
    """The findings of the runs and of their load points, each code once, worst first."""
    merged = merge_findings([run["verdict"] for run in runs])
    differing = [finding for finding in map(repeats_differ, _points(runs)) if finding is not None]
    if differing:
        spread, point = max(differing, key=lambda each: each[0])
        merged.append(_merged(spread, point, points=len(differing)))
    return sorted(merged, key=lambda finding: WORST_FIRST.index(finding.severity))


def point_documents(runs: Sequence[RunDocument]) -> list[PointDocument]:
    """Each load point of several repeats: its runs, how far they lie apart, and its findings as a run's verdict has them."""
    found: list[PointDocument] = []
    for point in _points(runs):
        if len(point) < 2:
            continue
        spread, differ = _spread_ratio(point), repeats_differ(point)
        merged = [] if differ is None else [_merged(differ[0], point, points=1)]
        found.append(
            {
                "point_hash": point[0]["spec"]["point_hash"],
                "load_label": point[0]["spec"]["load_label"],
                "run_ids": [run["run_id"] for run in point],
                "spread_ratio": spread,
                "findings": [
                    {"code": each.code, "severity": each.severity, "message": each.message, "hint": each.hint}
                    for each in merged
                ],
            }
        )
    return found


def repeats_differ(point: Sequence[RunDocument]) -> tuple[float, Sequence[RunDocument]] | None:
    """How far the repeats of the point lie apart, where that is beyond the limit."""
    spread = _spread_ratio(point)
    return None if spread is None or spread <= MAX_SPREAD_RATIO else (spread, point)


def _merged(spread: float, point: Sequence[RunDocument], points: int) -> MergedFinding:
    name = "median end-to-end latency" if _is_open(point[0]) else "output tokens/s"
    usable = _usable(point)
    worst = f"; worst of {points:,} load points" if points > 1 else ""
    return MergedFinding(
        code=REPEATS_DIFFER,
        severity="doubtful",
        message=f"Repeats differ by {spread:.0%} in {name} at {point[0]['spec']['load_label']}{worst}.",
        hint="look for other work on the server's host, or a server that had not warmed up, and measure again with more repeats",
        runs=len(usable),
        of=1,  # the message says where
        alike=True,
    )


def _points(runs: Sequence[RunDocument]) -> list[list[RunDocument]]:
    points: dict[tuple[str, str], list[RunDocument]] = {}
    for run in runs:
        points.setdefault((run["sweep_id"], run["spec"]["point_hash"]), []).append(run)
    return list(points.values())


def _usable(point: Sequence[RunDocument]) -> list[RunDocument]:
    return [run for run in point if run["verdict"]["status"] != "invalid" and not run.get("interrupted")]


def _spread_ratio(point: Sequence[RunDocument]) -> float | None:
    """Greatest/least − 1 over the repeats that are whole and not invalid; None for fewer than two with the figure."""
    known = [value for run in _usable(point) if (value := _figure(run)) is not None and value > 0]
    return max(known) / min(known) - 1 if len(known) > 1 else None


def _figure(run: RunDocument) -> float | None:
    """Throughput; in the open loop, whose throughput is the offered rate, the median end-to-end latency."""
    if not _is_open(run):
        return run["output_tokens_per_s"]
    latency = run.get("e2e_latency_s")
    return None if latency is None else latency["p50"]


def _is_open(run: RunDocument) -> bool:
    return shape_class(run["spec"]["shape"]).latency_start == "due"
