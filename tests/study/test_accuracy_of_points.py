"""Accuracy in studies: its mean and interval over tasks, verdicts on claims about it, and what tiny models are evaluated on."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loadgen.errors import UsageError
from loadgen.store.rows import AccuracyRow
from loadgen.study.accuracy import ACCURACY, accuracy_differences, by_task, mean_accuracies, mean_accuracy
from loadgen.study.claims import Claim, Ordering
from loadgen.study.judge import Evidence, judge
from loadgen.study.measured import MeasuredPoint, Series, with_accuracy
from loadgen.study.points import Point, load_specs
from loadgen.study.study_file import read_study
from loadgen.study.tiny import at_tiny_scale
from loadgen.study.variants import variants_of
from tests.store.test_accuracy_results import result

SERIES = Series("H100", "measured")
ORDER = Ordering(kind="ordering", points=[{"model": "large"}, {"model": "small"}])


def point(model: str, sweep_id: str) -> MeasuredPoint:
    variant = SimpleNamespace(settings={}, label=model)
    planned = cast(Point, SimpleNamespace(variant=variant, coordinates={"model": model}))
    return MeasuredPoint(planned, SERIES, (cast(Any, {"sweep_id": sweep_id}),))


def scored(share: float, *, error: float | None = 0.02, task: str = "copy", samples: int | None = 200) -> AccuracyRow:
    return result(task, value=share, standard_error=error, samples=samples)


def test_the_mean_has_the_interval_of_independent_tasks() -> None:
    results = by_task([scored(0.9, error=0.03), scored(0.5, error=0.04, task="sort")])
    found = mean_accuracy(results, ["copy", "sort"])
    assert found.value == pytest.approx(0.7)
    half = 1.959964 * 0.05 / 2  # √(0.03² + 0.04²) / 2
    assert found.low == pytest.approx(0.7 - half)
    assert found.high == pytest.approx(0.7 + half)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_are_right_or_wrong_the_interval_is_not_nothing(share: float) -> None:
    found = mean_accuracy({"copy": scored(share, error=0.0, samples=20)}, ["copy"])
    half = 1.959964 * math.sqrt((2 / 24) * (22 / 24) / 24)
    assert found.low == pytest.approx(max(0.0, share - half))
    assert found.high == pytest.approx(min(1.0, share + half))


def test_without_a_standard_error_there_is_no_interval() -> None:
    found = mean_accuracy({"MMMU": scored(0.5, error=None, samples=None)}, ["MMMU"])
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_acc_counts_before_other_metrics_and_the_newest_of_it() -> None:
    old = replace(scored(0.4), metric="acc", measured_at="2026-11-30T10:00:00+00:00")
    new = replace(scored(0.6), metric="acc", measured_at="2026-11-30T11:00:00+00:00")
    norm, perplexity = replace(scored(0.8), metric="acc_norm"), replace(scored(7.5), metric="perplexity", task="wiki")
    assert by_task([norm, new, old, perplexity]) == {"copy": new}


def test_a_difference_has_the_interval_of_both_and_is_told_apart_from_0() -> None:
    a = [scored(0.9), scored(0.8, task="sort"), scored(0.7, task="add")]
    b = [scored(0.8), scored(0.79, task="sort"), scored(0.7, task="find")]
    copy, sort, both = accuracy_differences(a, b)
    half = 1.96 * math.hypot(0.02, 0.02)
    assert (copy.difference, copy.low, copy.high) == pytest.approx((-0.1, -0.1 - half, -0.1 + half), abs=1e-4)
    assert (copy.answer, sort.answer) == ("worse", "cant_tell")
    assert both.tasks == ("copy", "sort")
    assert (both.difference, both.high) == pytest.approx((-0.055, -0.055 + half / math.sqrt(2)), abs=1e-4)
    assert [each.answer for each in accuracy_differences(b, a)] == ["better", "cant_tell", "better"]


@pytest.mark.parametrize("changed", [{"shots": 5}, {"metric": "acc"}])
def test_tasks_that_were_asked_in_other_ways_are_not_compared(changed: dict[str, object]) -> None:
    other = replace(scored(0.8), **changed)  # type: ignore[arg-type]
    assert accuracy_differences([scored(0.9)], [other]) == ()


def test_a_difference_without_a_standard_error_is_inconclusive() -> None:
    (found,) = accuracy_differences([scored(0.9)], [scored(0.1, error=None, samples=None)])
    assert found.difference == pytest.approx(-0.8)
    assert (found.low, found.high, found.answer) == (None, None, "cant_tell")


def test_only_tasks_that_all_servers_have_count() -> None:
    found = mean_accuracies({"a": [scored(0.9), scored(0.1, task="sort")], "b": [scored(0.5)], "c": []})
    assert {name: each.value for name, each in found.items()} == {"a": 0.9, "b": 0.5}
    assert mean_accuracies({"a": [scored(0.9)], "b": [scored(0.5, task="sort")]}) == {}


@pytest.mark.parametrize(
    ("large", "small", "verdict"),
    [
        (0.9, 0.5, "holds"),
        (0.5, 0.9, "does_not_hold"),
        (0.70, 0.69, "inconclusive"),
        (0.9, None, "not_measured"),
        (0.9, 0.0, "not_measured"),  # no ratio to 0
    ],
)
def test_claims_about_accuracy(large: float, small: float | None, verdict: str) -> None:
    rows = {"s1": (scored(large),), "s2": () if small is None else (scored(small),)}
    points = with_accuracy([point("large", "s1"), point("small", "s2")], rows)
    claim = Claim(id="c", place="§8", says="Large models are more accurate.", metric="accuracy", compare=ORDER)
    assert judge(claim, Evidence(points, [])).verdict == verdict


def test_each_load_of_a_study_asks_for_it_and_tiny_models_are_asked_what_they_have_learnt() -> None:
    file = read_study("fig17")
    variants = variants_of(file)
    full = [spec.accuracy for spec in load_specs(file, variants[0])]
    assert all(each is not None and each.tasks == ["paper"] and each.when == "before" for each in full)
    tiny = {each.label: each for each in at_tiny_scale(variants) if each.cannot_run is None}
    assert {"trained-mixtral", "trained-deepseek"} <= set(tiny)
    for spec in load_specs(file, tiny["trained-mixtral"]):
        assert spec.accuracy is not None
        assert (spec.accuracy.tasks, spec.accuracy.limit, spec.accuracy.when) == (["built-in"], 20, "before")


def test_a_study_may_draw_accuracy_and_misspell_it(tmp_path: Any) -> None:
    assert read_study("fig17").study.panels[0].y == ACCURACY.key
    path = tmp_path / "own.yaml"
    path.write_text(
        "title: T\nquestion: Q?\nservers: [{profile: olmoe-tp1}]\nloads: [{wave: 1, lengths: [8]}]\n"
        "panels: [{title: A, y: accurracy, x: model}]\n"
    )
    with pytest.raises(UsageError, match=r"unknown figure 'accurracy' .* did you mean 'accuracy'"):
        read_study(str(path))
