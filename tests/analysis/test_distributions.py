"""Values that come in pieces: to the last bit what one array of them gives, in memory or from a file."""

import errno
from collections.abc import Iterator
from io import FileIO

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadgen.analysis import distributions
from loadgen.analysis.distributions import distribution_of, sum_of
from loadgen.analysis.stats import PERCENTILE_NAMES, PERCENTILES, FloatArray, distribution
from loadgen.load.disk import write_all
from tests.memory import peak_bytes


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributions, "_MAX_IN_MEMORY", 1000)
    monkeypatch.setattr(distributions, "_VALUES_AT_ONCE", 128)  # what NumPy itself sums at once
    monkeypatch.setattr(distributions, "_DIGIT_BITS", 8)


def split(values: FloatArray, pieces: int) -> list[FloatArray]:
    return list(np.array_split(values, pieces))


@pytest.mark.parametrize("count", [0, 1, 7, 999, 1000, 1001, 1024, 4097, 20_000])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_a_distribution_is_the_same_to_the_last_bit(count: int, scale: float) -> None:
    draw = np.random.default_rng(count)
    for values in (
        draw.exponential(scale, count),
        draw.normal(0, scale, count),
        np.full(count, 0.1 * scale),
        np.round(draw.normal(50, 1, count)) * 1e-3,
    ):
        assert distribution_of(split(values, 7)) == distribution(values)
        assert sum_of(split(values, 3)) == float(values.sum())


@settings(max_examples=30)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1), st.integers(1, 5))
@example([0.0, 5e-324, -5e-324, 1e300, -1e300], 1)
def test_whatever_the_values_are(some: list[float], pieces: int) -> None:
    values = np.array(some * (1001 // len(some) + 1))
    found = distribution_of(split(values, pieces))
    for percentile, name in zip(PERCENTILES, PERCENTILE_NAMES, strict=True):
        assert found[name] == np.percentile(values, percentile)


def test_many_values_take_no_more_memory_than_few() -> None:
    def pieces(number: int) -> Iterator[FloatArray]:
        draw = np.random.default_rng(1)
        return (draw.exponential(size=1000) for _ in range(number))

    def bytes_for(number: int) -> int:
        return peak_bytes(lambda: distribution_of(pieces(number)))

    bytes_for(2)
    assert bytes_for(60) - bytes_for(2) < 10_000


@pytest.mark.parametrize("calls_until_full", [0, 1, 3])
def test_a_full_disk_costs_memory_and_no_value(monkeypatch: pytest.MonkeyPatch, calls_until_full: int) -> None:
    calls = iter(range(100))

    def write(file: FileIO, piece: bytes) -> None:
        if next(calls) < calls_until_full:
            write_all(file, piece)
            return
        write_all(file, piece[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("loadgen.analysis.distributions.write_all", write)
    values = np.random.default_rng(1).normal(size=9 * 100_000)
    assert distribution_of(np.split(values, 9)) == distribution(values)
    assert sum_of(np.split(values, 9)) == float(values.sum())
