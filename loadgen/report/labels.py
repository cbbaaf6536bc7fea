"""What a figure is called beside its value, where the name depends on the run."""

from collections.abc import Mapping
from typing import Any

from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METRICS
from loadgen.report.format import setting

_NAMES = {metric.key: metric.label for metric in METRICS}


def metric_label(metric: Figure, run: Mapping[str, Any]) -> str:
    """The metric's label; goodput never without the SLO that it was judged by: `Goodput (TTFT ≤ 500 ms, TPOT ≤ 50 ms)`."""
    slo = run["spec"].get("slo") or {}
    if metric.key not in ("goodput_per_s", "goodput_ratio") or not slo:
        return metric.label
    return f"{metric.label} ({limits_label(slo)})"


def limits_label(slo: Mapping[str, float]) -> str:
    """The limits of an SLO: `TTFT ≤ 500 ms, TPOT ≤ 50 ms`."""
    return ", ".join(f"{_NAMES.get(key, key)} ≤ {setting(limit_s * 1000)} ms" for key, limit_s in slo.items())
