"""Two sets of runs: better, worse or inconclusive; who is paired with whom; and what is refused."""

from copy import deepcopy
from typing import Any

import pytest

from loadgen.analysis.compare import ComparedFigure, compare
from loadgen.errors import UsageError
from loadgen.load.shapes import ClosedLoop
from tests.report.documents import measured_run, specs

Document = Any
(BASIS,) = (measured_run(spec, "s1")[0] for spec in specs([ClosedLoop(4)]))


def run(seed: int = 0, rate: float = 100.0, ttft_s: float = 0.1, status: str = "valid", **spec: Any) -> Document:
    """A run whose output throughput and median TTFT are these."""
    document = deepcopy(BASIS)
    document["run_id"] = f"r{seed}-{rate}"
    document["spec"] |= {"seed": seed, **spec}
    document["output_tokens_per_s"] = rate
    document["ttft_s"] |= {"p50": ttft_s, "p90": None, "p95": None, "p99": None}
    document["verdict"]["status"] = status
    return document


def runs(*rates: float, first_seed: int = 0, **spec: Any) -> list[Document]:
    return [run(first_seed + number, rate, 10 / rate, **spec) for number, rate in enumerate(rates)]


def figure(a: list[Document], b: list[Document], key: str = "output_tokens_per_s", **asked: Any) -> ComparedFigure:
    (point,) = compare(a, b, metrics=[key], **asked).points
    return point.figures[0]


def test_more_throughput_is_better_and_the_same_figures_turned_round_are_worse() -> None:
    slow, quick = runs(100, 101, 99), runs(110, 111, 109)
    assert figure(slow, quick).answer == "better"
    assert figure(quick, slow).answer == "worse"


def test_a_longer_ttft_is_worse() -> None:
    slow, quick = runs(100, 101, 99), runs(110, 111, 109)
    assert figure(slow, quick, "ttft_s").answer == "better"
    assert figure(quick, slow, "ttft_s").answer == "worse"


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ((100,), (200,), "too_few_runs"),
        ((100, 101, 99), (100.2, 101.1, 99.1), "small"),
        ((100, 120, 80), (130, 90, 140), "either"),
        ((0, 0, 0), (130, 90, 140), "zero"),
    ],
)
def test_cant_tell_has_its_reason(a: tuple[float, ...], b: tuple[float, ...], reason: str) -> None:
    found = figure([run(k, rate) for k, rate in enumerate(a)], [run(k, rate) for k, rate in enumerate(b)])
    assert (found.answer, found.reason) == ("cant_tell", reason)


def test_a_change_beyond_luck_and_below_the_smallest_worth_telling_is_not_told() -> None:
    a, b = runs(100, 110, 120), runs(101, 111.1, 121.2)
    assert figure(a, b).answer == "cant_tell"
    assert figure(a, b, smallest_change_ratio=0.005).answer == "better"


def test_the_same_seeds_are_paired_whatever_their_order() -> None:
    """What the seeds do to both sides is then out of the way."""
    a, b = runs(100, 150, 200), runs(110, 165, 220)
    (point,) = compare(a, b[::-1]).points
    assert point.paired
    assert figure(a, b[::-1]).answer == "better"
    others = runs(110, 165, 220, first_seed=3)
    (point,) = compare(a, others).points
    assert not point.paired
    assert figure(a, others).answer == "cant_tell"


def test_runs_of_other_clients_are_never_paired() -> None:
    """Which of them belong together nobody knows: their seeds are made up."""
    a, b = runs(100, 150, 200), runs(110, 165, 220)
    for each in b:
        each["foreign"] = {"tool": "vllm bench", "version": "0.32.0"}
    (point,) = compare(a, b).points
    assert not point.paired


def test_an_invalid_run_takes_no_part() -> None:
    a, b = runs(100, 101, 99), [*runs(110, 111, 109), run(3, 1.0, status="invalid")]
    assert figure(a, b).answer == "better"
    assert [each["run_id"] for each in compare(a, b).invalid_b] == ["r3-1.0"]
    with pytest.raises(UsageError, match="B has no run that is not invalid"):
        compare(a, [run(3, status="invalid")])


