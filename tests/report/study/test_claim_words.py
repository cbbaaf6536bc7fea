"""What a claim states, and what was found, in a few words."""

from typing import Any

import pytest

from loadgen.report.study.claim_words import compared_lines, found_words, over_words, ratio_words, stated_words
from loadgen.study.claims import Claim
from loadgen.study.estimate import Estimate
from loadgen.study.judge import JudgedComparison, Judgement

A, B = {"batch": 128}, {"batch": 1}
MODELS = ["a", "b", "c", "d", "e"]


def claim(**compare: Any) -> Claim:
    return Claim.model_validate({"id": "one", "place": "here", "says": "So it is.", "compare": compare})


@pytest.mark.parametrize(
    ("compare", "words"),
    [
        ({"kind": "ratio", "a": A, "b": B, "stated": {"min": 8, "as_written": "> 8x"}}, "> 8x"),
        ({"kind": "ratio", "a": A, "b": B, "stated": {"min": 8}}, "at least 8.00×"),
        ({"kind": "ratio", "a": A, "b": B, "stated": {"min": 1.2, "max": 1.5}}, "1.20× to 1.50×"),
        ({"kind": "ordering", "points": [{"model": "a"}, {"model": "b"}]}, "a > b"),
        ({"kind": "ordering", "points": [{"model": "a"}, {"model": "b"}], "order": "lowest_first"}, "a < b"),
        ({"kind": "trend", "axis": "ffn_size", "direction": "decreases"}, "decreases with FFN size"),
        ({"kind": "trend", "axis": "batch", "direction": "flat", "of": {"a": A, "b": B}}, "batch 128 over batch 1: flat with batch"),
        ({"kind": "scaling", "axis": "batch", "growth": "proportional"}, "in proportion to batch"),
        ({"kind": "peak", "axis": "draft", "at": "1.7B"}, "highest at draft 1.7B"),
        ({"kind": "oom", "at": [{"experts": 64, "ffn_size": 14336}]}, "no memory for experts 64, FFN size 14,336"),
        (
            {
                "kind": "contrast",
                "larger": {"a": A, "b": B, "where": {"precision": "fp8"}},
                "smaller": {"a": A, "b": B, "where": {"precision": "fp16"}},
            },
            "batch 128 over batch 1: larger ratio with fp8 than with fp16",
        ),
        (
            {"kind": "trend", "axis": "batch", "direction": "flat", "of": {"a": {"model": MODELS}, "b": {"model": MODELS}, "take": {"a": "highest", "b": "lowest"}}},
            "highest over lowest of a, b … (5): flat with batch",
        ),
        ({"kind": "fact", "model": "mixtral-8x7b", "facts": {"layers": 32, "ffn_size": 14336}}, "layers 32, FFN size 14,336"),
        ({"kind": "none"}, "–"),
    ],
)  # fmt: skip
def test_what_is_stated(compare: dict[str, Any], words: str) -> None:
    assert stated_words(claim(**compare)) == words


STEP = {"a": A, "b": B}


@pytest.mark.parametrize(
    ("compare", "words"),
    [
        ({"kind": "ratio", "a": A, "b": B, "stated": {"min": 8}}, "batch 128 over batch 1"),
        (
            {"kind": "ratio", "a": A, "b": B, "where": {"load": "wave", "length": 2048}, "stated": {"min": 8}},
            "batch 128 over batch 1 in one wave, at length 2,048",
        ),
        ({"kind": "ordering", "points": [A, B]}, "each over the next"),
        ({"kind": "ordering", "points": [B, A], "order": "lowest_first"}, "each over the one before"),
        ({"kind": "trend", "axis": "batch", "direction": "flat"}, "at the largest batch over the smallest"),
        (
            {"kind": "trend", "axis": "length", "direction": "flat", "of": STEP},
            "the ratio at the largest length over that at the smallest",
        ),
        ({"kind": "scaling", "axis": "batch", "growth": "sublinear"}, "at the largest batch over the smallest"),
        (
            {"kind": "scaling", "axis": "batch", "growth": "straight_line"},
            "the value furthest from the line over the line",
        ),
        ({"kind": "contrast", "larger": STEP, "smaller": STEP}, "the larger ratio over the smaller"),
        ({"kind": "peak", "axis": "batch", "at": 1}, "batch 1 over the best of the others"),
        ({"kind": "peak", "axis": "batch", "at": 1, "of": "lowest"}, "the best of the others over batch 1"),
        (
            {"kind": "peak", "axis": "batch", "at": [1, 2], "of": "steepest_step"},
            "this step over the steepest of the others",
        ),
        ({"kind": "none"}, ""),
    ],
)
def test_what_the_found_ratio_is_of(compare: dict[str, Any], words: str) -> None:
    assert over_words(claim(**compare)) == words


def ratio(value: float, *, assumed: bool = False) -> Estimate:
    return Estimate(value, value * 0.9, value * 1.1, assumed=assumed)


def found(*ratios: float, over: str = "all") -> str:
    compared = tuple(JudgedComparison("x", ratio(each), "holds") for each in ratios)
    stated = claim(kind="ratio", a=A, b=B, over=over, stated={"min": 2})
    return found_words(Judgement(stated, "holds", None, compared))


def test_what_is_found() -> None:
    assert ratio_words(ratio(2.0)) == "2.00× (1.80 to 2.20)"
    assert ratio_words(ratio(2.0, assumed=True)) == "2.00× (≈ 1.80 to 2.20)"
    assert found(2.0) == "2.00× (1.80 to 2.20)"
    assert found(4.0, 2.0) == "2.00× to 4.00×"
    assert found(2.0, 8.0, over="mean").startswith("4.00× (")
    assert found() == "–"


def test_what_all_comparisons_share_is_said_once() -> None:
    compared = tuple(
        JudgedComparison(f"batch {batch}, length 2,048, one wave", ratio(2.0), "holds") for batch in (1, 16)
    )
    shared, lines = compared_lines(Judgement(claim(kind="none"), "holds", None, compared))
    assert shared == "length 2,048, one wave"
    assert [line.of for line in lines] == ["batch 1", "batch 16"]


def test_what_pairs_of_points_share_is_said_once_too() -> None:
    compared = tuple(
        JudgedComparison(f"PP, 4 over TP, 1 (batch {batch}, one wave)", ratio(2.0), "holds") for batch in (1, 16)
    )
    shared, lines = compared_lines(Judgement(claim(kind="none"), "holds", None, compared))
    assert shared == "one wave"
    assert [line.of for line in lines] == ["PP, 4 over TP, 1 (batch 1)", "PP, 4 over TP, 1 (batch 16)"]


def test_comparisons_that_differ_in_nothing_keep_their_words() -> None:
    compared = (
        JudgedComparison("batch 1", ratio(2.0), "holds"),
        JudgedComparison("batch 1, one wave", ratio(2.0), "holds"),
    )
    assert compared_lines(Judgement(claim(kind="none"), "holds", None, compared))[0] == ""


def test_facts_and_memory_are_counted() -> None:
    facts = (
        JudgedComparison("a", None, "holds", "32", "32"),
        JudgedComparison("b", None, "does_not_hold", "5", "6"),
    )
    of_facts = claim(kind="fact", model="mixtral-8x7b", facts={"layers": 32})
    assert found_words(Judgement(of_facts, "does_not_hold", None, facts)) == "1 of 2 agree"
    of_memory = claim(kind="oom", at=[{"experts": 64}])
    assert (
        found_words(Judgement(of_memory, "holds", None, (JudgedComparison("a", None, "holds"),))) == "1 of 1 as stated"
    )
