"""Columns of texts as bytes: every value comes back as it was, and so does a choice of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine.records.ragged import Texts

VALUE = (
    st.none()
    | st.text()
    | st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False))
)


@given(st.lists(VALUE), st.data())
def test_values_come_back(values: list[Any], data: st.DataObject) -> None:
    texts = Texts.of(values)
    assert list(texts) == values
    assert Texts.of(texts) is texts
    rows = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=8)) if values else []
    assert list(texts.take(np.array(rows, np.int64))) == [values[row] for row in rows]


def test_rows_are_found_as_in_any_sequence() -> None:
    texts = Texts.of(["a", None, "\ud800"])
    assert (texts[-1], texts[0:2], texts[::-1]) == ("\ud800", ["a", None], ["\ud800", None, "a"])
    with pytest.raises(IndexError):
        texts[3]
