"""The BLOB of a request's arrivals: exact for any values, small for the usual ones, versioned."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.records.record import MISSING
from loadgen.errors import StoreError
from loadgen.store import arrivals

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
    decoded: tuple[Any, ...] = arrivals.decode(arrivals.encode(*given_columns))
    for before, after in zip(given_columns, decoded, strict=True):
        assert after.dtype == before.dtype
        assert after.tolist() == before.tolist()


@pytest.mark.parametrize(
    "stamps",
    [[], [MISSING], [MISSING, 2**63 - 1, MISSING], [0, 2**31 - 1], [0, 2**31], [2**31, 0], [2**31 + 1, 0], [5, 4, 3]],
)
def test_stamps_at_the_edges_of_the_widths(stamps: list[int]) -> None:
    given_columns = columns([(stamp, 1, False) for stamp in stamps])
    assert arrivals.decode(arrivals.encode(*given_columns))[0].tolist() == stamps


@pytest.mark.parametrize(("tokens", "width"), [(1, 0), (0, 1), (255, 1), (256, 4), (-1, 4)])
def test_token_counts_take_no_more_room_than_they_need(tokens: int, width: int) -> None:
    blob = arrivals.encode(*columns([(10, tokens, False)] * 100))
    assert len(blob) == 8 + 8 + 99 * 4 + 100 * width
    assert arrivals.decode(blob)[1].tolist() == [tokens] * 100


def test_a_coalesced_flag_costs_one_bit() -> None:
    one_each = arrivals.encode(*columns([(10, 1, False)] * 100))
    flagged = arrivals.encode(*columns([(10, 1, True), *[(10, 1, False)] * 99]))
    assert len(flagged) - len(one_each) == 13


def test_one_choice_costs_nothing_and_several_two_bytes_an_arrival() -> None:
    rows = [(10, 1, False)] * 100
    assert len(arrivals.encode(*columns(rows, [0, 1] * 50))) - len(arrivals.encode(*columns(rows))) == 200


def test_the_first_byte_is_the_version_and_another_version_is_refused() -> None:
    blob = arrivals.encode(*columns([(1, 1, False)]))
    assert blob[0] == arrivals.VERSION
    with pytest.raises(StoreError, match=r"format 2.*upgrade loadgen"):
        arrivals.decode(b"\x02" + blob[1:])


@pytest.mark.parametrize("change", [lambda blob: blob[:-1], lambda blob: blob + b"\0", lambda blob: blob[:3]])
def test_a_damaged_blob_is_named_as_such(change: Any) -> None:
    blob = arrivals.encode(*columns([(1, 2, True), (2, 3, False)]))
    with pytest.raises(StoreError, match="damaged"):
        arrivals.decode(change(blob))


def test_an_empty_blob_is_refused() -> None:
    with pytest.raises(StoreError, match="format none"):
        arrivals.decode(b"")
