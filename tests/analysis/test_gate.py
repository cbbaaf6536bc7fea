"""The gate: what passes, what fails, and what it cannot judge and so does not pass."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from loadgen.analysis.compare import compare
from loadgen.analysis.gate import Gate, gate
from tests.analysis.test_compare import run

Document = Any
RATE = ("output_tokens_per_s",)


def side(*rates: float, **spec: Any) -> list[Document]:
    return [run(number, rate, 10 / (rate or 1.0), **spec) for number, rate in enumerate(rates)]


def judged(a: list[Document], b: list[Document], metrics: tuple[str, ...] = RATE, **asked: Any) -> Gate:
    return gate([compare(a, b, metrics=metrics, **asked)], metrics)


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ((100, 101, 99), (100, 101, 99), "passed"),  # no change
        ((100, 101, 99), (130, 131, 129), "passed"),  # better
        ((100, 101, 99), (80, 81, 79), "failed"),  # worse
        ((100, 101, 99), (100.5, 101.5, 99.4), "passed"),  # less than the limit
        ((100, 120, 80), (130, 90, 140), "inconclusive"),  # wide on both sides
        ((100, 101, 102), (150, 105, 120), "inconclusive"),  # probably better, and perhaps not
        ((100,), (20,), "inconclusive"),
        ((100,), (100,), "inconclusive"),
        ((100, 101, 99), (100,), "inconclusive"),
        ((0, 0, 0), (0, 0, 0), "passed"),
        ((0, 0, 0), (5, 6, 7), "passed"),  # more throughput than none
    ],
)
def test_a_figure_passes_only_if_it_is_certainly_not_worse(
    a: tuple[float, ...], b: tuple[float, ...], outcome: str
) -> None:
    assert judged(side(*a), side(*b)).outcome == outcome


def test_an_interval_that_reaches_only_to_the_good_side_passes() -> None:
    a = [run(number, ttft_s=value) for number, value in enumerate((0.100, 0.101, 0.099))]
    b = [run(number, ttft_s=value) for number, value in enumerate((0.094, 0.090, 0.085))]
    found = judged(a, b, ("ttft_s",), smallest_change_ratio=0.1)
    assert found.outcome == "passed", found


def _without(key: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document[key] = None

    return change


@pytest.mark.parametrize("key", ["ttft_s", "e2e_latency_s", "output_tokens_per_s", "requests_per_s"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_figure_that_b_lacks_is_not_passed(key: str, asked: bool) -> None:
    a, b = side(100, 101, 99), side(100, 101, 99)
    _without(key)(b[0])
    found = judged(a, b, (key,) if asked else ())
    assert found.outcome == "inconclusive"
    assert any("B lacks it" in each for each in found.inconclusive)


def test_a_metric_asked_for_that_neither_has_is_not_passed() -> None:
    a, b = side(100, 101, 99), side(100, 101, 99)
    for document in (*a, *b):
        _without("tpot_s")(document)
    assert judged(a, b, ("tpot_s",)).outcome == "inconclusive"
    assert judged(a, b, ()).outcome == "passed"


def test_a_load_point_that_b_lost_is_not_passed_and_one_that_it_gained_is_no_matter() -> None:
    less, more = side(100, 101, 99), side(100, 101, 99)
    further = deepcopy(more)
    for document in further:
        document["spec"]["shape"] = {"kind": "closed_loop", "concurrency": 8}
        document["spec"]["load_label"] = "concurrency 8"
    assert judged([*more, *further], less).outcome == "inconclusive"
    assert judged(less, [*more, *further]).outcome == "passed"


def test_invalid_runs_of_b_are_not_passed_over() -> None:
    a, b = side(100, 100.1, 99.9, 100), side(100, 100.1, 99.9, 100)
    b[3]["verdict"]["status"] = "invalid"
    assert judged(a, b).outcome == "inconclusive"
    assert judged(b, a).outcome == "passed"


def test_worse_wins_over_what_cannot_be_judged() -> None:
    found = judged(side(100, 101, 99), side(80, 81, 79), ("output_tokens_per_s", "tpot_s"))
    assert found.outcome == "failed"


def test_no_comparison_is_no_pass() -> None:
    assert gate([]).outcome == "inconclusive"
