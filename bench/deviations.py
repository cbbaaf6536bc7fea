"""What deviations did to the figures, out of the runs that bench/thresholds.py made: for people, and the digest that is kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

FAMILIES = ("closed", "far", "near")
FIGURES = (
    ("throughput", "output_tokens_per_s"),
    ("TTFT p50", "ttft_p50_s"),
    ("TTFT mean", "ttft_mean_s"),
    ("TTFT p95", "ttft_p95_s"),
    ("TTFT p99", "ttft_p99_s"),
    ("E2E p50", "e2e_p50_s"),
    ("E2E mean", "e2e_mean_s"),
    ("TPOT p50", "tpot_p50_s"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """How far one figure moved, as a share of the base: the mean over the repeats, and two standard errors of it."""

    mean: float
    uncertain: float

    @property
    def text(self) -> str:
        """`−4.9 %`, in brackets where the base moves as far by itself."""
        told = f"{100 * self.mean:+.1f} %".replace("-", "−")
        return f"({told})" if abs(self.mean) <= self.uncertain else told


def against_the_base(runs: Sequence[dict[str, Any]], label: str, key: str) -> list[float]:
    """Of the runs of one family, in their order: each of that label as a share of the mean of the base just before and after it, less 1.

    Empty where any of them lacks the figure.
    """
    bases = [place for place, run in enumerate(runs) if run["label"] == "base"]
    shares: list[float] = []
    for place, run in enumerate(runs):
        around = [[b for b in bases if b < place][-1:], [b for b in bases if b > place][:1]]
        if run["label"] != label or not all(around):
            continue
        figures = [runs[b][key] for (b,) in around]
        if run[key] is None or None in figures:
            return []
        shares.append(run[key] / (sum(figures) / 2) - 1)
    return shares


def spread_of(runs: Sequence[dict[str, Any]], key: str) -> float | None:
    """The standard deviation of a run of the base, told as a deviation is: against the base before and after it."""
    shares = against_the_base(runs, "base", key)
    return float(np.sqrt(np.mean(np.square(shares)))) if len(shares) > 1 else None


def change_of(runs: Sequence[dict[str, Any]], label: str, key: str) -> Change | None:
    """What the deviation of that label made of a figure."""
    shares, spread = against_the_base(runs, label, key), spread_of(runs, key)
    if not shares or spread is None:
        return None
    return Change(sum(shares) / len(shares), 2 * spread / math.sqrt(len(shares)))


def show(document: dict[str, Any], console: Console) -> None:
    """The tables."""
    for family in FAMILIES:
        runs = [run for run in document["runs"] if run["family"] == family]
        bases = [run for run in runs if run["label"] == "base"]
        if not bases:
            continue
        load = (
            f"{bases[0]['concurrency']} callers" if family == "closed" else f"{bases[0]['rate_per_s']:.4g} requests/s"
        )
        drawn = Table(title=f"{family}: {load}, {document['input_tokens']} + {document['output_tokens']} tokens")
        drawn.add_column("deviation")
        for name, _ in FIGURES:
            drawn.add_column(name, justify="right")
        cells = []
        for _, key in FIGURES:
            spread = spread_of(runs, key)
            mean = None if spread is None else sum(run[key] for run in bases) / len(bases)
            cells.append("–" if spread is None or mean is None else f"{mean:.4g} ± {100 * spread:.1f} %")
        drawn.add_row(f"base, {len(bases)} runs", *cells, end_section=True)
        for label in dict.fromkeys(run["label"] for run in runs if run["label"] != "base"):
            changes = [change_of(runs, label, key) for _, key in FIGURES]
            drawn.add_row(label, *("–" if change is None else change.text for change in changes))
        console.print(drawn)
    drawn = Table(title="mean TTFT from send, undisturbed, in ms")
    for heading in ("load", "ours", "the server's", "apart", "share"):
        drawn.add_column(heading, justify="left" if heading == "load" else "right")
    for run in document["runs"]:
        theirs_s, ours_s = run["server_ttft_mean_s"], run["client_ttft_mean_s"]
        if (run["label"] == "base" or run["family"] == "loads") and theirs_s is not None:
            load = f"{run['concurrency']} callers" if "concurrency" in run else f"{run['rate_per_s']:.4g} requests/s"
            apart_s = ours_s - theirs_s
            drawn.add_row(
                load, *(f"{1e3 * each:.2f}" for each in (ours_s, theirs_s, apart_s)), f"{apart_s / ours_s:.1%}"
            )
    if drawn.row_count:
        console.print(drawn)


def digest(document: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a call: of each figure the base's mean and spread, and how far each deviation moved it, ± two standard errors."""
    families: dict[str, Any] = {}
    for family in FAMILIES:
        runs = [run for run in document["runs"] if run["family"] == family]
        bases = [run for run in runs if run["label"] == "base"]
        for label in dict.fromkeys(run["label"] for run in runs):
            row: dict[str, Any] = {"runs": sum(run["label"] == label for run in runs)}
            for _, key in FIGURES:
                change, spread = change_of(runs, label, key), spread_of(runs, key)
                if label == "base" and spread is not None:
                    row[key] = [sum(run[key] for run in bases) / len(bases), spread]
                elif label != "base" and change is not None:
                    row[key] = [round(change.mean, 5), round(change.uncertain, 5)]
            families.setdefault(family, {})[label] = row
    apart = [
        [run.get("concurrency") or run["rate_per_s"], run["client_ttft_mean_s"], run["server_ttft_mean_s"]]
        for run in document["runs"]
        if (run["label"] == "base" or run["family"] == "loads") and run["server_ttft_mean_s"] is not None
    ]
    head = {key: value for key, value in document.items() if key != "runs"}
    return {**head, "families": families, "ttft_mean_s_ours_and_the_servers": apart}
