"""The figures that a chart can draw of a run: its metrics, and those per GPU, per user and per token that follow from them.

A figure that a run does not have is None, never 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loadgen.analysis.figures.metric import Metric
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.server.served_gpus import gpu_count
from loadgen.report.points import FEWEST_FOR_INTERVAL, Document, Point, axes, points

TAILS = ("p99", "p95", "p90")
STATISTICS = ("p50", "p90", "p95", "p99", "mean", "min", "max")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a run. `read` takes the statistic too, which only a distribution heeds."""

    key: str
    label: str
    unit: str
    better: Literal["lower", "higher"] | None
    formula: str
    is_distribution: bool
    read: Callable[[Document, str], float | None]

    def name(self, statistic: str) -> str:
        """Its label with the statistic, where it has one: `TTFT p99`."""
        return f"{self.label} {statistic}" if self.is_distribution else self.label


def _of_metric(metric: Metric) -> Figure:
    is_distribution = metric.kind == "distribution"

    def read(run: Document, statistic: str) -> float | None:
        entry = metric.of(run)
        if is_distribution:
            entry = entry.get(statistic) if isinstance(entry, dict) else None
        return float(entry) if isinstance(entry, int | float) else None

    return Figure(metric.key, metric.label, metric.unit, metric.better, metric.formula, is_distribution, read)


def _per_gpu(run: Document, statistic: str) -> float | None:
    tokens_per_s, gpus = run.get("output_tokens_per_s"), gpu_count(run)
    return None if tokens_per_s is None or not gpus else tokens_per_s / gpus


def _per_user(run: Document, statistic: str) -> float | None:
    tpot_s = (run.get("tpot_s") or {}).get(statistic)
    return 1 / tpot_s if tpot_s else None


def _inside(part: str, key: str) -> Callable[[Document, str], float | None]:
    def read(run: Document, statistic: str) -> float | None:
        value: float | None = (run.get(part) or {}).get(key)
        return value

    return read


PER_GPU = Figure(
    key="output_tokens_per_s_per_gpu",
    label="Output throughput per GPU",
    unit="tokens/s",
    better="higher",
    formula="output throughput/GPUs of the server",
    is_distribution=False,
    read=_per_gpu,
)
PER_USER = Figure(
    key="output_tokens_per_s_per_user",
    label="Output speed per user",
    unit="tokens/s",
    better="higher",
    formula="1/TPOT",
    is_distribution=True,
    read=_per_user,
)
DERIVED = (
    PER_GPU,
    PER_USER,
    Figure(
        key="energy_per_output_token_j",
        label="Energy per output token",
        unit="J",
        better="lower",
        formula="energy of the server's GPUs in the window/output tokens in the window",
        is_distribution=False,
        read=_inside("gpu", "energy_per_output_token_j"),
    ),
    Figure(
        key="usd_per_million_output_tokens",
        label="Cost per million output tokens",
        unit="$",
        better="lower",
        formula="by the price that was given",
        is_distribution=False,
        read=_inside("cost", "usd_per_million_output_tokens"),
    ),
)

FIGURES: dict[str, Figure] = {figure.key: figure for figure in (*map(_of_metric, METRICS), *DERIVED)}
THROUGHPUT = FIGURES["output_tokens_per_s"]


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


def slo_limit(metric: str, runs: Sequence[Document]) -> float | None:
    """The limit on this metric that all of these runs were judged by; None where they have none, or not the same."""
    limits = {(run["spec"].get("slo") or {}).get(metric) for run in runs}
    return limits.pop() if len(limits) == 1 else None


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
