"""The charts of one run: how its latencies are distributed, and when each of its requests waited and was answered.

May import load, engine, analysis and the rest of report.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from loadgen.analysis.gpu import GpuSeries
from loadgen.analysis.measured import measure
from loadgen.analysis.metrics import METRICS
from loadgen.engine.record import Records
from loadgen.load.spec import ClosedLoop, RunSpec
from loadgen.report.charts import Chart, simulated
from loadgen.report.histograms import distribution_chart
from loadgen.report.over_time import over_time_charts
from loadgen.report.points import Document
from loadgen.report.sweep_charts import gap_metric
from loadgen.report.timeline import timeline_chart
from loadgen.store.rows import ServerSample

DISTRIBUTIONS = ("ttft_s", "chunk_gap_s", "token_gap_s", "tpot_s", "e2e_latency_s")
SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))


WITHOUT_REQUESTS = Chart(
    "timeline",
    "Distributions and timeline",
    "",
    "Not drawn: an imported result has no requests, only the figures that were made of them.",
    None,
)


def run_charts(
    run: Document, records: Records | None, samples: Sequence[ServerSample] = (), gpus: Sequence[GpuSeries] = ()
) -> tuple[tuple[Chart, ...], Chart, tuple[Chart, ...]]:
    """The distributions of a run's page, in order, its timeline, and what its server did over time.

    Without `records` a sentence stands in their place.

    The values are those that the run's figures were made of: the same formulas over the same window.
    """
    if records is None:
        return (), WITHOUT_REQUESTS, ()
    spec = RunSpec.from_json({key: value for key, value in run["spec"].items() if key in SPEC_FIELDS})
    measured = measure(spec, records)
    charts = []
    for key in DISTRIBUTIONS:
        if key == _needless_gap(run):
            continue
        metric = next(metric for metric in METRICS if metric.key == key)
        drawn_s = np.concatenate([np.empty(0), *map(metric.samples, measured.pieces())])
        charts.append(distribution_chart(key, metric.label, drawn_s, run.get(key) or {}))
    closed = isinstance(spec.shape, ClosedLoop)
    timeline = timeline_chart(records, run.get("window"), by_slot=closed)
    over_time = over_time_charts(run.get("window"), records, samples, gpus)
    if run["simulated"]:
        return tuple(map(simulated, charts)), simulated(timeline), tuple(map(simulated, over_time))
    return tuple(charts), timeline, over_time


def _needless_gap(run: Document) -> str | None:
    """The gap whose chart would say nothing: of tokens where they are not known, of chunks where each is one token."""
    if gap_metric([run]) == "chunk_gap_s":
        return "token_gap_s"
    tokens = run.get("tokens_per_chunk") or {}
    return "chunk_gap_s" if tokens.get("min") == tokens.get("max") == 1 else None
