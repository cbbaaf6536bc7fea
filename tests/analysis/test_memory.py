"""What a summary takes in memory besides its records: the same however long the run, and what it does in pieces gives what it would in one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analysis import distributions, timestamps
from loadgen.analysis.summary import summarise
from loadgen.engine.records import record_parts
from loadgen.engine.records.record import CountedBy, Outcome
from loadgen.engine.records.record_parts import joined
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.workload import Sessions, Workload
from tests.analysis.conftest import make_lockstep, make_recording, make_row, make_spec
from tests.memory import peak_bytes


@pytest.mark.parametrize("shape", [ClosedLoop(50), OpenLoop(1000.0)])
def test_summarising_takes_the_same_memory_however_long_the_run(
    monkeypatch: pytest.MonkeyPatch, shape: LoadShape
) -> None:
    for module, name in (
        (record_parts, "_ROWS_AT_ONCE"),
        (distributions, "_MAX_IN_MEMORY"),
        (distributions, "_VALUES_AT_ONCE"),
        (timestamps, "_MAX_TIMESTAMPS"),
    ):
        monkeypatch.setattr(module, name, 1000)
    once = make_recording(make_lockstep(50, 20))

    def bytes_for(times: int) -> int:
        records = joined([once.records] * times)
        records.index[:] = np.arange(len(records))
        recording = replace(once, records=records)
        return peak_bytes(lambda: summarise(make_spec(shape), recording))

    bytes_for(2)
    few, many = 5, 25  # thousands of requests, 157 bytes each
    assert (bytes_for(many) - bytes_for(few)) / (1000 * (many - few)) < 1


@pytest.mark.parametrize(("rows_at_once", "arrivals_at_once"), [(1, 1), (1, 1000), (2, 4), (3, 1), (3, 1000)])
def test_figures_made_in_pieces_are_those_of_all(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int, arrivals_at_once: int
) -> None:
    rows = [
        make_row([(0.1, 1), (0.3, 2), (0.4, 1)], choices=[0, 1, 0], slot=1),
        make_row(outcome=Outcome.TIMEOUT, end_s=0.3),
        make_row([(0.2, 0), (0.5, 1), (0.6, 4)], slot=2, counted_by=CountedBy.USAGE),
        make_row([(0.2, 1), (9.0, 1)], slot=1, sent_s=0.4),
        make_row([(0.5, 1), (0.9, 1)], slot=2, sent_s=0.4, output_tokens=5, counted_by=CountedBy.ASSUMED),
        make_row(sent_s=None, outcome=Outcome.DROPPED),
    ] * 9
    limits = (("ttft_s", 0.3), ("tpot_s", 0.3))
    talk = make_spec(ClosedLoop(2), workload=Workload(sessions=Sessions(3)))
    for spec in (make_spec(Wave(54)), make_spec(ClosedLoop(2), slo=limits), talk, make_spec(OpenLoop(9.0))):
        for recording in (make_recording(rows), make_recording(make_lockstep(2, 12))):
            at_once = summarise(spec, recording)
            with monkeypatch.context() as patch:
                patch.setattr(record_parts, "_ROWS_AT_ONCE", rows_at_once)
                patch.setattr(record_parts, "_ARRIVALS_AT_ONCE", arrivals_at_once)
                assert summarise(spec, recording) == at_once


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(1, 30),
)
def test_the_peak_is_the_most_that_are_open_at_any_moment(
    spans: list[tuple[int, int]], bins: int, moments_at_once: int
) -> None:
    most = max(sum(begin <= moment < begin + length for begin, length in spans) for moment in range(12))
    intervals = np.array([(begin, begin + length) for begin, length in spans], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timestamps, "_BINS", bins)
        patch.setattr(timestamps, "_MAX_TIMESTAMPS", moments_at_once)
        assert timestamps.most_open(lambda: ((some[:, 0], some[:, 1]) for some in np.array_split(intervals, 2))) == most
    rows = [make_row(sent_s=begin, end_s=begin + length) for begin, length in spans]
    assert summarise(make_spec(Wave(len(rows))), make_recording(rows))["concurrency"]["peak"] == most
