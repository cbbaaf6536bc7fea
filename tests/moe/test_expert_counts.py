"""Counts of experts: the figures of a layer by hand-made cases, the file format, and what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from loadgen.errors import UsageError
from loadgen.moe import expert_counts


def counts(
    rows: list[list[int]], *, top_k: int = 1, steps: tuple[expert_counts.StepSize, ...] | None = None
) -> expert_counts.ExpertCounts:
    table = np.array(rows, dtype=np.int64)
    return expert_counts.ExpertCounts(
        model="m",
        source="worker_extension",
        experts_per_token=top_k,
        layers=tuple(range(1, len(rows) + 1)),
        counts=table,
        tokens=int(table[0].sum()) // top_k,
        step_sizes=steps,
    )


@pytest.mark.parametrize(
    ("row", "ratio", "entropy", "unevenness"),
    [
        ([5, 5, 5, 5], 1.0, 1.0, 0.0),
        ([20, 0, 0, 0], 4.0, 0.0, 0.75),
        ([10, 10, 0, 0], 2.0, 0.5, 0.5),
        ([1, 2, 3, 4], 1.6, None, 0.25),
        ([7], 1.0, 1.0, 0.0),
        ([0, 0], None, None, None),
    ],
)
def test_figures_of_a_layer(row: list[int], ratio: float, entropy: float | None, unevenness: float) -> None:
    table = np.array(row, dtype=np.int64)
    assert expert_counts.max_over_mean(table) == (None if ratio is None else pytest.approx(ratio))
    assert expert_counts.gini(table) == (None if unevenness is None else pytest.approx(unevenness))
    if entropy is not None or not table.sum():
        assert expert_counts.entropy_ratio(table) == (None if entropy is None else pytest.approx(entropy))


def test_entropy_of_unequal_counts_is_shannons() -> None:
    shares = [0.1, 0.2, 0.3, 0.4]
    expected = -sum(p * math.log(p) for p in shares) / math.log(4)
    assert expert_counts.entropy_ratio(np.array([1, 2, 3, 4])) == pytest.approx(expected)


def test_figures_name_the_layers_by_their_number_in_the_model() -> None:
    figures = counts([[4, 4], [8, 0]]).figures()
    assert [(each.layer, each.unused_experts) for each in figures] == [(1, 0), (2, 1)]
    assert list(counts([[4, 4], [8, 0]]).of_layer(2)) == [8, 0]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = counts(
        [[4, 4, 0], [2, 2, 4]], top_k=2, steps=(expert_counts.StepSize(1, 3, 12), expert_counts.StepSize(4, 2, 11))
    )
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(written.to_json()))
    read = expert_counts.read_expert_counts(path)
    assert read.to_json() == written.to_json()
    assert read.counts.dtype == np.int64


def test_steps_may_be_left_out() -> None:
    document = counts([[1, 1]]).to_json()
    del document["step_sizes"]
    assert expert_counts.expert_counts_from_json(document).step_sizes is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"source": "guess"}, "source"),
        ({"layers": []}, "there must be a layer"),
        ({"layers": [{"layer": 1, "counts": [1, 1]}, {"layer": 2, "counts": [2]}]}, "same number of experts"),
        ({"layers": [{"layer": 2, "counts": [1, 1]}, {"layer": 1, "counts": [1, 1]}]}, "ascend"),
        ({"layers": [{"layer": 1, "counts": [-1, 3]}]}, "may be below 0"),
        ({"tokens": 3}, "add up to"),
        ({"experts_per_token": 3}, "between 1 and"),
        ({"layers": [{"layer": 1, "counts": [10**30, 0]}], "tokens": 10**30}, "no expert counts"),
        ({"step_sizes": [{"tokens": 1, "steps": 0, "distinct_experts": 0}]}, "at least one step"),
        ({"step_sizes": [{"tokens": 1, "steps": 1, "distinct_experts": -1}]}, "step_sizes"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({**counts([[1, 1]]).to_json(), **change}))
    with pytest.raises(UsageError, match=complaint) as refused:
        expert_counts.read_expert_counts(path)
    assert "loadgen moe experts" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"null"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "counts.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no expert counts"):
        expert_counts.read_expert_counts(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the expert counts .*none\.json: No such file"):
        expert_counts.read_expert_counts(tmp_path / "none.json")


def test_ranks_add_up() -> None:
    one = counts([[4, 4], [8, 0]], steps=(expert_counts.StepSize(1, 2, 4), expert_counts.StepSize(3, 1, 3)))
    other = counts([[1, 0], [0, 1]], steps=(expert_counts.StepSize(3, 2, 7),))
    both = one + other
    assert both.counts.tolist() == [[5, 4], [8, 1]]
    assert both.tokens == 9
    assert both.step_sizes is not None
    assert both.step_sizes == (expert_counts.StepSize(1, 2, 4), expert_counts.StepSize(3, 3, 10))


def test_counts_of_another_shape_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        counts([[1, 1]]) + counts([[1, 0, 1]])


def test_measured_distinct_experts_lie_between_the_sizes_that_occurred() -> None:
    measured = counts([[4, 4, 4], [4, 4, 4]], steps=(expert_counts.StepSize(1, 2, 4), expert_counts.StepSize(5, 1, 5)))
    assert measured.measured_distinct(1) == 1.0
    assert measured.measured_distinct(3) == pytest.approx(1.75)
    assert measured.measured_distinct(5) == 2.5
    assert measured.measured_distinct(6) is None
    assert counts([[1, 1]]).measured_distinct(1) is None


def test_expected_distinct_experts_are_the_rooflines() -> None:
    assert counts([[2] * 8], top_k=2).expected_distinct(3) == pytest.approx(8 * (1 - 0.75**3))


@pytest.mark.parametrize(
    ("experts", "top_k", "tokens", "distinct"),
    [
        (4, 1, 1, 1.0),
        (4, 1, 4, 2.0),
        (4, 1, 2.5, 1.5),
        (4, 1, 8, 4 * (1 - 0.75**8) * 2 / (4 * (1 - 0.75**4))),  # beyond: as far below the formula as the nearest
        (8, 1, 4, 8 * (1 - 0.875**4)),  # other experts: the formula
    ],
)
def test_the_roofline_takes_what_was_measured(experts: int, top_k: int, tokens: float, distinct: float) -> None:
    measured = counts([[4, 4, 0, 0]], steps=(expert_counts.StepSize(1, 2, 2), expert_counts.StepSize(4, 1, 2)))
    assert measured.distinct_experts(experts, top_k, tokens) == pytest.approx(distinct)


def test_no_more_experts_are_read_than_there_are() -> None:
    measured = counts([[4, 4, 4, 4]], steps=(expert_counts.StepSize(4, 1, 4),))
    assert measured.distinct_experts(4, 1, 1000) == 4