@pytest.mark.parametrize(
    ("key", "value"), [("model", "other"), ("requests", 999), ("endpoint", "chat"), ("a_later_field", 1)]
)
def test_what_was_asked_otherwise_is_refused_by_name_unless_anyway(key: str, value: Any) -> None:
    a, b = runs(100, 101, 99), runs(110, 111, 109, **{key: value})
    with pytest.raises(UsageError, match=rf"unlike in {key} \(.*{value}\).*--anyway"):
        compare(a, b)
    assert figure(a, b, anyway=True).answer == "better"


def test_simulated_against_real_is_refused() -> None:
    b = runs(110, 111, 109)
    for each in b:
        each["simulated"] = True
    with pytest.raises(UsageError, match=r"simulated \(false against true\)"):
        compare(runs(100, 101, 99), b)


def test_another_address_is_the_same_question() -> None:
    assert not compare(runs(100), runs(100, url="http://other:8000", workers=4, api_key_env="KEY")).unlike


def test_a_proxy_on_one_side_makes_them_unlike() -> None:
    through_proxy = runs(110)
    for each in through_proxy:
        each["client"]["proxy"] = True
    with pytest.raises(UsageError, match=r"unlike in proxy"):
        compare(runs(100), through_proxy)


def test_points_are_matched_by_load_and_the_rest_is_named() -> None:
    shape = {"kind": "closed_loop", "concurrency": 8}
    other = runs(300, shape=shape, load_label="concurrency 8")
    found = compare([*runs(100), *other], runs(110))
    assert [point.a[0]["output_tokens_per_s"] for point in found.points] == [100]
    assert [each["spec"]["load_label"] for each in found.only_a] == ["concurrency 8"]
    with pytest.raises(UsageError, match="share no load point: A has concurrency 8"):
        compare(other, runs(110))
    assert [each.field for each in compare(other, runs(110), anyway=True).unlike] == ["shape.concurrency"]


def test_goodput_under_other_limits_is_not_compared() -> None:
    a, b = runs(100, slo={"ttft_s": 1.0}), runs(100, slo={"ttft_s": 1.0})
    for each in (*a, *b):
        each["goodput_per_s"] = 3.0
    assert "goodput_per_s" in [each.metric.key for each in compare(a, b).points[0].figures]
    b[0]["spec"]["slo"] = {"ttft_s": 0.5}
    found = compare(a, b)
    assert found.slo_differs
    assert "goodput_per_s" not in [each.metric.key for each in found.points[0].figures]


def test_a_percentile_that_one_run_lacks_is_not_compared() -> None:
    a, b = runs(100, 101), runs(100, 101)
    for each in (*a, *b):
        each["ttft_s"] |= {"p90": 0.2, "p95": 0.3}
    b[1]["ttft_s"]["p95"] = None
    assert [each.part for each in compare(a, b, metrics=["ttft_s"]).points[0].figures] == ["p50", "p90"]


def of_lengths(prompt_tokens: float | None, output_tokens: float | None) -> list[Document]:
    made = runs(100, 101, 99)
    for document in made:
        document["lengths"]["prompt_tokens"] |= {"asked": 64, "mean": prompt_tokens}
        document["lengths"]["output_tokens"] |= {"asked": 16, "mean": output_tokens}
    return made


@pytest.mark.parametrize(
    ("b", "field"),
    [
        ((138.0, 16.0), "lengths.prompt_tokens.mean"),
        ((62.0, 16.0), "lengths.prompt_tokens.mean"),
        ((64.0, 72.0), "lengths.output_tokens.mean"),
        ((65.0, 16.2), None),
        ((None, None), None),
    ],
)
def test_runs_whose_achieved_lengths_differ_are_not_paired_silently(
    b: tuple[float | None, float | None], field: str | None
) -> None:
    first, second = of_lengths(64.0, 16.0), of_lengths(*b)
    if field is None:
        assert compare(first, second).unlike == ()
        return
    with pytest.raises(UsageError, match=rf"unlike in {field} \(.* against .*\): compare them with --anyway"):
        compare(first, second)
    (told,) = compare(first, second, anyway=True).unlike
    assert told.field == field


def test_the_lengths_of_a_dataset_are_its_own() -> None:
    first, second = of_lengths(64.0, 16.0), of_lengths(80.0, 16.0)
    for document in (*first, *second):
        document["lengths"]["prompt_tokens"]["asked"] = None
    assert compare(first, second).unlike == ()
