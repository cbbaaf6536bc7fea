"""THE table of charts: what each is of, how it is made from runs, and what a page has of it. `loadgen plot` and the pages read it.

A plot of runs takes any number of them, of one sweep or several; a plot of one run is drawn from its outline, which an imported
result may not have. To add a chart is to add a row to `PLOTS`, and its name to `SWEEP_PAGE` if a sweep's page has it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import DRAWN
from loadgen.analysis.figures.figure import STATISTICS, Figure
from loadgen.analysis.outline.run_outline import Outline
from loadgen.errors import UsageError, hint
from loadgen.load.shapes import shape_class
from loadgen.report.charts.accuracy import accuracy_chart
from loadgen.report.charts.cdf import cdf_chart, one_of_each
from loadgen.report.charts.chart import Chart, labelled
from loadgen.report.charts.course import over_time_chart
from loadgen.report.charts.experts import NamedCounts, counts_of_runs, distinct_experts_chart, expert_map
from loadgen.report.charts.heat_map import heat_map
from loadgen.report.charts.histograms import distribution_chart
from loadgen.report.charts.load_charts import figure_chart, goodput_chart, latency_chart, throughput_chart
from loadgen.report.charts.pareto import pareto_chart
from loadgen.report.charts.repeats import MIN_FOR_BOX, repeats_chart
from loadgen.report.charts.speedup import speedup_chart
from loadgen.report.charts.timeline import timeline_chart
from loadgen.report.figures import (
    CHUNK_GAP,
    E2E_LATENCY,
    ENERGY_PER_TOKEN,
    THROUGHPUT,
    TOKEN_GAP,
    TOKENS_PER_CHUNK,
    TPOT,
    TTFT,
    gap_figure,
)
from loadgen.report.points import INPUT_TOKENS, OUTPUT_TOKENS, varies
from loadgen.report.run_selection import OneRun, RunSelection

WITHOUT_REQUESTS = Chart(
    "timeline",
    "Distributions and timeline",
    "",
    "Not drawn: an imported result has no requests, only the figures that were made of them.",
    None,
)


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """Which figure a chart is to draw, of those that can draw any, and which statistic of it."""

    figure: Figure = THROUGHPUT
    statistic: str = "p50"


Make = Callable[[RunSelection, PlotOptions], Chart | None]  # None: these runs have nothing that it could show
OnPage = Callable[[RunSelection, Make], Iterable[Chart | None]]


def _once(selection: RunSelection, make: Make) -> Iterable[Chart | None]:
    yield make(selection, PlotOptions())


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart by name. `of` is what it takes: runs of any number, or the one run that it is about."""

    name: str
    tells: str  # what one sees in it
    make: Make
    of: Literal["runs", "run"] = "runs"
    has_bars: bool = False  # its marks are means with bars over repeats, which must be told
    metric: str | None = None  # of a chart that draws whichever is asked: the one that it draws unasked
    on_page: OnPage = _once  # what a page has of it
    needs: str = ""  # what runs must have that it can show, if that is not plain

    def draw(self, selection: RunSelection, metric: str | None = None, statistic: str | None = None) -> Chart:
        """The chart of these runs, of `metric` and its `statistic` where it draws any.

        Raises UsageError where the runs have nothing to show, there are several for a chart of one, or it has no such metric.
        """
        if self.of == "run" and len(selection.runs) != 1:
            example = f"'loadgen plot {self.name} {selection.runs[0]['run_id']}'" if selection.runs else "its id"
            raise UsageError(
                f"'{self.name}' draws one run, and these are {len(selection.runs)}: name one, as in {example}"
            )
        options = self._options(metric, statistic)
        chart = self.make(selection, options) if selection.runs else None
        if chart is None:
            needs = f"; {self.needs}" if self.needs else ""
            raise UsageError(f"'{self.name}' has nothing to draw of these runs: it tells {self.tells}{needs}")
        return _marked(chart, selection)

    def page_charts(self, selection: RunSelection) -> list[Chart]:
        """What a page of these runs has of it; nothing where they have nothing to show."""
        charts = self.on_page(selection, self.make) if selection.runs else ()
        return [_marked(chart, selection) for chart in charts if chart is not None]

    def _options(self, metric: str | None, statistic: str | None) -> PlotOptions:
        if self.metric is None and (metric is not None or statistic is not None):
            able = ", ".join(each.name for each in PLOTS if each.metric is not None)
            raise UsageError(f"'{self.name}' draws what it draws: a metric can be chosen for {able}")
        figure = DRAWN.get(metric or self.metric or THROUGHPUT.key)
        if figure is None:
            raise UsageError(f"there is no metric '{metric}'; {hint(str(metric), DRAWN, kind='metrics')}")
        if statistic is not None and (statistic not in STATISTICS or not figure.is_distribution):
            has = ", ".join(STATISTICS) if figure.is_distribution else "no statistics, one number a run"
            raise UsageError(f"{figure.key} has no '{statistic}': it has {has}")
        return PlotOptions(figure, statistic or "p50")


