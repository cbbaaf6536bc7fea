"""The charts of one run: how its latencies are distributed, and when each of its requests waited and was answered."""

from collections.abc import Sequence

from loadgen.analysis.figure_table import FIGURES
from loadgen.analysis.outline.outline import OUTLINED
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.load.shapes import shape_class
from loadgen.report.charts.chart import Chart, simulated
from loadgen.report.charts.histograms import distribution_chart
from loadgen.report.charts.over_time import over_time_chart
from loadgen.report.charts.timeline import timeline_chart
from loadgen.report.figures import CHUNK_GAP, TOKEN_GAP, gap_figure
from loadgen.report.points import Document
from loadgen.store.rows import ServerSample

WITHOUT_REQUESTS = Chart(
    "timeline",
    "Distributions and timeline",
    "",
    "Not drawn: an imported result has no requests, only the figures that were made of them.",
    None,
)


def run_charts(
    run: Document, outline: Document | None, samples: Sequence[ServerSample] = (), gpus: Sequence[GpuSeries] = ()
) -> tuple[tuple[Chart, ...], Chart, Chart | None]:
    """The distributions of a run's page, in order, its timeline, and its course over time where there is one.

    Without an `outline` a sentence stands in their place.
    """
    if outline is None:
        return (), WITHOUT_REQUESTS, None
    charts = [
        distribution_chart(key, FIGURES[key].label, outline["distributions"].get(key), run.get(key))
        for key in OUTLINED
        if key != _needless_gap(run)
    ]
    timeline = timeline_chart(
        outline["requests"], run.get("window"), by_slot=shape_class(run["spec"]["shape"]).has_steady_state
    )
    over_time = over_time_chart(run.get("window"), outline["over_time"], samples, gpus)
    if run["simulated"]:
        over_time = None if over_time is None else simulated(over_time)
        return tuple(map(simulated, charts)), simulated(timeline), over_time
    return tuple(charts), timeline, over_time


def _needless_gap(run: Document) -> str | None:
    """The gap whose chart would say nothing: of tokens where they are not known, of chunks where each is one token."""
    if gap_figure([run]) is CHUNK_GAP:
        return TOKEN_GAP.key
    tokens = run.get("tokens_per_chunk") or {}
    return CHUNK_GAP.key if tokens.get("min") == tokens.get("max") == 1 else None
