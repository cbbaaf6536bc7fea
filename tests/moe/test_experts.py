"""Distinct experts of a step: the formula against counting and against drawing."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import ModelError
from loadgen.moe.experts import expected_distinct_experts


def test_every_routing_of_a_small_case_counted() -> None:
    """4 experts, 2 a token, 3 tokens: the mean over all 6³ equally likely routings."""
    choices = list(combinations(range(4), 2))
    distinct = [len(set().union(*routing)) for routing in product(choices, repeat=3)]
    assert expected_distinct_experts(4, 2, 3) == pytest.approx(sum(distinct) / len(distinct))


def test_drawn_routings_of_a_real_case() -> None:
    """OLMoE, 16 sequences: 2,000 drawn steps, within four standard errors."""
    rng = np.random.default_rng(7)
    drawn = rng.permuted(np.tile(np.arange(64), (2_000 * 16, 1)), axis=1)[:, :8].reshape(2_000, -1)
    distinct = np.array([len(set(step)) for step in drawn.tolist()])
    error = distinct.std(ddof=1) / np.sqrt(len(distinct))
    assert expected_distinct_experts(64, 8, 16) == pytest.approx(distinct.mean(), abs=4 * error)


@given(st.integers(1, 256), st.integers(1, 256), st.integers(0, 4096))
def test_it_lies_between_one_tokens_and_all(experts: int, top_k: int, tokens: int) -> None:
    top_k = min(top_k, experts)
    expected = expected_distinct_experts(experts, top_k, tokens)
    assert expected <= min(experts, tokens * top_k) + 1e-6
    assert expected >= (top_k if tokens else 0) - 1e-6


def test_one_token_reads_its_own() -> None:
    assert expected_distinct_experts(128, 8, 1) == pytest.approx(8)


@pytest.mark.parametrize(("experts", "top_k", "tokens"), [(8, 9, 1), (8, 0, 1), (8, 2, -1)])
def test_what_cannot_be_is_refused(experts: int, top_k: int, tokens: int) -> None:
    with pytest.raises(ModelError):
        expected_distinct_experts(experts, top_k, tokens)