def _marked(chart: Chart, selection: RunSelection) -> Chart:
    """The chart, marked where runs were simulated; not the sentence that stands in the place of charts."""
    return chart if chart is WITHOUT_REQUESTS else labelled(chart, selection.runs)


FigureOf = Callable[[Sequence[RunDocument]], Figure]


def _only(figure: Figure) -> FigureOf:
    return lambda runs: figure


def _latency(figure_of: FigureOf) -> Make:
    return lambda selection, options: latency_chart(selection.runs, figure_of(selection.runs), selection.names)


def _energy(selection: RunSelection, options: PlotOptions) -> Chart | None:
    note = "Energy of the server's GPUs over the measured window."
    return figure_chart(selection.runs, ENERGY_PER_TOKEN, options.statistic, selection.names, note=note)


def _by_documents(chart: Callable[[Sequence[RunDocument], Mapping[str, str]], Chart | None]) -> Make:
    return lambda selection, options: chart(selection.runs, selection.names)


def _by_figure(chart: Callable[[Sequence[RunDocument], Figure, str, Mapping[str, str]], Chart | None]) -> Make:
    return lambda selection, options: chart(selection.runs, options.figure, options.statistic, selection.names)


def _throughput_and_ttft(is_shown: Callable[[Sequence[RunDocument]], bool]) -> OnPage:
    def on_page(selection: RunSelection, make: Make) -> Iterable[Chart | None]:
        if is_shown(selection.runs):
            yield from (make(selection, PlotOptions(figure)) for figure in (THROUGHPUT, TTFT))

    return on_page


def _lengths_vary(runs: Sequence[RunDocument]) -> bool:
    return any(varies(length, runs) for length in (INPUT_TOKENS, OUTPUT_TOKENS))


def _repeats_fill_a_box(runs: Sequence[RunDocument]) -> bool:
    points = Counter((run["sweep_id"], run["spec"]["point_hash"]) for run in runs)
    return max(points.values(), default=0) >= MIN_FOR_BOX


def _cumulative(figure_of: FigureOf) -> Make:
    def make(selection: RunSelection, options: PlotOptions) -> Chart | None:
        figure = figure_of(selection.runs)
        return cdf_chart(selection.runs, figure, lambda run: selection.open_run(run).outline, selection.names)

    return make


def _of_each_point(figure_of: FigureOf) -> OnPage:
    """A run of each point, of a dozen at most; nothing where none has an outline, since other charts have the percentiles."""

    def on_page(selection: RunSelection, make: Make) -> Iterable[Chart | None]:
        chosen = one_of_each(selection.runs)
        outlines = {run["run_id"]: selection.open_run(run).outline for run in chosen}
        if not any(outlines.values()):
            return
        figure = figure_of(selection.runs)
        chart = cdf_chart(chosen, figure, lambda run: outlines[run["run_id"]], selection.names)
        if chart is not None:
            told = "" if len(chosen) == len(selection.runs) else " A run of each point."
            yield replace(chart, caption=chart.caption + told)

    return on_page


