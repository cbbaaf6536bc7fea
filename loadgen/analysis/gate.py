"""Whether B may pass where no figure may be worse than A: passed, failed, or inconclusive with the reasons.

A figure passes when its whole interval excludes a worsening beyond the smallest change that counts.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from loadgen.analysis.compare import ComparedFigure, ComparedPoint, Comparison
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METRICS

Outcome = Literal["passed", "failed", "inconclusive"]

# Without --metrics, the figures that B must have wherever A has them.
_EXPECTED = ("ttft_s", "e2e_latency_s", "output_tokens_per_s", "requests_per_s")


@dataclass(frozen=True, slots=True)
class Gate:
    """What one or more comparisons say together: names of the worse figures, and why others could not be judged."""

    worse: tuple[str, ...]
    inconclusive: tuple[str, ...]
    judged: int  # figures that are certainly not worse

    @property
    def outcome(self) -> Outcome:
        """Worse wins over inconclusive; nothing judged at all is inconclusive."""
        if self.worse:
            return "failed"
        return "inconclusive" if self.inconclusive or not self.judged else "passed"

    def to_json(self) -> dict[str, object]:
        return {"outcome": self.outcome, **asdict(self)}


def gate(comparisons: Sequence[Comparison], metrics: Sequence[str] = ()) -> Gate:
    """Judge all `comparisons`; `metrics` are those asked for, which both sides must have."""
    worse, inconclusive, judged = [], [], 0
    for found in comparisons:
        for point in found.points:
            load = point.a[0]["spec"]["load_label"]
            for figure in point.figures:
                name = f"{figure.metric.name(figure.part or '')} at {load}"
                if figure.answer == "worse":
                    worse.append(name)
                elif (reason := _unjudged(figure, found.smallest_change_ratio)) is not None:
                    inconclusive.append(f"{name}: {reason}")
                else:
                    judged += 1
            inconclusive += [f"{label} at {load}: B lacks it" for label in _missing(point, metrics)]
        inconclusive += [f"{run['spec']['load_label']}: B has no valid run of it" for run in found.only_a]
        if found.invalid_b:
            inconclusive.append(f"{len(found.invalid_b)} invalid run{'s' * (len(found.invalid_b) > 1)} of B left out")
    return Gate(tuple(worse), tuple(inconclusive), judged)


def _unjudged(figure: ComparedFigure, smallest: float) -> str | None:
    """Why the figure may be worse for all that is known; None if it certainly is not."""
    if figure.answer == "better":
        return None
    if figure.change is None:  # A is 0
        is_worse = figure.b > 0 if figure.metric.better == "lower" else figure.b < 0
        return "A is 0" if is_worse else None
    low, high = figure.change.low, figure.change.high
    if low is None or high is None:
        return "one run on a side"
    excluded = high <= smallest if figure.metric.better == "lower" else low >= -smallest
    return None if excluded else "the interval includes a worsening"


def _missing(point: ComparedPoint, metrics: Sequence[str]) -> list[str]:
    compared = {figure.metric.key for figure in point.figures}
    return [
        metric.label
        for metric in METRICS
        if metric.key in (metrics or _EXPECTED)
        and metric.key not in compared
        and (metrics or all(_has(metric, run) for run in point.a))
    ]


def _has(metric: Figure, run: RunDocument) -> bool:
    return metric.read(run, "n") not in (None, 0) if metric.is_distribution else metric.read(run) is not None
