"""The address of a comparison: what it says is what is shown, there and back; a typo in it is a sentence."""

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.report.comparison.view import Filters, View, read_view

WORDS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1, max_size=20)
VIEWS = st.builds(
    View,
    ids=st.lists(WORDS, max_size=4, unique=True).map(tuple),
    filters=st.builds(
        Filters, q=st.just("") | WORDS, model=st.just("") | WORDS, since=st.sampled_from(["", "2026-11-26"])
    ),
    x=st.sampled_from(["", "input_tokens"]),
    y=st.lists(st.sampled_from(["ttft_s", "tpot_s"]), unique=True).map(tuple),
    stat=st.sampled_from(["p50", "p99"]),
    color=st.just("") | WORDS,
    facet=st.just("") | WORDS,
    log=st.sampled_from([None, (), ("x",), ("x", "y")]),
    baseline=st.just("") | WORDS,
    show=st.sampled_from(["value", "ratio"]),
    all=st.booleans(),
)


@given(VIEWS)
def test_a_view_comes_back_from_its_address(view: View) -> None:
    assert read_view(parse_qs(view.query(), keep_blank_values=True)) == view


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sta=p99", "did you mean 'stat'"),
        ("stat=p98", "stat is 'p98'"),
        ("stat=p50&stat=p99", "says stat twice"),
        ("since=yesterday", "which is no day"),
        ("log=z", "log is 'z'"),
        ("show=ratios", "did you mean 'ratio'"),
        ("color=" + "x" * 300, "longer than"),
        ("in=" + ",".join(f"s{n}" for n in range(200)), "names 200"),
    ],
)
def test_what_is_wrong_in_an_address_is_said(query: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_view(parse_qs(query))


def test_boxes_that_were_ticked_and_lists_with_commas_are_the_same() -> None:
    assert read_view(parse_qs("in=a&in=b")).ids == read_view(parse_qs("in=a,b")).ids == ("a", "b")