def _of_run(chart: Callable[[OneRun, Outline], Chart | None]) -> Make:
    """The chart of a run and its outline, without which a sentence stands in its place."""

    def make(selection: RunSelection, options: PlotOptions) -> Chart | None:
        run = selection.open_run(selection.runs[0])
        return WITHOUT_REQUESTS if run.outline is None else chart(run, run.outline)

    return make


def _histogram(figure: Figure, run: RunDocument, outline: Outline) -> Chart:
    return distribution_chart(figure.key, figure.label, outline["distributions"].get(figure.key), figure.of(run))


def _histogram_of(figure: Figure) -> Make:
    return _of_run(lambda run, outline: _histogram(figure, run.document, outline))


def _gaps(run: RunDocument) -> list[Figure]:
    """The gaps whose histograms say something: not of tokens where they are unknown, nor of chunks where each is one token."""
    if gap_figure([run]) is CHUNK_GAP:
        return [CHUNK_GAP]
    each_is_one_token = TOKENS_PER_CHUNK.read(run, "min") == TOKENS_PER_CHUNK.read(run, "max") == 1
    return [TOKEN_GAP] if each_is_one_token else [CHUNK_GAP, TOKEN_GAP]


def _each_gap(selection: RunSelection, make: Make) -> Iterable[Chart | None]:
    yield from (_histogram_of(gap)(selection, PlotOptions()) for gap in _gaps(selection.runs[0]))


def _timeline(run: OneRun, outline: Outline) -> Chart:
    by_caller = shape_class(run.document["spec"]["shape"]).has_steady_state
    return timeline_chart(outline["requests"], run.document.get("window"), by_slot=by_caller)


def _over_time(run: OneRun, outline: Outline) -> Chart | None:
    return over_time_chart(run.document.get("window"), outline["over_time"], run.samples, run.gpus)


def _of_experts(chart: Callable[[Sequence[NamedCounts]], Chart | None]) -> Make:
    return lambda selection, options: chart(counts_of_runs(selection.runs, selection.names))


_EVALUATE = "no server of theirs was evaluated: run `loadgen accuracy` on it, or sweep with --accuracy"
_COUNT = "measure with --experts"

