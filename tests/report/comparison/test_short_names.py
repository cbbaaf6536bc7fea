"""Names of what is compared are cut to what differs, stay apart, and what they have in common is shown once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.report.comparison.names import short_names


@pytest.mark.parametrize(
    ("names", "shorts", "common"),
    [
        (["mixtral, 1024 in, 256 out", "olmoe, 1024 in, 256 out"], ["mixtral", "olmoe"], "…, 1024 in, 256 out"),
        (["a: olmoe, tp 2, fp8", "a: olmoe, tp 4, fp8"], ["tp 2", "tp 4"], "a: olmoe, …, fp8"),
        (["x: tp 2, fp8, 64 seqs", "x: tp 4, fp8, 128 seqs"], ["tp 2, 64 seqs", "tp 4, 128 seqs"], "x: …, fp8, …"),
        (
            ["seqs: tiny with max-num-seqs 64", "seqs: tiny with max-num-seqs 2"],
            ["max-num-seqs 64", "max-num-seqs 2"],
            "seqs: tiny with …",
        ),
        (["modes: simulated", "modes: simulated-slow"], ["simulated", "simulated-slow"], "modes: …"),
        (["16 callers of the night", "4 callers of the night"], ["16 callers", "4 callers"], "… of the night"),
        (["org/Llama-3.1-8B-Chat", "org/Llama-3.1-70B-Chat"], ["Llama-3.1-8B-Chat", "Llama-3.1-70B-Chat"], "org/…"),
        (["http://127.0.0.1:8001/v1", "http://127.0.0.1:8002/v1"], ["127.0.0.1:8001", "127.0.0.1:8002"], "http://…/v1"),
        (["nightly-2026-11-30-h200-tp2", "nightly-2026-11-30-h200-tp4"], ["tp2", "tp4"], "nightly-2026-11-30-h200-…"),
        (
            ["vLLM 0.32.0, dummy weights", "vLLM 0.26.0, dummy weights"],
            ["vLLM 0.32.0", "vLLM 0.26.0"],
            "…, dummy weights",
        ),
    ],
)
def test_names_are_cut_to_what_differs(names: list[str], shorts: list[str], common: str) -> None:
    found = short_names(names)
    assert [found[name] for name in names] == shorts
    assert found.common == common
    assert [found.tooltip(name) for name in names] == names


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["the only name that there is"],
        ["TP 2", "TP 4"],  # short enough
        ["1,024 in", "64 in"],
        ["mixtral-8x7b-instruct", "mixtral-8x7b-instruct (SIMULATED)"],  # nothing would be left of the first
        ["night of the 23rd", "the day after that"],
        ["mixtral, 128 in, 128 out", "olmoe, 1024 in, 256 out"],  # each part differs
    ],
)
def test_names_that_cannot_be_cut_stay_whole(names: list[str]) -> None:
    found = short_names(names)
    assert [found[name] for name in names] == names
    assert found.common == ""
    assert [found.tooltip(name) for name in names] == [""] * len(names)


@given(st.lists(st.text("ab1, -:·/(…", max_size=40), max_size=5, unique=True))
def test_names_stay_apart_and_are_never_empty(names: list[str]) -> None:
    shorts = [short_names(names)[name] for name in names]
    assert len(set(shorts)) == len(names)
    assert all(short or not name for short, name in zip(shorts, names, strict=True))
