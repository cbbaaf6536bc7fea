"""`sweep --plan`: what would run and about how long it would take. Sends nothing, writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadgen.analysis.figures.cost import Price
from loadgen.errors import StoreError
from loadgen.experiments.estimate import (
    database_bytes,
    estimated_usd,
    limit_waits_s,
    most_spool_bytes,
    spool_bytes,
    stated_s,
    sum_database_bytes,
    thinking_s,
)
from loadgen.load.spec import RunSpec
from loadgen.report.format import MISSING_FIGURE, dollars, number, plural, seconds, size
from loadgen.spec.runs import grid_hash, resolved_warmup_requests
from loadgen.spec.size import body_bytes

_SWEEPS_LOOKED_THROUGH = 20


def earlier_durations(db: str, runs: Sequence[RunSpec]) -> dict[str, float]:
    """Seconds that the newest stored run of each load point took, by point hash; empty without a database."""
    from loadgen.store.repository import Store

    wanted = {run.point.hash for run in runs}
    took_s: dict[str, float] = {}
    try:
        with Store.open(db, read_only=True) as store:
            for sweep in store.sweeps()[:_SWEEPS_LOOKED_THROUGH]:
                # What another machine needed for the same load says nothing of this one.
                for document in store.runs(sweep.sweep_id) if sweep.imported is None else ():
                    if document["spec"]["point_hash"] in wanted and not document["interrupted"]:
                        took_s.setdefault(document["spec"]["point_hash"], document["elapsed_s"])
    except StoreError:
        return {}
    return took_s


@dataclass(frozen=True, slots=True)
class _Length:
    """How long a run takes, as far as it is known beforehand."""

    estimated_s: float | None
    thinking_s: float
    limit_wait_s: float  # what a limit per minute makes it last, after the runs before it

    @property
    def least_s(self) -> float:
        """It does not take less than that."""
        return max(self.thinking_s, self.limit_wait_s)


def _lengths(runs: Sequence[RunSpec], took_s: Mapping[str, float]) -> list[_Length]:
    lengths: list[_Length] = []
    for run, wait_s in zip(runs, limit_waits_s(runs), strict=True):
        stated = stated_s(run)
        known_s = stated if stated is not None else took_s.get(run.point.hash)
        lengths.append(_Length(None if known_s is None else max(known_s, wait_s), thinking_s(run), wait_s))
    return lengths


def plan_document(runs: Sequence[RunSpec], took_s: Mapping[str, float], price: Price | None = None) -> dict[str, Any]:
    """The plan as JSON. `estimated_s` is null where nothing is known beforehand; warm-up and preparation are not in it.

    `estimated_spool_bytes` is of temporary files, of the run that needs most; null, like `estimated_database_bytes`, where the server decides
    how many requests there are. `estimated_usd` is null without a price, and where what is paid is not known beforehand.
    `thinking_s` is how long each caller's users think, which is the least that a run of conversations takes; `limit_wait_s` how
    long a limit per minute makes a run last at the least, after those before it.
    """
    lengths = _lengths(runs, took_s)
    return {
        "schema_version": 1,
        "spec_hash": grid_hash(runs),
        "estimated_s": total_s(runs, took_s),
        "estimated_usd": _total_usd(runs, took_s, price),
        "estimated_spool_bytes": most_spool_bytes(runs),
        "estimated_database_bytes": sum_database_bytes(runs),
        "runs": [
            run.to_json()
            | {
                "hash": run.hash,
                "load_label": run.load_label,
                "planned_requests": run.planned_requests(),
                "body_bytes": body_bytes(run),
                "planned_warmup_requests": resolved_warmup_requests(run),
                "estimated_s": length.estimated_s,
                "estimated_usd": _estimated_usd(run, length, price),
                "estimated_spool_bytes": spool_bytes(run),
                "estimated_database_bytes": database_bytes(run),
                "thinking_s": length.thinking_s,
                "limit_wait_s": length.limit_wait_s,
            }
            for run, length in zip(runs, lengths, strict=True)
        ],
    }


def plan_table(runs: Sequence[RunSpec], took_s: Mapping[str, float], price: Price | None = None) -> RenderableType:
    """The plan for people, in the order in which it would run."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("run", justify="right")
    table.add_column("load")
    headers = ["tokens in → out", "requests", "warm-up", "seed", "about"]
    for header in headers if price is None else [*headers, "cost"]:
        table.add_column(header, justify="right", no_wrap=True)
    lengths = _lengths(runs, took_s)
    for position, (run, length) in enumerate(zip(runs, lengths, strict=True), start=1):
        requests = run.planned_requests()
        table.add_row(
            str(position),
            run.load_label,
            f"{number(run.input_tokens)} → {run.output_tokens:,}",
            number(requests) if requests is not None else f"for {run.duration_s:g} s",
            number(resolved_warmup_requests(run)),
            str(run.seed),
            _about(length),
            *([] if price is None else [dollars(_estimated_usd(run, length, price))]),
        )
    known = [requests for run in runs if (requests := run.planned_requests()) is not None]
    largest_bytes = max(body_bytes(run) for run in runs)
    tokens = sum((run.planned_requests() or 0) * run.output_tokens * run.workload.choices for run in runs)
    summary = f"{plural(len(runs), 'run')}, {plural(sum(known), 'request')}, {plural(tokens, 'output token')}"
    if len(known) < len(runs):
        summary += " besides the runs by duration"
    if label := runs[0].workload.label:
        summary += f"; prompts: {label}, a request of about {number(largest_bytes / 1e3)} kB"
    known_s = total_s(runs, took_s)
    least_s = sum(length.estimated_s or length.least_s for length in lengths)
    reasons = [
        reason
        for reason, seconds_each in (
            ("users think", [length.thinking_s for length in lengths]),
            ("limits per minute hold requests back", [length.limit_wait_s for length in lengths]),
        )
        if any(seconds_each)
    ]
    if known_s is not None:
        told = f"about {seconds(round(known_s))} and the warm-ups"
    elif reasons:
        told = (
            f"over {seconds(round(least_s))}, since {' and '.join(reasons)}; how much longer depends on the server: "
            "no run like these is on record"
        )
    else:
        told = "how long depends on the server: no run like these is on record"
    cost = "" if price is None else f"; {_cost_told(runs, took_s, price)}"
    return Group(table, Text(f"{summary}; {told}{cost}. {_disk_told(runs)} Nothing was sent."))


