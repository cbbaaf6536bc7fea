"""Rows of records, picked and put end to end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.records.record import Records
from loadgen.engine.records.record_parts import joined, take
from tests.engine.records.test_column_files import assert_equal, row


def records(indices: list[int]) -> Records:
    return Records.from_rows([row(index) for index in indices])


@given(st.lists(st.lists(st.integers(0, 20), max_size=5), max_size=4))
def test_parts_stand_end_to_end(parts: list[list[int]]) -> None:
    assert_equal(joined([records(part) for part in parts]), records([index for part in parts for index in part]))


@given(st.lists(st.integers(0, 9), max_size=20))
def test_rows_are_taken_in_the_order_asked(rows: list[int]) -> None:
    assert_equal(take(records(list(range(10))), np.array(rows, np.int64)), records(rows))
