"""Evenness of experts as figures of a run, also of documents that contradict themselves."""

from typing import Any, cast

import pytest

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import FIGURES

COUNTS: dict[str, Any] = {
    "schema_version": 1,
    "model": "m",
    "source": "worker_extension",
    "experts_per_token": 1,
    "tokens": 10,
    "layers": [{"layer": 0, "counts": [5, 5]}, {"layer": 1, "counts": [10, 0]}],
}
KEYS = ("expert_max_over_mean", "expert_entropy_ratio", "expert_gini_ratio", "expert_max_count")


def figures(experts: object) -> list[float | None]:
    run = cast(RunDocument, {"experts": experts})
    return [FIGURES[key].read(run) for key in KEYS]


def test_figures_are_means_over_the_layers_and_the_largest_count() -> None:
    assert figures(COUNTS) == pytest.approx([1.5, 0.5, 0.25, 10])


@pytest.mark.parametrize(
    "experts",
    [
        None,
        COUNTS | {"tokens": 11},
        COUNTS | {"layers": []},
        COUNTS | {"layers": [{"layer": 0, "counts": [10**30, 0]}]},
    ],
)
def test_without_counts_that_can_be_they_are_unknown(experts: object) -> None:
    assert figures(experts) == [None] * 4
