"""Every chart by name, for `loadgen plot`: what each is of, and how it is made from runs.

A plot of runs takes any number of them, of one sweep or several; a
plot of one run is drawn from its outline, which an imported result may not have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loadgen.analysis.figure_table import DRAWN
from loadgen.analysis.figures.figure import STATISTICS, Figure
from loadgen.errors import UsageError
from loadgen.report.charts.cdf import cdf_chart
from loadgen.report.charts.chart import Chart, labelled
from loadgen.report.charts.goodput import goodput_chart
from loadgen.report.charts.heat_map import heat_map
from loadgen.report.charts.load_charts import figure_chart
from loadgen.report.charts.pareto import pareto_chart
from loadgen.report.charts.repeats import repeats_chart
from loadgen.report.charts.run_charts import run_charts
from loadgen.report.charts.sweep_charts import sweep_charts
from loadgen.report.figures import THROUGHPUT, TOKEN_GAP, gap_figure
from loadgen.report.points import Document
from loadgen.report.select.subjects import Subject


@dataclass(frozen=True, slots=True)
class Wish:
    """Which figure a chart is to draw, of those that can draw any, and which statistic of it."""

    figure: Figure
    statistic: str = "p50"


Make = Callable[[Subject, Wish], Chart | None]  # None: these runs have nothing that it could show


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart by name. `of` is what it takes: runs of any number, or the one run that it is about."""

    name: str
    of: Literal["runs", "run"]
    tells: str  # what one sees in it
    make: Make
    has_bars: bool = False  # its marks are means with bars over repeats, which must be told
    metric: str | None = None  # of a chart that draws whichever is asked: the one that it draws unasked

    def draw(self, subject: Subject, metric: str | None = None, statistic: str | None = None) -> Chart:
        """The chart of these runs, of `metric` and its `statistic` where it draws any.

        Raises UsageError where the runs have nothing to show, there are several for a chart of one, or it has no such metric.
        """
        if self.of == "run" and len(subject.runs) != 1:
            example = f"'loadgen plot {self.name} {subject.runs[0]['run_id']}'" if subject.runs else "its id"
            raise UsageError(
                f"'{self.name}' draws one run, and these are {len(subject.runs)}: name one, as in {example}"
            )
        chart = self.make(subject, self._wish(metric, statistic))
        if chart is None:
            raise UsageError(f"'{self.name}' has nothing to draw of these runs: it tells {self.tells}")
        return chart

    def _wish(self, metric: str | None, statistic: str | None) -> Wish:
        if self.metric is None and (metric is not None or statistic is not None):
            able = ", ".join(each.name for each in PLOTS if each.metric is not None)
            raise UsageError(f"'{self.name}' draws what it draws: a metric can be chosen for {able}")
        figure = DRAWN.get(metric or self.metric or THROUGHPUT.key)
        if figure is None:
            raise UsageError(f"there is no metric '{metric}'; there are {', '.join(DRAWN)}")
        if statistic is not None and (statistic not in STATISTICS or not figure.is_distribution):
            has = ", ".join(STATISTICS) if figure.is_distribution else "no statistics, one number a run"
            raise UsageError(f"{figure.key} has no '{statistic}': it has {has}")
        return Wish(figure, statistic or "p50")


def _of_sweep(*keys: str) -> Make:
    def make(subject: Subject, wish: Wish) -> Chart | None:
        charts = sweep_charts(subject.runs, subject.names) if subject.runs else ()
        return next((chart for chart in charts if chart.key in keys), None)

    return make


def _of_run(*keys: str) -> Make:
    def make(subject: Subject, wish: Wish) -> Chart | None:
        run = subject.open_run(subject.runs[0])
        distributions, timeline, over_time = run_charts(run.document, run.outline, run.samples, run.gpus)
        if run.outline is None:
            return timeline  # the sentence that stands in the place of all of them
        return next((chart for chart in (*distributions, timeline, over_time) if chart and chart.key in keys), None)

    return make


def _cdf(key: str) -> Make:
    def make(subject: Subject, wish: Wish) -> Chart | None:
        figure = gap_figure(subject.runs) if key == TOKEN_GAP.key else DRAWN[key]
        chart = cdf_chart(subject.runs, figure, lambda run: subject.open_run(run).outline, subject.names)
        return _labelled(chart, subject)

    return make


def _by_documents(chart: Callable[[Sequence[Document], Mapping[str, str]], Chart | None]) -> Make:
    def make(subject: Subject, wish: Wish) -> Chart | None:
        return _labelled(chart(subject.runs, subject.names), subject)

    return make


def _by_figure(chart: Callable[[Sequence[Document], Figure, str, Mapping[str, str]], Chart | None]) -> Make:
    def make(subject: Subject, wish: Wish) -> Chart | None:
        return _labelled(chart(subject.runs, wish.figure, wish.statistic, subject.names), subject)

    return make


def _labelled(chart: Chart | None, subject: Subject) -> Chart | None:
    return None if chart is None else labelled([chart], subject.runs)[0]


PLOTS: tuple[Plot, ...] = (
    Plot("ttft", "runs", "time to first token along the load", _of_sweep("ttft_s"), True),
    Plot(
        "gap",
        "runs",
        "the time between tokens, or chunks, along the load",
        _of_sweep("token_gap_s", "chunk_gap_s"),
        True,
    ),
    Plot("throughput", "runs", "output tokens per second along the load", _of_sweep("output_tokens_per_s"), True),
    Plot("energy", "runs", "joules per output token along the load", _of_sweep("energy_per_output_token_j"), True),
    Plot("load", "runs", "any metric along the load", _by_figure(figure_chart), True, "tpot_s"),
    Plot("pareto", "runs", "throughput of a GPU against what each of its users gets", _by_documents(pareto_chart)),
    Plot("goodput", "runs", "requests per second that met the SLO along the load", _by_documents(goodput_chart), True),
    Plot(
        "heat-map", "runs", "a metric over load and length together", _by_figure(heat_map), metric="output_tokens_per_s"
    ),
    Plot(
        "repeats",
        "runs",
        "how far three repeats or more lie apart",
        _by_figure(repeats_chart),
        metric="output_tokens_per_s",
    ),
    Plot("ttft-cdf", "runs", "time to first token of each run, cumulative", _cdf("ttft_s")),
    Plot("gap-cdf", "runs", "the time between tokens, or chunks, of each run, cumulative", _cdf("token_gap_s")),
    Plot("tpot-cdf", "runs", "the time per output token of each run, cumulative", _cdf("tpot_s")),
    Plot("e2e-cdf", "runs", "the time of whole answers of each run, cumulative", _cdf("e2e_latency_s")),
    Plot("ttft-histogram", "run", "how time to first token is distributed", _of_run("ttft_s")),
    Plot("gap-histogram", "run", "how the time between tokens is distributed", _of_run("token_gap_s", "chunk_gap_s")),
    Plot("tpot-histogram", "run", "how the time per output token is distributed", _of_run("tpot_s")),
    Plot("e2e-histogram", "run", "how the time of whole answers is distributed", _of_run("e2e_latency_s")),
    Plot("timeline", "run", "when each request waited and was answered", _of_run("timeline")),
    Plot("over-time", "run", "tokens/s, requests, KV cache and power on one time axis", _of_run("over_time")),
)


def plot(name: str) -> Plot:
    """The chart of this name. Raises UsageError, which lists them, for any other."""
    for each in PLOTS:
        if each.name == name:
            return each
    raise UsageError(f"there is no chart '{name}'; there are {', '.join(each.name for each in PLOTS)}")
