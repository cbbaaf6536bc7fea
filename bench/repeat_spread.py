"""How far repeats of one load point lie apart by themselves, and how late the client's loop was meanwhile.

Of the group `repeats` of bench/thresholds.py: the same load again and again, so that whatever differs is the host's, the server's or
the client's own. Each three runs in a row are taken for the three repeats of a point.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

REPEATS = 3
LIMITS = (0.05, 0.1, 0.2)
LATE_FROM_S = 0.3e-3


def repeat_spread(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By load: the runs, the spreads of its points (greatest/least - 1, in order), how many are above each limit, and the lags."""
    found: dict[str, Any] = {}
    for label in dict.fromkeys(run["label"] for run in runs if run["family"] == "repeats"):
        alike = [run for run in runs if run["family"] == "repeats" and run["label"] == label]
        figures = [run["output_tokens_per_s"] for run in alike if run["output_tokens_per_s"]]
        points = [figures[place : place + REPEATS] for place in range(len(figures) - REPEATS + 1)]
        spreads = sorted(max(point) / min(point) - 1 for point in points)
        lags = sorted(run["loop_lag_p95_s"] for run in alike if run["loop_lag_p95_s"] is not None)
        found[label] = {
            "runs": len(alike),
            "spreads": spreads,
            "above": {f"{limit:g}": sum(spread > limit for spread in spreads) for limit in LIMITS},
            "loop_lag_p95_s": lags,
            "late_runs": sum(lag > LATE_FROM_S for lag in lags),
            "chunk_gap_p50_s": [run.get("chunk_gap_p50_s") for run in alike],
            "load_average": sum(run["load_average"] for run in alike) / len(alike),
        }
    return found


def show_spread(found: dict[str, Any], console: Console) -> None:
    """The table, if that group was measured."""
    if not found:
        return
    drawn = Table(title=f"repeats of one load: {REPEATS} in a row taken for a point; loop lag p95 of each run")
    for heading in ("load", "runs", "load average", "spread p50", "max", *(f"> {limit:.0%}" for limit in LIMITS)):
        drawn.add_column(heading, justify="left" if heading == "load" else "right")
    for heading in ("lag p50 ms", "max", f"> {1e3 * LATE_FROM_S:g} ms"):
        drawn.add_column(heading, justify="right")
    for label, each in found.items():
        spreads, lags = each["spreads"], each["loop_lag_p95_s"]
        if not spreads:
            continue
        late = ("–", "–", "–")  # of runs too short for a p95
        if lags:
            late = (f"{1e3 * lags[len(lags) // 2]:.2f}", f"{1e3 * lags[-1]:.2f}", f"{each['late_runs']} of {len(lags)}")
        drawn.add_row(
            label,
            str(each["runs"]),
            f"{each['load_average']:.1f}",
            f"{spreads[len(spreads) // 2]:.1%}",
            f"{spreads[-1]:.1%}",
            *(f"{above} of {len(spreads)}" for above in each["above"].values()),
            *late,
        )
    console.print(drawn)
