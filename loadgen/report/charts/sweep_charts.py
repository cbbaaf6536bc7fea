"""The charts of a sweep: TTFT, the gap and the output throughput along whatever the sweep varied.

Works on run documents alone. Invalid runs are left out; a point is the
mean over its repeats, its bar the 95 % interval of that mean, or the range of the repeats when there are only two.
"""

from collections.abc import Mapping, Sequence

from loadgen.analysis.figures.figure import Figure
from loadgen.report.charts.chart import Chart, labelled
from loadgen.report.charts.load_charts import Row, load_chart, load_rows
from loadgen.report.figures import ENERGY_PER_TOKEN, THROUGHPUT, TTFT, gap_figure, slo_limit, tail
from loadgen.report.points import Axes, Document, Point, axes, points


def sweep_charts(runs: Sequence[Document], names: Mapping[str, str] | None = None) -> tuple[Chart, ...]:
    """The charts of a sweep's page, in order; of several sweeps by their `names`, each with lines of its own."""
    along = axes(runs, names)
    drawn = points(runs, along)
    charts = (
        _latency(TTFT, along, drawn, slo_limit(TTFT, runs)),
        _latency(gap_figure(runs), along, drawn),
        _throughput(along, drawn),
        *_energy(along, drawn),
    )
    return labelled(charts, runs)


def _latency(figure: Figure, along: Axes, drawn: Sequence[Point], limit_s: float | None = None) -> Chart:
    rows: list[Row] = []
    high = tail(figure, drawn) if drawn else None
    for name in ("p50", high):
        if name is not None:
            rows += load_rows(drawn, name, figure.reader(name))
    words = []
    if rows and high != "p99":
        shown = f"{high} is drawn where there are enough" if high else "only the median is shown"
        words.append(f"p99 needs 1,000 values in a run; {shown}.")
    return load_chart(figure, rows, along=along, notes=words, limit=limit_s)


def _throughput(along: Axes, drawn: Sequence[Point]) -> Chart:
    rows = load_rows(drawn, "", THROUGHPUT.read)
    return load_chart(THROUGHPUT, rows, along=along)


def _energy(along: Axes, drawn: Sequence[Point]) -> tuple[Chart, ...]:
    """One chart where the server's GPUs were read, else none."""
    rows = load_rows(drawn, "", ENERGY_PER_TOKEN.read)
    words = ["Energy of the server's GPUs over the measured window."]
    return (load_chart(ENERGY_PER_TOKEN, rows, along=along, notes=words),) if rows else ()