def _disk_told(runs: Sequence[RunSpec]) -> str:
    spool, database = most_spool_bytes(runs), sum_database_bytes(runs)
    if spool is None or database is None:
        return "How much disk is needed depends on the server."
    return f"At most about {size(spool)} of temporary files at a time, and {size(database)} of the database."


def _estimated_usd(run: RunSpec, length: _Length, price: Price | None) -> float | None:
    return None if price is None else estimated_usd(run, price, length.estimated_s)


def _total_usd(runs: Sequence[RunSpec], took_s: Mapping[str, float], price: Price | None) -> float | None:
    estimates = (_estimated_usd(*each, price) for each in zip(runs, _lengths(runs, took_s), strict=True))
    known = [usd for usd in estimates if usd is not None]
    return sum(known) if len(known) == len(runs) else None


def _cost_told(runs: Sequence[RunSpec], took_s: Mapping[str, float], price: Price) -> str:
    total_usd = _total_usd(runs, took_s, price)
    if total_usd is None:
        return "what it costs is not known beforehand"
    if price.is_by_time:
        return f"about {dollars(total_usd)} and the warm-ups"
    return f"at most {dollars(total_usd)}, warm-ups included"


def _about(length: _Length) -> str:
    if length.estimated_s is not None:
        return seconds(round(length.estimated_s, 1))
    return f"over {seconds(round(length.least_s, 1))}" if length.least_s else MISSING_FIGURE


def total_s(runs: Sequence[RunSpec], took_s: Mapping[str, float]) -> float | None:
    """Seconds that all runs should take, by what they state or took before and by limits; None where that of one is not known."""
    known = [each.estimated_s for each in _lengths(runs, took_s) if each.estimated_s is not None]
    return sum(known) if len(known) == len(runs) else None
