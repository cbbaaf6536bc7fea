"""The figures that a chart can draw of a run: its metrics, and those per GPU, per user and per token that follow from them.

A figure that a run does not have is None, never 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from loadgen.analysis.figures.metric import Metric
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.server.served_gpus import gpu_count

Document = dict[str, Any]
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
