"""What else a sweep's page draws: charts that need something to have been varied, limited or repeated, each only where it was.

Works on run documents, and on outlines for distributions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from loadgen.report.charts.cdf import cdf_chart, one_of_each
from loadgen.report.charts.chart import Chart, labelled
from loadgen.report.charts.goodput import goodput_chart
from loadgen.report.charts.heat_map import heat_map
from loadgen.report.charts.pareto import pareto_chart
from loadgen.report.charts.repeats import FEWEST_FOR_BOX, repeats_chart
from loadgen.report.figures import THROUGHPUT, TTFT, gap_figure
from loadgen.report.points import INPUT_TOKENS, OUTPUT_TOKENS, Document, varies


def further_charts(
    runs: Sequence[Document],
    names: Mapping[str, str] | None = None,
    open_outline: Callable[[str], Document | None] = lambda run_id: None,
) -> tuple[Chart, ...]:
    """Pareto, goodput, distributions side by side, repeats, and heat maps over batch and length, in this order.

    `open_outline` gives the outline of a run, by its id, where there is one; it is asked for a run of each point, of a dozen at most.
    """
    charts = [pareto_chart(runs, names), goodput_chart(runs, names)]
    charts += _cumulative(runs, names, open_outline)
    if _most_repeats(runs) >= FEWEST_FOR_BOX:
        charts += [repeats_chart(runs, figure, "p50", names) for figure in (THROUGHPUT, TTFT)]
    if any(varies(length, runs) for length in (INPUT_TOKENS, OUTPUT_TOKENS)):
        charts += [heat_map(runs, figure, "p50", names) for figure in (THROUGHPUT, TTFT)]
    return labelled([chart for chart in charts if chart is not None], runs)


def _cumulative(
    runs: Sequence[Document], names: Mapping[str, str] | None, open_outline: Callable[[str], Document | None]
) -> list[Chart | None]:
    chosen = one_of_each(runs)
    outlines = {run["run_id"]: open_outline(run["run_id"]) for run in chosen}
    if not any(outlines.values()):
        return []  # the percentiles alone are in the other charts
    figures = (TTFT, gap_figure(runs))
    charts = (cdf_chart(chosen, figure, lambda run: outlines[run["run_id"]], names) for figure in figures)
    told = "" if len(chosen) == len(runs) else " A run of each point."
    return [None if chart is None else replace(chart, caption=chart.caption + told) for chart in charts]


def _most_repeats(runs: Sequence[Document]) -> int:
    hashes = [(run["sweep_id"], run["spec"]["point_hash"]) for run in runs]
    return max(map(hashes.count, set(hashes)), default=0)
