"""The search alone: made-up servers answer its runs, some of them noisy, and no run is ever sent."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from loadgen.errors import UsageError
from loadgen.experiments.search import Search, SearchTerms, search_of
from loadgen.inputs import Origin
from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.load.spec import RunSpec
from loadgen.spec.parse import make_spec

Document = Any


def answered(ratio: float | None, *invalid: str) -> Document:
    findings = [{"code": code, "severity": "invalid", "message": f"{code}."} for code in invalid]
    return {"goodput_ratio": ratio, "verdict": {"findings": findings}}


def the_search(low: float = 1, high: float = 64, *, rate: bool = False, **terms: Any) -> Search:
    load = {"rate": [low, high]} if rate else {"concurrency": [int(low), int(high)]}
    lengths = {"input_tokens": 8, "output_tokens": 8}
    spec = make_spec(
        {"url": "http://x", "model": "m", "slo": "ttft_s=0.1", "requests": 100, **lengths, **load}, Origin()
    )
    return search_of(spec, SearchTerms(low, high, **terms))


def load_of(run: RunSpec) -> float:
    assert isinstance(run.shape, ClosedLoop | OpenLoop)
    return run.shape.concurrency if isinstance(run.shape, ClosedLoop) else run.shape.rate_per_s


def carry_out(search: Search, server: Callable[[float, int], Document]) -> list[tuple[float, int]]:
    """Every run that the search asked for, as load and seed."""
    asked: list[tuple[float, int]] = []
    runs = search.runs()
    try:
        run = next(runs)
        while True:
            asked.append((load_of(run), run.seed))
            run = runs.send(server(load_of(run), run.seed))
    except StopIteration:
        return asked


def up_to(most: float) -> Callable[[float, int], Document]:
    return lambda load, seed: answered(1.0 if load <= most else 0.5)


def test_it_doubles_then_bisects_then_repeats_both_sides_of_the_edge() -> None:
    search = the_search()
    asked = carry_out(search, up_to(21))
    assert [load for load, seed in asked if seed == 0] == [1, 2, 4, 8, 16, 32, 24, 20, 22, 21]
    assert asked[-2:] == [(21, 1), (22, 1)]
    assert search.ended == "edge"
    assert search.highest_met is not None
    assert search.lowest_not_met is not None
    assert (search.highest_met.load, search.lowest_not_met.load) == (21, 22)


@pytest.mark.parametrize("most", range(1, 64))
def test_every_edge_is_found(most: int) -> None:
    search = the_search(tolerance_ratio=0.001)
    carry_out(search, up_to(most))
    assert search.highest_met is not None
    assert search.lowest_not_met is not None
    assert (search.highest_met.load, search.lowest_not_met.load) == (most, most + 1)


def test_a_rate_is_found_within_the_tolerance() -> None:
    search = the_search(0.5, 50, rate=True, tolerance_ratio=0.02)
    carry_out(search, up_to(7.77))
    assert search.highest_met is not None
    assert search.lowest_not_met is not None
    low, high = search.highest_met.load, search.lowest_not_met.load
    assert low <= 7.77 < high <= low * 1.02


def test_ends_that_are_both_good_or_both_bad_are_told() -> None:
    good, bad = the_search(), the_search()
    assert carry_out(good, up_to(100))[-2:] == [(64, 0), (64, 1)]
    assert (good.ended, good.lowest_not_met) == ("all_met", None)
    assert carry_out(bad, up_to(0)) == [(1, 0), (1, 1)]
    assert (bad.ended, bad.highest_met) == ("none_met", None)


def test_a_lucky_run_above_the_edge_is_turned_round_by_its_repeats() -> None:
    search = the_search()
    asked = carry_out(search, lambda load, seed: answered(1.0 if load <= 8 or (load, seed) == (12, 0) else 0.5))
    assert (12, 1) in asked
    assert (12, 2) in asked
    assert search.highest_met is not None
    assert search.highest_met.load == 8


def test_what_repeats_cannot_tell_counts_as_not_met() -> None:
    search = the_search(goodput_ratio=0.9)
    shares = {0: 0.95, 1: 0.85, 2: 0.96}
    asked = carry_out(search, lambda load, seed: answered(1.0 if load < 8 else shares[seed] if load == 8 else 0.1))
    assert [seed for load, seed in asked if load == 8] == [0, 1, 2]
    assert search.lowest_not_met is not None
    assert search.highest_met is not None
    assert (search.lowest_not_met.load, search.lowest_not_met.answer(0.9)) == (8, "cant_tell")
    assert search.highest_met.load == 7


def noisy(random: np.random.Generator) -> Callable[[float, int], Document]:
    return lambda load, seed: answered(min(1.0, 1 - load / 100 + random.normal(0, 0.01)))


def test_a_noisy_server_is_rarely_overrated() -> None:
    """The true share falls from 1 by 1 % a caller and meets 0.9 up to 10; runs are off by a standard deviation of 1 %."""
    found = []
    for trial in range(100):
        random = np.random.default_rng(trial)
        search = the_search(goodput_ratio=0.9)
        carry_out(search, noisy(random))
        found.append(search.highest_met.load if search.highest_met else 0)
    assert sum(load > 11 for load in found) <= 10
    assert np.median(found) >= 7


def test_the_most_runs_are_kept() -> None:
    search = the_search(max_runs=4)
    assert len(carry_out(search, up_to(21))) == 4
    assert search.ended == "max_runs"
    assert search.highest_met is not None
    assert search.highest_met.load == 8


@pytest.mark.parametrize("codes", [("errors",), ("no_ok_requests",), ("errors", "concurrency_not_reached")])
def test_an_overloaded_server_misses_without_a_repeat(codes: tuple[str, ...]) -> None:
    search = the_search()
    asked = carry_out(search, lambda load, seed: answered(1.0) if load <= 4 else answered(None, *codes))
    assert [seed for load, seed in asked if load > 4] == [0] * 3
    assert search.highest_met is not None
    assert search.highest_met.load == 4
    not_met = search.lowest_not_met
    assert not_met is not None
    assert not_met.overloaded


@pytest.mark.parametrize("codes", [("send_delay",), ("errors", "coalesced"), ("concurrency_not_reached",)])
def test_a_run_spoiled_otherwise_decides_nothing_and_ends_the_search(codes: tuple[str, ...]) -> None:
    search = the_search()
    asked = carry_out(search, lambda load, seed: answered(1.0) if load < 8 else answered(0.1, *codes))
    assert asked[-1:] == [(8, 0)]
    assert search.ended == "undecided"
    assert "concurrency 8" in str(search.trouble)
    assert search.lowest_not_met is None


def test_a_run_that_the_slo_cannot_judge_ends_the_search() -> None:
    search = the_search()
    assert carry_out(search, lambda load, seed: answered(None)) == [(1, 0)]
    assert search.trouble is not None
    assert "cannot be judged" in search.trouble


def test_one_that_was_left_early_says_so() -> None:
    search = the_search()
    runs = search.runs()
    next(runs)
    runs.send(answered(1.0))
    assert search.to_json()["ended"] == "interrupted"
    assert search.highest_met is not None
    assert search.highest_met.load == 1


@pytest.mark.parametrize(
    "terms", [{"low": 4, "high": 2}, {"goodput_ratio": 1.1}, {"tolerance_ratio": 0}, {"repeats": 0}, {"max_runs": 0}]
)
def test_terms_that_make_no_sense_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SearchTerms(**{"low": 1, "high": 8} | terms)
