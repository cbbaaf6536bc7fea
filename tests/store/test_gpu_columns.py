"""A GPU's readings as bytes, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loadgen.engine.records.record import Int64
from loadgen.errors import StoreError
from loadgen.store.gpu_columns import decode, encode

COLUMN = arrays(np.int64, 5, elements=st.integers(-(2**63), 2**63 - 1))


@given(st.dictionaries(st.sampled_from(["at_ns", "power_mw", "energy_mj"]), COLUMN, max_size=3))
def test_columns_come_back_bit_for_bit(columns: dict[str, Int64]) -> None:
    read = decode(encode(columns))
    assert list(read) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(read[name], values)


def test_a_blob_that_is_damaged_or_newer_is_named() -> None:
    blob = encode({"at_ns": np.arange(3, dtype=np.int64)})
    for broken in (blob[:-4], blob[:1] + b"no zlib"):
        with pytest.raises(StoreError, match="are damaged"):
            decode(broken)
    for newer in (b"\x09" + blob[1:], b""):
        with pytest.raises(StoreError, match="upgrade loadgen"):
            decode(newer)


def test_an_hour_of_readings_is_small() -> None:
    """Ten a second: a power that wanders, a counter of it, a clock that stands still."""
    random = np.random.default_rng(1)
    power_mw = 450_000 + np.cumsum(random.integers(-3000, 3000, 36_000))
    columns = {"at_ns": np.cumsum(random.integers(99_000_000, 101_000_000, 36_000)), "power_mw": power_mw}
    columns |= {"energy_mj": np.cumsum(power_mw // 10), "sm_clock_mhz": np.full(36_000, 1980)}
    assert len(encode(columns)) < 400_000
