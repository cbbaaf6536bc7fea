"""The columns of records, by what is in them."""

import numpy as np

from loadgen.engine.records.record import NUMBERS, OF_ARRIVALS, OF_ROWS, TEXTS


def test_every_column_is_of_numbers_or_of_texts() -> None:
    assert TEXTS == ["finish_reason", "detail", "server_timing"]
    assert OF_ARRIVALS == ["arrival_ns", "arrival_tokens", "arrival_choice", "arrival_coalesced"]
    assert len(OF_ROWS) == 17
    assert NUMBERS["sent_ns"] == np.int64
    assert NUMBERS["outcome"] == np.int8
    assert NUMBERS["arrival_coalesced"] == np.bool_
