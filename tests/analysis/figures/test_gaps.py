"""Gaps by chunk and by token, worked by hand and over anything that could arrive."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analysis.figures.gaps import chunk_gaps_s, token_gaps_s
from loadgen.engine.records.record import Bool, CountedBy, Outcome, Recording, Records, RequestRecord

Row = Callable[..., RequestRecord]
RecordingOf = Callable[..., Recording]
Answer = list[tuple[int, int]]  # (nanoseconds since the chunk before, tokens)


def every(records: Records) -> Bool:
    return np.ones(len(records), np.bool_)


def records_of(answers: list[Answer]) -> Records:
    empty = np.empty(0, np.int64)
    rows = []
    for index, answer in enumerate(answers):
        stamps = np.cumsum([step for step, _ in answer], dtype=np.int64) if answer else empty
        tokens = np.array([count for _, count in answer], np.int32)
        rows.append(
            RequestRecord(
                index=index, slot=0, outcome=Outcome.OK, http_status=200, detail=None, finish_reason="length",
                due_ns=0, start_ns=0, sent_ns=0, first_byte_ns=0, end_ns=0, connect_ns=None,
                prompt_tokens_asked=1, output_tokens_asked=1, prompt_tokens=1, output_tokens=int(tokens.sum()),
                counted_by=CountedBy.TOKEN_IDS, server_timing=None,
                arrival_ns=stamps, arrival_tokens=tokens, arrival_choice=np.zeros(len(tokens), np.int16), arrival_coalesced=np.zeros(len(tokens), np.bool_),
            )
        )  # fmt: skip
    return Records.from_rows(rows)


def test_three_tokens_in_a_chunk_after_100_ms(row: Row, recording_of: RecordingOf) -> None:
    records = recording_of([row([(0.2, 1), (0.3, 3)])]).records
    assert chunk_gaps_s(records, every(records)).tolist() == pytest.approx([0.1])
    assert token_gaps_s(records, every(records)).tolist() == pytest.approx([0.1 / 3] * 3)


def test_the_first_chunks_own_tokens_have_no_gap(row: Row, recording_of: RecordingOf) -> None:
    records = recording_of([row([(0.2, 5), (0.3, 1)])]).records
    assert token_gaps_s(records, every(records)).tolist() == pytest.approx([0.1])


def test_a_chunk_without_tokens_lends_its_time_to_the_next(row: Row, recording_of: RecordingOf) -> None:
    records = recording_of([row([(0.1, 1), (0.2, 0), (0.3, 2)])]).records
    assert token_gaps_s(records, every(records)).tolist() == pytest.approx([0.1, 0.1])


def test_no_gap_spans_two_requests_and_rows_left_out_stay_out(row: Row, recording_of: RecordingOf) -> None:
    records = recording_of([row([(0.1, 1), (0.2, 1)]), row([]), row([(9.0, 1), (9.5, 1)]), row([(20.0, 1)])]).records
    assert chunk_gaps_s(records, every(records)).tolist() == pytest.approx([0.1, 0.5])
    assert chunk_gaps_s(records, np.array([True, True, False, True])).tolist() == pytest.approx([0.1])


def test_choices_side_by_side_have_gaps_of_their_own(row: Row, recording_of: RecordingOf) -> None:
    arrivals = [(0.1, 1), (0.11, 1), (0.2, 1), (0.22, 2), (0.3, 1), (0.33, 1)]
    records = recording_of([row(arrivals, choices=[0, 1, 0, 1, 1, 0]), row([(9.0, 1), (9.5, 1)])]).records
    assert chunk_gaps_s(records, every(records)).tolist() == pytest.approx([0.1, 0.13, 0.11, 0.08, 0.5])
    assert token_gaps_s(records, every(records)).tolist() == pytest.approx([0.1, 0.13, 0.055, 0.055, 0.08, 0.5])


answers = st.lists(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 9)), max_size=12),
    max_size=8,
)


@given(answers)
def test_splitting_gaps_among_tokens_keeps_their_sum(some: list[Answer]) -> None:
    records = records_of(some)
    chunks, tokens = chunk_gaps_s(records, every(records)), token_gaps_s(records, every(records))
    assert tokens.sum() == pytest.approx(chunks.sum(), abs=1e-9)
    assert len(chunks) == sum(max(len(answer) - 1, 0) for answer in some)
    assert len(tokens) == sum(count for answer in some for _, count in answer[1:])
    spans_s = [sum(step for step, _ in answer[1:]) / 1e9 for answer in some]
    assert chunks.sum() == pytest.approx(sum(spans_s), abs=1e-9)
