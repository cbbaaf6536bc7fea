"""The charts of a sweep: TTFT, the gap and the output throughput along whatever the sweep varied.

Works on run documents alone. Invalid runs are left out; a point is the
mean over its repeats, its bar the 95 % interval of that mean, or the range of the repeats when there are only two.
"""

from collections.abc import Callable, Mapping, Sequence

from loadgen.report.charts.chart import Chart, labelled
from loadgen.report.charts.load_charts import Row, load_chart, load_rows
from loadgen.report.points import FEWEST_FOR_INTERVAL, Axes, Document, Point, axes, points

TAILS = ("p99", "p95", "p90")


def statistic(metric: str, name: str) -> Callable[[Document], float | None]:
    """Reads one statistic of a distribution metric from a run document."""

    def read(run: Document) -> float | None:
        distribution = run.get(metric)
        value: float | None = distribution.get(name) if distribution else None
        return value

    return read


def tail(metric: str, drawn: Sequence[Point]) -> str | None:
    """The highest percentile that every point has, else the highest that any has, else None."""
    for share in (all, any):
        for name in TAILS:
            if share(point.pooled(statistic(metric, name)) is not None for point in drawn):
                return name
    return None


def highest(metric: str, runs: Sequence[Document]) -> str | None:
    """The highest percentile above the median that every one of the runs has, None where even p90 was refused."""
    return next((name for name in TAILS if all(statistic(metric, name)(run) is not None for run in runs)), None)


def gap_metric(runs: Sequence[Document]) -> str:
    """The gap that all these runs can be shown by: `token_gap_s` when the tokens of each chunk are known, else `chunk_gap_s`.

    The two are never mixed under one heading. Runs without any gap, such as those of one token, have no say.
    """
    with_gaps = [run for run in runs if statistic("chunk_gap_s", "p50")(run) is not None]
    known = [statistic("token_gap_s", "p50")(run) is not None for run in with_gaps]
    return "token_gap_s" if known and all(known) else "chunk_gap_s"


def sweep_charts(runs: Sequence[Document], names: Mapping[str, str] | None = None) -> tuple[Chart, ...]:
    """The charts of a sweep's page, in order; of several sweeps by their `names`, each with lines of its own."""
    along = axes(runs, names)
    drawn = points(runs, along)
    gap = gap_metric(runs)
    charts = (
        _latency("ttft_s", "TTFT", along, drawn, slo_limit("ttft_s", runs)),
        _latency(gap, "Token gap" if gap == "token_gap_s" else "Chunk gap", along, drawn),
        _throughput(along, drawn),
        *_energy(along, drawn),
    )
    return labelled(charts, runs)


def slo_limit(metric: str, runs: Sequence[Document]) -> float | None:
    """The limit on this metric that all of these runs were judged by; None where they have none, or not the same."""
    limits = {(run["spec"].get("slo") or {}).get(metric) for run in runs}
    return limits.pop() if len(limits) == 1 else None


def _latency(metric: str, title: str, along: Axes, drawn: Sequence[Point], limit_s: float | None = None) -> Chart:
    rows: list[Row] = []
    high = tail(metric, drawn) if drawn else None
    for name in ("p50", high):
        if name is not None:
            rows += load_rows(drawn, name, statistic(metric, name))
    words = []
    if rows and high != "p99":
        shown = f"{high} is drawn where there are enough" if high else "only the median is shown"
        words.append(f"p99 needs 1,000 values in a run; {shown}.")
    return load_chart(metric, title, "s", words, along, rows, limit_s)


def _throughput(along: Axes, drawn: Sequence[Point]) -> Chart:
    rows = load_rows(drawn, "", lambda run: run.get("output_tokens_per_s"))
    return load_chart("output_tokens_per_s", "Output throughput", "tokens/s", [], along, rows)


def _energy(along: Axes, drawn: Sequence[Point]) -> tuple[Chart, ...]:
    """One chart where the server's GPUs were read, else none."""
    rows = load_rows(drawn, "", lambda run: (run.get("gpu") or {}).get("energy_per_output_token_j"))
    words = ["Energy of the server's GPUs over the measured window."]
    return (
        (load_chart("energy_per_output_token_j", "Energy per output token", "J", words, along, rows),) if rows else ()
    )


def reading_note(runs: Sequence[Document], names: Mapping[str, str] | None = None) -> str:
    """How to read the charts of a sweep: what a mark, a bar and a hollow mark are. Empty for single valid runs."""
    drawn = points(runs, axes(runs, names))
    words = []
    repeats = [len(point.runs) for point in drawn if len(point.runs) > 1]
    if repeats:
        few, many = min(repeats) < FEWEST_FOR_INTERVAL, max(repeats) >= FEWEST_FOR_INTERVAL
        bars = []
        if many:
            bars.append("the 95 % interval of that mean")
        if few:
            bars.append("the least and greatest repeat" + (" where there are only two" if many else ""))
        words.append(f"Marks are means over the repeats of a point; bars, {', or '.join(bars)}.")
    if any(point.status == "doubtful" for point in drawn):
        words.append("Hollow marks are doubtful.")
    if drawn and any(run["verdict"]["status"] == "invalid" for run in runs):
        words.append("Invalid runs are left out.")
    return " ".join(words)
