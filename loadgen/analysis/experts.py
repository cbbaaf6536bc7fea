"""Figures of how evenly a run used its experts, where they were counted: means over the layers, and the largest count."""

from collections.abc import Callable

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.moe.expert_counts import ExpertCounts, ExpertCountsDocument, LayerFigures, expert_counts_from_json


def counts_of_run(run: RunDocument) -> ExpertCounts | None:
    """Return the counts of a run; None if it has none, or an imported document has some that contradict each other."""
    document: ExpertCountsDocument | None = run.get("experts")
    if document is None:
        return None
    try:
        return expert_counts_from_json(document)
    except (ValueError, OverflowError):
        return None


def _mean_of(figure: Callable[[LayerFigures], float | None]) -> Callable[[RunDocument, str], float | None]:
    """The mean of a layer's figure over the layers of a run; None if it has no counts."""

    def derive(run: RunDocument, statistic: str) -> float | None:
        counts = counts_of_run(run)
        layers = () if counts is None else counts.figures()
        values = [value for value in map(figure, layers) if value is not None]
        return sum(values) / len(values) if values else None

    return derive


def _largest_count(run: RunDocument, statistic: str) -> float | None:
    counts = counts_of_run(run)
    return None if counts is None else float(counts.counts.max())


EXPERT_FIGURES = (
    Figure(
        key="expert_max_over_mean",
        label="Busiest expert over the mean",
        unit="times",
        formula="mean over layers of (largest count/mean count)",
        derive=_mean_of(lambda layer: layer.max_over_mean),
    ),
    Figure(
        key="expert_entropy_ratio",
        label="Entropy of experts",
        unit="ratio",
        formula="mean over layers of (−Σ p·ln p/ln E), p the share of each of E experts",
        derive=_mean_of(lambda layer: layer.entropy_ratio),
    ),
    Figure(
        key="expert_gini_ratio",
        label="Gini of experts",
        unit="ratio",
        formula="mean over layers of the Gini coefficient of the counts",
        derive=_mean_of(lambda layer: layer.gini),
    ),
    Figure(
        key="expert_max_count",
        label="Largest expert count",
        unit="tokens",
        formula="the largest count of an expert in any layer",
        derive=_largest_count,
    ),
)
