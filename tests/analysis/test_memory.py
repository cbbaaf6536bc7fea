"""What a summary takes in memory besides its records: little, and what it does in pieces gives what it would in one."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analysis import gaps
from loadgen.analysis.summary import summarise
from loadgen.engine.record import Recording, RequestRecord
from loadgen.engine.rows import joined
from loadgen.load.spec import ClosedLoop, RunSpec, Wave
from tests.analysis.conftest import make_recording, make_row, make_spec

Rows = Callable[..., list[RequestRecord]]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]


def test_summarising_takes_less_than_the_records_do(lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    once = recording_of(lockstep(50, 20))

    def peak_bytes(times: int) -> int:
        records = joined([once.records] * times)
        records.index[:] = np.arange(len(records))
        recording = replace(once, records=records)
        tracemalloc.start()
        try:
            summarise(spec_of(ClosedLoop(50)), recording)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = 20, 100  # thousands of requests, 157 bytes each
    assert (peak_bytes(many) - peak_bytes(few)) / (1000 * (many - few)) < 100


@pytest.mark.parametrize("rows_at_once", [1, 2, 3])
def test_gaps_of_requests_in_pieces_are_those_of_all(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    rows = [
        make_row([(0.1, 1), (0.3, 2), (0.4, 1)], choices=[0, 1, 0]),
        make_row(),
        make_row([(0.2, 0), (0.5, 1), (0.6, 4)]),
        make_row([(0.2, 1), (9.0, 1)]),
        make_row([(0.2, 1), (0.9, 1)]),
    ]
    records = make_recording(rows).records
    chosen = np.array([True, True, True, False, True])
    monkeypatch.setattr(gaps, "_ROWS_AT_ONCE", rows_at_once)
    assert gaps.chunk_gaps_s(records, chosen) == pytest.approx([0.3, 0.3, 0.1, 0.7])
    assert gaps.token_gaps_s(records, chosen) == pytest.approx([0.3, 0.025, 0.025, 0.025, 0.025, 0.7])


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=12))
def test_the_peak_is_the_most_that_are_open_at_any_moment(spans: list[tuple[int, int]]) -> None:
    rows = [make_row(sent_s=begin, end_s=begin + length) for begin, length in spans]
    most = max(sum(begin <= moment < begin + length for begin, length in spans) for moment in range(12))
    assert summarise(make_spec(Wave(len(rows))), make_recording(rows))["concurrency"]["peak"] == most
