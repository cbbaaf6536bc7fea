"""Figures with intervals, and their ratios."""

import gzip
import json
import math
from pathlib import Path

import pytest

from loadgen.analysis.figure_table import FIGURES
from loadgen.study.estimate import estimate, mean_ratio, single_run_ratio

RESULTS = Path(__file__).resolve().parents[2] / "results"


def test_repeats_have_the_interval_of_their_mean() -> None:
    found = estimate([99.0, 100.0, 101.0])
    assert found is not None
    assert found.value == 100
    half = 4.302653 * 1 / math.sqrt(3)  # Student's t with two degrees of freedom
    assert (found.low, found.high) == pytest.approx((100 - half, 100 + half), rel=1e-5)
    assert (found.runs, found.assumed) == (3, False)


def test_a_single_run_and_a_prediction_have_stated_intervals() -> None:
    single, predicted = estimate([100.0]), estimate([100.0, 100.0], is_simulated=True)
    assert single is not None
    assert predicted is not None
    assert (single.low, single.high) == pytest.approx((95.238, 105), abs=1e-3)
    assert (predicted.low, predicted.high) == pytest.approx((90.909, 110), abs=1e-3)
    assert single.assumed
    assert predicted.assumed


@pytest.mark.parametrize("values", [[], [0.0, 1.0], [-1.0]])
def test_what_has_no_ratio_has_no_estimate(values: list[float]) -> None:
    assert estimate(values) is None


def test_a_ratio_is_as_uncertain_as_both_sides_together() -> None:
    a, b = estimate([200.0]), estimate([100.0])
    assert a is not None
    assert b is not None
    ratio = a.over(b)
    spread = math.exp(math.hypot(math.log(1.05), math.log(1.05)))
    assert ratio.value == 2
    assert (ratio.low, ratio.high) == pytest.approx((2 / spread, 2 * spread))
    assert ratio.inverse.value == 0.5
    mean = mean_ratio([ratio, ratio.inverse])
    assert mean.value == pytest.approx(1)
    assert mean.high < ratio.high / ratio.value


@pytest.mark.parametrize(
    ("metric", "wave_s", "ratio"),
    [
        ("output_tokens_per_s", 0.5, 0.11),
        ("e2e_latency_s", 1.9, 0.11),
        ("e2e_latency_s", 2.1, 0.05),
        ("output_tokens_per_s", None, 0.05),
        ("paper.ttft_s", 0.5, 1.15),
        ("ttft_s", 3.0, 0.60),
        ("ttft_s", None, 0.05),
        ("paper.itl_s", 0.5, 0.05),
        ("tpot_s", 3.0, 0.05),
    ],
)
def test_a_single_wave_is_less_certain_the_shorter_it_is(metric: str, wave_s: float | None, ratio: float) -> None:
    assert single_run_ratio(metric, wave_s) == ratio


@pytest.mark.parametrize(
    "metric", ["output_tokens_per_s", "e2e_latency_s", "ttft_s", "paper.ttft_s", "paper.itl_s", "tpot_s"]
)
def test_no_wave_that_was_sent_twice_differs_by_more_than_a_single_one_is_taken_to(metric: str) -> None:
    """The measurements that the ratios are from."""
    found = 0
    for length in (128, 256, 512):
        path = RESULTS / f"2026-11-30-h200-deepseek-v2-lite-dummy-waves-{length}.json.gz"
        runs = json.loads(gzip.decompress(path.read_bytes()))["runs"]
        by_size = {(run["spec"]["shape"]["size"], run["repeat"]): run for run in runs}
        for size in {size for size, _ in by_size}:
            first, second = by_size[size, 0], by_size[size, 1]
            values = [FIGURES[metric].read(run, "p50") for run in (first, second)]
            low, high = sorted(value for value in values if value is not None)
            wave_s = (first["elapsed_s"] + second["elapsed_s"]) / 2
            assert high / low <= 1 + single_run_ratio(metric, wave_s)
            found += 1
    assert found == 21
