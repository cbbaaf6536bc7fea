"""What else a sweep's page draws: charts that need something to have been varied, limited or repeated, each only where it was.

May import the rest of report. Works on run documents alone.
"""

from collections.abc import Mapping, Sequence

from loadgen.report.charts import Chart, labelled
from loadgen.report.figures import FIGURES
from loadgen.report.goodput import goodput_chart
from loadgen.report.heat_map import heat_map
from loadgen.report.pareto import pareto_chart
from loadgen.report.points import INPUT_TOKENS, OUTPUT_TOKENS, Document, varies
from loadgen.report.repeats import FEWEST_FOR_BOX, repeats_chart


def further_charts(runs: Sequence[Document], names: Mapping[str, str] | None = None) -> tuple[Chart, ...]:
    """Pareto, goodput, heat maps over batch and length, and repeats, in this order."""
    charts = [pareto_chart(runs, names), goodput_chart(runs, names)]
    if any(varies(length, runs) for length in (INPUT_TOKENS, OUTPUT_TOKENS)):
        charts += [heat_map(runs, FIGURES[key], "p50", names) for key in ("output_tokens_per_s", "ttft_s")]
    if _most_repeats(runs) >= FEWEST_FOR_BOX:
        charts += [repeats_chart(runs, FIGURES[key], "p50", names) for key in ("output_tokens_per_s", "ttft_s")]
    return labelled([chart for chart in charts if chart is not None], runs)


def _most_repeats(runs: Sequence[Document]) -> int:
    hashes = [(run["sweep_id"], run["spec"]["point_hash"]) for run in runs]
    return max(map(hashes.count, set(hashes)), default=0)
