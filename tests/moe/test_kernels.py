"""Kernels of a layer, counted by hand from vLLM's code."""

import pytest

from loadgen.moe.kernels import layer_kernels
from loadgen.moe.models import model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # norm, query-key-value, rotation, cache, attention, output; norm; router, choice, sorting, product, activation, product, sum
        ("mixtral-8x7b", 6 + 1 + 7),
        ("olmoe-1b-7b", 8 + 1 + 7),  # norms of queries and keys
        ("qwen3-30b-a3b", 8 + 1 + 7),
        ("qwen1.5-moe-a2.7b", 6 + 1 + 7 + 4 + 2),  # a shared expert, and its gate
        ("phi-3.5-moe", 6 + 1 + 6 + 21),
        ("deepseek-v2-lite", 11 + 1 + (3 + 26 * (7 + 4)) / 27),  # the first layer is dense
        ("qwen3-1.7b", 8 + 1 + 3),
    ],
)
def test_a_layer_has_these_kernels(name: str, expected: float) -> None:
    assert layer_kernels(model(name).architecture) == pytest.approx(expected)


def test_in_fp8_the_inputs_of_every_product_are_converted() -> None:
    mixtral = model("mixtral-8x7b").architecture
    assert layer_kernels(mixtral, are_inputs_converted=True) == 14 + 2 * (2 + 2)
    lite = model("deepseek-v2-lite").architecture
    added = layer_kernels(lite, are_inputs_converted=True) - layer_kernels(lite)
    assert added == pytest.approx(2 * (3 + (2 + 26 * 4) / 27))
