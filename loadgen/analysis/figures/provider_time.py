"""What a provider says of its own time, beside ours: the `time_info` that Cerebras sends at the end of each answer, in seconds.

The provider's clock measures spans within itself, ours what reaches this host; between the two
lie the network, the provider's front end, and whatever it does not count.
"""

from collections.abc import Callable

import numpy as np

from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray
from loadgen.engine.records.record import Int64

# A provider that says it of none of the first answers says it of none; to ask each of a million takes seconds.
_LOOKED_AT = 8


def _reported_s(measured: Measured, *keys: str) -> FloatArray:
    """The sum of these spans for each answered request, NaN where any was not told."""
    rows = np.flatnonzero(measured.answered)
    timing = measured.records.server_timing
    if all(timing[row] is None for row in rows[:_LOOKED_AT].tolist()):
        return np.full(len(rows), np.nan)
    return np.array([_sum_s(timing[row], keys) for row in rows.tolist()], dtype=np.float64)


def _sum_s(timing: object, keys: tuple[str, ...]) -> float:
    return sum(float("nan") if (told := reported_span_s(timing, key)) is None else told for key in keys)


def reported_span_s(timing: object, key: str) -> float | None:
    """One span of what a provider says of its own time; None if it does not tell it."""
    value = timing.get(key) if isinstance(timing, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _known(values_s: FloatArray) -> FloatArray:
    return values_s[np.isfinite(values_s)]


def _span(key: str) -> Callable[[Measured], FloatArray]:
    return lambda measured: _known(_reported_s(measured, key))


def _less(edge_ns: Callable[[Measured], Int64], *keys: str) -> Callable[[Measured], FloatArray]:
    def compute(measured: Measured) -> FloatArray:
        rows = measured.answered
        took_s = (edge_ns(measured)[rows] - measured.records.sent_ns[rows]) / 1e9
        return _known(took_s - _reported_s(measured, *keys))

    return compute


def _metric(key: str, label: str, formula: str, compute: Callable[[Measured], FloatArray]) -> Figure:
    key = f"provider_time.{key}"
    return Figure(key=key, label=label, unit="s", kind="distribution", formula=formula, compute=compute)


PROVIDER_METRICS: tuple[Figure, ...] = (
    _metric("queue_s", "Queue (provider)", "`time_info.queue_time`", _span("queue_time")),
    _metric("prompt_s", "Prompt (provider)", "`time_info.prompt_time`", _span("prompt_time")),
    _metric("completion_s", "Completion (provider)", "`time_info.completion_time`", _span("completion_time")),
    _metric("total_s", "Total (provider)", "`time_info.total_time`", _span("total_time")),
    _metric(
        "ttft_less_queue_s",
        "TTFT less queue",
        "first content arrival − sent − `time_info.queue_time`",
        _less(lambda measured: measured.first_ns, "queue_time"),
    ),
    _metric(
        "ttft_less_queue_and_prompt_s",
        "TTFT less queue and prompt",
        "first content arrival − sent − `time_info.queue_time` − `time_info.prompt_time`",
        _less(lambda measured: measured.first_ns, "queue_time", "prompt_time"),
    ),
    _metric(
        "e2e_less_total_s",
        "End-to-end less total",
        "last content arrival − sent − `time_info.total_time`",
        _less(lambda measured: measured.last_ns, "total_time"),
    ),
)