PLOTS: tuple[Plot, ...] = (
    Plot("ttft", tells="time to first token along the load", make=_latency(_only(TTFT)), has_bars=True),
    Plot("gap", tells="the time between tokens, or chunks, along the load", make=_latency(gap_figure), has_bars=True),
    Plot(
        "throughput",
        tells="output tokens per second along the load",
        make=_by_documents(throughput_chart),
        has_bars=True,
    ),
    Plot("energy", tells="joules per output token along the load", make=_energy, has_bars=True),
    Plot("load", tells="any metric along the load", make=_by_figure(figure_chart), has_bars=True, metric=TPOT.key),
    Plot("pareto", tells="throughput of a GPU against what each of its users gets", make=_by_documents(pareto_chart)),
    Plot(
        "speedup",
        tells="how much faster drafts make a server, against the share of them accepted",
        make=_by_documents(speedup_chart),
        has_bars=True,
        needs="name a sweep with drafts, and one without them on the same model under the same load",
    ),
    Plot(
        "accuracy",
        tells="accuracy against output tokens per second",
        make=lambda selection, options: accuracy_chart(selection, THROUGHPUT),
        needs=_EVALUATE,
    ),
    Plot(
        "accuracy-latency",
        tells="accuracy against end-to-end latency",
        make=lambda selection, options: accuracy_chart(selection, E2E_LATENCY),
        needs=_EVALUATE,
    ),
    Plot(
        "goodput",
        tells="requests per second that met the SLO along the load",
        make=_by_documents(goodput_chart),
        has_bars=True,
    ),
    Plot(
        "heat-map",
        tells="a metric over load and length together",
        make=_by_figure(heat_map),
        metric=THROUGHPUT.key,
        on_page=_throughput_and_ttft(_lengths_vary),
    ),
    Plot(
        "repeats",
        tells="how far three repeats or more lie apart",
        make=_by_figure(repeats_chart),
        metric=THROUGHPUT.key,
        on_page=_throughput_and_ttft(_repeats_fill_a_box),
    ),
    Plot(
        "ttft-cdf",
        tells="time to first token of each run, cumulative",
        make=_cumulative(_only(TTFT)),
        on_page=_of_each_point(_only(TTFT)),
    ),
    Plot(
        "gap-cdf",
        tells="the time between tokens, or chunks, of each run, cumulative",
        make=_cumulative(gap_figure),
        on_page=_of_each_point(gap_figure),
    ),
    Plot("tpot-cdf", tells="the time per output token of each run, cumulative", make=_cumulative(_only(TPOT))),
    Plot("e2e-cdf", tells="the time of whole answers of each run, cumulative", make=_cumulative(_only(E2E_LATENCY))),
    Plot("experts", tells="how often each expert of each layer is chosen", make=_of_experts(expert_map), needs=_COUNT),
    Plot(
        "distinct-experts",
        tells="distinct experts in one step against the formula, along its tokens",
        make=_of_experts(distinct_experts_chart),
        needs=_COUNT,
    ),
    Plot("ttft-histogram", of="run", tells="how time to first token is distributed", make=_histogram_of(TTFT)),
    Plot(
        "gap-histogram",
        of="run",
        tells="how the time between tokens is distributed",
        make=_of_run(lambda run, outline: _histogram(_gaps(run.document)[0], run.document, outline)),
        on_page=_each_gap,
    ),
    Plot("tpot-histogram", of="run", tells="how the time per output token is distributed", make=_histogram_of(TPOT)),
    Plot(
        "e2e-histogram", of="run", tells="how the time of whole answers is distributed", make=_histogram_of(E2E_LATENCY)
    ),
    Plot("timeline", of="run", tells="when each request waited and was answered", make=_of_run(_timeline)),
    Plot(
        "over-time", of="run", tells="tokens/s, requests, KV cache and power on one time axis", make=_of_run(_over_time)
    ),
)
EXPERTS = ("experts", "distinct-experts")
SWEEP_PAGE = (
    *("ttft", "gap", "throughput", "energy", "pareto", "goodput", "ttft-cdf", "gap-cdf", "repeats", "heat-map"),
    *EXPERTS,
)
HISTOGRAMS = ("ttft-histogram", "gap-histogram", "tpot-histogram", "e2e-histogram")


def plot(name: str) -> Plot:
    """The chart of this name. Raises UsageError, which lists them, for any other."""
    for each in PLOTS:
        if each.name == name:
            return each
    raise UsageError(f"there is no chart '{name}'; {hint(name, [each.name for each in PLOTS], kind='charts')}")


def sweep_page_charts(selection: RunSelection) -> tuple[Chart, ...]:
    return tuple(chart for name in SWEEP_PAGE for chart in plot(name).page_charts(selection))


def run_page_charts(run: OneRun) -> tuple[tuple[Chart, ...], Chart, Chart | None]:
    """The distributions and experts of a run's page, in order, its timeline, and its course over time where there is one.

    Without an outline a sentence stands in their place.
    """
    selection = RunSelection((run.document,), {}, lambda _: run)
    experts = tuple(chart for name in EXPERTS for chart in plot(name).page_charts(selection))
    if run.outline is None:
        return experts, WITHOUT_REQUESTS, None
    distributions = tuple(chart for name in HISTOGRAMS for chart in plot(name).page_charts(selection)) + experts
    (timeline,), over_time = plot("timeline").page_charts(selection), plot("over-time").page_charts(selection)
    return distributions, timeline, over_time[0] if over_time else None
