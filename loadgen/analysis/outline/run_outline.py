"""The outline of a run: what pages draw of it, small however long it was. How its latencies are distributed, its course over time,
and some of its requests, the slowest and the failed among them.

Made once, when the run is saved: a page never reads all requests. Figures are not made of
it; they come of every value, in `summary`.
"""

from collections.abc import Mapping
from functools import partial

from typing_extensions import TypedDict

from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.measured import Measured
from loadgen.analysis.outline.distribution import DistributionOutline, distribution_outline
from loadgen.analysis.outline.over_time import OverTimeOutline, over_time_outline
from loadgen.analysis.outline.requests import RequestsOutline, requests_outline

OUTLINE_VERSION = 1
OUTLINED = ("ttft_s", "chunk_gap_s", "token_gap_s", "tpot_s", "e2e_latency_s")


class Outline(TypedDict):
    """What pages draw of a run."""

    version: int
    distributions: dict[str, DistributionOutline]  # by metric; one without any value is left out
    requests: RequestsOutline
    over_time: OverTimeOutline | None


def outline(measured: Measured, figures: Mapping[str, object]) -> Outline:
    """Return the outline of a run. `figures` is its document or summary, whose percentiles say where each tail begins."""
    distributions = {}
    for metric in METRICS:
        if metric.key in OUTLINED:
            found = distribution_outline(partial(measured.samples, metric.samples), metric.of(figures))
            if found is not None:
                distributions[metric.key] = found
    return {
        "version": OUTLINE_VERSION,
        "distributions": distributions,
        "requests": requests_outline(measured),
        "over_time": over_time_outline(measured),
    }
