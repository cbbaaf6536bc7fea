"""Runs pooled to points: what runs along x, what makes lines, who is left out, and what an interval is."""

import pytest

from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.report.points import axes, points, pool, spread_label
from tests.report.documents import Document, measured_run, specs


def documents(
    shapes: list[LoadShape], input_tokens: tuple[int, ...] = (32,), repeats: int = 1, statuses: tuple[str, ...] = ()
) -> list[Document]:
    planned = specs(shapes, input_tokens, 4, repeats, requests_per_slot=4)
    padded = [*statuses, *["valid"] * (len(planned) - len(statuses))]
    return [measured_run(spec, "s1", status=status)[0] for spec, status in zip(planned, padded, strict=True)]


@pytest.mark.parametrize(
    ("shapes", "lengths", "x_label", "series"),
    [
        ([ClosedLoop(1), ClosedLoop(4)], (32,), "Concurrency", [""]),
        ([ClosedLoop(1), ClosedLoop(4)], (32, 64), "Concurrency", ["32 in", "64 in"]),
        ([ClosedLoop(4)], (32, 64), "Input tokens", [""]),
        ([OpenLoop(2.5), OpenLoop(8.0)], (32,), "Offered rate (requests/s)", [""]),
        ([Wave(2), Wave(4)], (32,), "Wave size (requests)", [""]),
        ([ClosedLoop(4)], (32,), "Concurrency", [""]),
        ([ClosedLoop(2), Wave(4)], (32,), "Load", ["closed loop", "wave"]),
    ],
)
def test_what_varies_runs_along_x_and_the_rest_makes_lines(
    shapes: list[LoadShape], lengths: tuple[int, ...], x_label: str, series: list[str]
) -> None:
    runs = documents(shapes, lengths)
    along = axes(runs)
    assert along.x_label == x_label
    assert sorted({point.series for point in points(runs, along)}) == sorted(series)


def test_lines_and_points_stand_in_the_order_of_their_numbers_not_of_their_names() -> None:
    runs = documents([ClosedLoop(16), ClosedLoop(2)], (1024, 128))
    assert [(point.series, point.x) for point in points(runs, axes(runs))] == [
        ("128 in", 2.0),
        ("128 in", 16.0),
        ("1,024 in", 2.0),
        ("1,024 in", 16.0),
    ]


def test_repeats_are_one_point_and_an_invalid_one_is_not_in_it() -> None:
    runs = documents([ClosedLoop(2)], repeats=3, statuses=("valid", "invalid", "doubtful"))
    (point,) = points(runs, axes(runs))
    assert [run["verdict"]["status"] for run in point.runs] == ["valid", "doubtful"]
    assert point.status == "doubtful"


def test_a_point_without_a_usable_run_is_not_drawn() -> None:
    runs = documents([ClosedLoop(2)], statuses=("invalid",))
    assert points(runs, axes(runs)) == []


def test_a_pooled_figure_is_the_mean_with_its_t_interval_and_refused_values_are_left_out() -> None:
    pooled = pool([1.0, None, 2.0, 3.0])
    assert pooled is not None
    assert (pooled.mean, pooled.runs) == (2.0, 3)
    # t with two degrees of freedom, 4.303, times s/√3 = 0.577
    assert pooled.low == pytest.approx(2 - 4.303 / 3**0.5, abs=1e-3)
    assert pooled.high == pytest.approx(2 + 4.303 / 3**0.5, abs=1e-3)


def test_two_repeats_are_too_few_for_an_interval_and_give_their_range() -> None:
    pooled = pool([3.0, None, 1.0])
    assert pooled is not None
    assert (pooled.mean, pooled.low, pooled.high, pooled.runs) == (2.0, 1.0, 3.0, 2)


@pytest.mark.parametrize(
    ("repeats", "label"),
    [
        ([3, 4, 1], "95 % interval"),
        ([2, 1], "range of repeats"),
        ([2, 3], "95 % interval (range under 3 runs)"),
    ],
)
def test_what_low_to_high_is_called(repeats: list[int], label: str) -> None:
    assert spread_label(repeats) == label


def test_one_run_has_no_interval_and_no_value_no_point() -> None:
    single = pool([1.5])
    assert single is not None
    assert (single.low, single.high) == (None, None)
    assert pool([None, None]) is None
