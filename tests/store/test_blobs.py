"""Arrivals, GPU readings and outlines as bytes, and back; named when they cannot be read."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loadgen.engine.records.record import MISSING, Int64
from loadgen.errors import StoreError
from loadgen.store import blobs

INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
USUAL_NS = st.integers(0, 10**12)


def columns(rows: list[tuple[int, int, bool]], choices: list[int] | None = None) -> tuple[Any, Any, Any, Any]:
    return (
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.bool_),
        np.array(choices or [0] * len(rows), np.int16),
    )


@given(
    st.lists(st.tuples(INT64 | USUAL_NS, INT32 | st.integers(0, 300) | st.just(1), st.booleans()), max_size=40),
    st.just(0) | st.integers(0, 2**15 - 1),
)
def test_any_arrivals_come_back_bit_for_bit(rows: list[tuple[int, int, bool]], choice: int) -> None:
    given_columns = columns(rows, [choice * (row % 2) for row in range(len(rows))])
    decoded: tuple[Any, ...] = blobs.decode_arrivals(blobs.encode_arrivals(*given_columns))
    for before, after in zip(given_columns, decoded, strict=True):
        assert after.dtype == before.dtype
        assert after.tolist() == before.tolist()


@pytest.mark.parametrize(
    "stamps",
    [[], [MISSING], [MISSING, 2**63 - 1, MISSING], [0, 2**31 - 1], [0, 2**31], [2**31, 0], [2**31 + 1, 0], [5, 4, 3]],
)
def test_stamps_at_the_edges_of_the_widths(stamps: list[int]) -> None:
    given_columns = columns([(stamp, 1, False) for stamp in stamps])
    assert blobs.decode_arrivals(blobs.encode_arrivals(*given_columns))[0].tolist() == stamps


@pytest.mark.parametrize(("tokens", "width"), [(1, 0), (0, 1), (255, 1), (256, 4), (-1, 4)])
def test_token_counts_take_no_more_room_than_they_need(tokens: int, width: int) -> None:
    blob = blobs.encode_arrivals(*columns([(10, tokens, False)] * 100))
    assert len(blob) == 8 + 8 + 99 * 4 + 100 * width
    assert blobs.decode_arrivals(blob)[1].tolist() == [tokens] * 100


def test_a_coalesced_flag_costs_one_bit() -> None:
    one_each = blobs.encode_arrivals(*columns([(10, 1, False)] * 100))
    flagged = blobs.encode_arrivals(*columns([(10, 1, True), *[(10, 1, False)] * 99]))
    assert len(flagged) - len(one_each) == 13


def test_one_choice_costs_nothing_and_several_two_bytes_an_arrival() -> None:
    rows = [(10, 1, False)] * 100
    assert len(blobs.encode_arrivals(*columns(rows, [0, 1] * 50))) - len(blobs.encode_arrivals(*columns(rows))) == 200


def test_the_first_byte_is_the_version_and_another_version_is_refused() -> None:
    blob = blobs.encode_arrivals(*columns([(1, 1, False)]))
    assert blob[0] == blobs.VERSION
    with pytest.raises(StoreError, match=r"format 2.*upgrade loadgen"):
        blobs.decode_arrivals(b"\x02" + blob[1:])


@pytest.mark.parametrize("change", [lambda blob: blob[:-1], lambda blob: blob + b"\0", lambda blob: blob[:3]])
def test_a_damaged_blob_is_named_as_such(change: Any) -> None:
    blob = blobs.encode_arrivals(*columns([(1, 2, True), (2, 3, False)]))
    with pytest.raises(StoreError, match="damaged"):
        blobs.decode_arrivals(change(blob))


def test_an_empty_blob_is_refused() -> None:
    with pytest.raises(StoreError, match="format none"):
        blobs.decode_arrivals(b"")


COLUMN = arrays(np.int64, 5, elements=st.integers(-(2**63), 2**63 - 1))


@given(st.dictionaries(st.sampled_from(["at_ns", "power_mw", "energy_mj"]), COLUMN, max_size=3))
def test_readings_come_back_bit_for_bit(columns: dict[str, Int64]) -> None:
    read = blobs.decode_readings(blobs.encode_readings(columns))
    assert list(read) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(read[name], values)


def test_readings_that_are_damaged_or_newer_are_named() -> None:
    blob = blobs.encode_readings({"at_ns": np.arange(3, dtype=np.int64)})
    for broken in (blob[:-4], blob[:1] + b"no zlib"):
        with pytest.raises(StoreError, match="are damaged"):
            blobs.decode_readings(broken)
    for newer in (b"\x09" + blob[1:], b""):
        with pytest.raises(StoreError, match="upgrade loadgen"):
            blobs.decode_readings(newer)


def test_an_hour_of_readings_is_small() -> None:
    """Ten a second: a power that wanders, a counter of it, a clock that stands still."""
    random = np.random.default_rng(1)
    power_mw = 450_000 + np.cumsum(random.integers(-3000, 3000, 36_000))
    columns = {"at_ns": np.cumsum(random.integers(99_000_000, 101_000_000, 36_000)), "power_mw": power_mw}
    columns |= {"energy_mj": np.cumsum(power_mw // 10), "sm_clock_mhz": np.full(36_000, 1980)}
    assert len(blobs.encode_readings(columns)) < 400_000


OUTLINE: Any = {"version": 1, "requests": {"start_ns": [number * 1_234_567 for number in range(1000)]}}


def test_an_outline_comes_back_and_takes_less_room() -> None:
    blob = blobs.encode_outline(OUTLINE)
    assert blobs.decode_outline(blob) == OUTLINE
    assert len(blob) < len(json.dumps(OUTLINE)) / 2


def test_an_outline_that_is_damaged_or_newer_is_named() -> None:
    blob = blobs.encode_outline(OUTLINE)
    for broken in (blob[:-4], blob[:1] + b"no zlib"):
        with pytest.raises(StoreError, match="is damaged"):
            blobs.decode_outline(broken)
    for newer in (b"\x09" + blob[1:], b""):
        with pytest.raises(StoreError, match="upgrade loadgen"):
            blobs.decode_outline(newer)
