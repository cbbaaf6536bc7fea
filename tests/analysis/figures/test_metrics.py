"""Each metric against records worked by hand, the traps that other tools fall into among them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METRICS, chunk_gaps_s, token_gaps_s
from loadgen.analysis.measured import Measured, measured_of
from loadgen.engine.records.record import Bool, CountedBy, Outcome, Recording, Records, RequestRecord
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.spec import RunSpec

Rows = Callable[..., list[RequestRecord]]
Row = Callable[..., RequestRecord]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]
Compute = Callable[..., list[float] | float | None]

BY_KEY = {metric.key: metric for metric in METRICS}


@pytest.fixture
def figure(spec_of: SpecOf, recording_of: RecordingOf) -> Compute:
    """A metric by its key over some rows: samples as a list, or the scalar."""

    def compute(
        key: str, rows: list[RequestRecord], shape: LoadShape | None = None, **spec: object
    ) -> list[float] | float | None:
        value = BY_KEY[key].computed(measured_of(spec_of(shape or Wave(len(rows)), **spec), recording_of(rows).records))
        return value.tolist() if isinstance(value, np.ndarray) else value

    return compute


def test_a_role_only_chunk_is_the_first_byte_and_not_the_first_token(row: Row, figure: Compute) -> None:
    rows = [row([(0.220, 1), (0.230, 1)], first_byte_ns=20_000_000)]
    assert figure("ttft_s", rows) == pytest.approx([0.220])


def test_three_messages_in_one_read_share_one_stamp(row: Row, figure: Compute) -> None:
    rows = [row([(0.1, 1), (0.3, 1), (0.3, 1), (0.3, 1)], coalesced=[False, False, True, True])]
    assert figure("chunk_gap_s", rows) == pytest.approx([0.2, 0.0, 0.0])
    assert figure("tpot_s", rows) == pytest.approx([0.2 / 3])


def test_the_open_loop_counts_from_the_intended_time(row: Row, figure: Compute) -> None:
    rows = [row([(1.5, 1), (2.0, 1)], due_s=1.0, start_s=1.0, sent_s=1.2)]
    assert figure("ttft_s", rows, OpenLoop(1.0)) == pytest.approx([0.5])
    assert figure("ttft_from_send_s", rows, OpenLoop(1.0)) == pytest.approx([0.3])
    assert figure("e2e_latency_s", rows, OpenLoop(1.0)) == pytest.approx([1.0])


def test_tpot_divides_by_tokens_and_not_by_chunks(row: Row, figure: Compute) -> None:
    assert figure("tpot_s", [row([(0.1, 1), (0.7, 3)])]) == pytest.approx([0.2])


def test_tpot_of_choices_side_by_side_is_the_time_of_one(row: Row, figure: Compute) -> None:
    arrivals = [(0.1, 1), (0.1, 1), (0.3, 2), (0.3, 2)]
    assert figure("tpot_s", [row(arrivals, choices=[0, 1, 0, 1])]) == pytest.approx([0.1])
    assert figure("tpot_s", [row([(0.1, 1), (0.3, 1)], choices=[0, 1])]) == []


def test_tokens_per_chunk_has_a_value_a_chunk_unless_any_is_assumed(row: Row, figure: Compute) -> None:
    rows = [row([(0.1, 1), (0.2, 3)]), row([(0.1, 2)]), row([(0.1, 9)], outcome=Outcome.TIMEOUT)]
    assert figure("tokens_per_chunk", rows) == [1, 3, 2]
    assert figure("tokens_per_chunk", [*rows, row([(0.1, 1)], counted_by=CountedBy.ASSUMED)]) == []


def test_tpot_needs_two_tokens_at_two_moments(row: Row, figure: Compute) -> None:
    assert figure("tpot_s", [row([(0.1, 1)]), row([(0.1, 4)]), row([(0.1, 1), (0.3, 1)])]) == pytest.approx([0.2])


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_a_failure_is_never_a_latency(row: Row, figure: Compute, outcome: Outcome) -> None:
    rows = [row([(0.1, 1), (0.2, 1)]), row([(0.001, 1), (0.002, 1)], outcome=outcome)]
    for key in ("ttft_s", "ttft_from_send_s", "chunk_gap_s", "token_gap_s", "tpot_s", "e2e_latency_s"):
        samples = figure(key, rows)
        assert isinstance(samples, list)
        assert len(samples) == 1
        assert samples[0] >= 0.1 - 1e-12


def test_assumed_tokens_make_no_figure(row: Row, figure: Compute) -> None:
    rows = [row([(0.1, 1), (0.2, 1)]), row([(0.1, 1), (0.2, 1)], counted_by=CountedBy.ASSUMED)]
    assert figure("token_gap_s", rows) == []
    assert figure("tpot_s", rows) == []
    assert figure("output_tokens_per_s", rows) is None
    assert figure("total_tokens_per_s", rows) is None
    assert figure("chunk_gap_s", rows) == pytest.approx([0.1, 0.1])


def test_an_assumed_failure_does_not_spoil_the_others(row: Row, figure: Compute) -> None:
    rows = [
        row([(0.1, 1), (0.2, 1)]),
        row([(0.1, 1)], counted_by=CountedBy.ASSUMED, output_tokens=1, outcome=Outcome.TRUNCATED),
    ]
    assert figure("token_gap_s", rows) == pytest.approx([0.1])
    assert figure("output_tokens_per_s", rows) == pytest.approx(3 / 0.2)


def test_a_sum_without_chunks_gives_tpot_and_throughput_but_no_token_gap(row: Row, figure: Compute) -> None:
    rows = [row([(0.1, 1), (0.3, 1)], counted_by=CountedBy.ASSUMED, output_tokens=5)]
    assert figure("token_gap_s", rows) == []
    assert figure("tpot_s", rows) == pytest.approx([0.05])
    assert figure("output_tokens_per_s", rows) == pytest.approx(5 / 0.3)
    assert figure("total_tokens_per_s", rows) == pytest.approx((8 + 5) / 0.3)


def test_a_sum_without_chunks_is_spread_over_the_chunks_in_the_window(row: Row, figure: Compute) -> None:
    """Answers of four tokens in two chunks, at the half and at the end of each second."""
    rows = [
        row([(i + 0.5, 1), (i + 1.0, 1)], sent_s=float(i), counted_by=CountedBy.ASSUMED, output_tokens=4)
        for i in range(12)
    ]
    assert figure("output_tokens_per_s", rows, ClosedLoop(1)) == pytest.approx(4.0)


def test_throughput_counts_tokens_by_their_stamps_whoever_carried_them(row: Row, figure: Compute) -> None:
    """A closed loop of one: the window is (1, 11]; the request that ends at 12 has its first token inside it."""
    rows = [row([(i + 0.5, 3), (i + 1.0, 1)], sent_s=float(i)) for i in range(12)]
    rows[4] = row([(4.5, 3)], sent_s=4.0, end_s=5.0, outcome=Outcome.TIMEOUT)
    rows[11] = row([(11.0, 2), (12.0, 2)], sent_s=11.0)
    assert figure("output_tokens_per_s", rows, ClosedLoop(1)) == pytest.approx((9 * 4 + 3 + 2) / 10)
    assert figure("total_tokens_per_s", rows, ClosedLoop(1)) == pytest.approx((9 * 4 + 3 + 2 + 11 * 8) / 10)
    assert figure("requests_per_s", rows, ClosedLoop(1)) == pytest.approx(9 / 10)


def test_throughput_of_ragged_lockstep_is_true(lockstep: Rows, figure: Compute) -> None:
    rows = lockstep(16, 4)
    assert figure("output_tokens_per_s", rows, ClosedLoop(16)) == pytest.approx(32.0, rel=1e-2)
    assert figure("requests_per_s", rows, ClosedLoop(16)) == pytest.approx(16.0, rel=1e-2)


def test_an_unknown_prompt_leaves_the_total_unknown(row: Row, figure: Compute) -> None:
    rows = [row([(0.1, 1), (0.2, 1)], prompt_tokens=None)]
    assert figure("total_tokens_per_s", rows) is None
    assert figure("output_tokens_per_s", rows) == pytest.approx(10.0)


def test_a_failed_requests_prompt_counts_as_asked_where_all_others_were(row: Row, figure: Compute) -> None:
    """A server counts a prompt at the end of its answer, which a failed request never saw."""
    failed = row([(0.1, 1)], prompt_tokens=None, prompt_tokens_asked=5, outcome=Outcome.TIMEOUT)
    rows = [row([(0.1, 1), (0.2, 1)]), failed]
    assert figure("total_tokens_per_s", rows) == pytest.approx((3 + 8 + 5) / 0.2)
    told = replace(failed, prompt_tokens=9)
    assert figure("total_tokens_per_s", [rows[0], told]) == pytest.approx((3 + 8 + 9) / 0.2)


def test_a_failed_requests_prompt_stays_unknown_where_others_were_not_as_asked(row: Row, figure: Compute) -> None:
    failed = row([(0.1, 1)], prompt_tokens=None, outcome=Outcome.TIMEOUT)
    off = row([(0.1, 1), (0.2, 1)], prompt_tokens=9)
    assert figure("total_tokens_per_s", [row([(0.1, 1), (0.2, 1)]), off, failed]) is None
    assert figure("output_tokens_per_s", [row([(0.1, 1), (0.2, 1)]), off, failed]) == pytest.approx(5 / 0.2)
    assert figure("total_tokens_per_s", [failed, row([(0.2, 1)], outcome=Outcome.TRUNCATED)]) is None


def test_goodput_asks_for_every_limit(row: Row, figure: Compute) -> None:
    rows = [
        row([(0.1, 1), (0.2, 1)]),  # good
        row([(0.3, 1), (0.4, 1)]),  # late to begin
        row([(0.1, 1), (1.0, 1)]),  # slow
        row([(0.1, 1)]),  # one token: no TPOT to exceed
        row([(0.1, 1), (0.2, 1)], outcome=Outcome.TRUNCATED),
    ]
    slo = (("ttft_s", 0.2), ("tpot_s", 0.5))
    assert figure("goodput_per_s", rows, slo=slo) == pytest.approx(2 / 1.0)
    assert figure("goodput_per_s", rows, slo=(("e2e_latency_s", 0.2),)) == pytest.approx(2 / 1.0)
    assert figure("goodput_per_s", rows) is None


def test_goodput_cannot_be_judged_by_a_tpot_that_nobody_knows(row: Row, figure: Compute) -> None:
    rows = [row([(0.1, 1), (1.0, 1)], counted_by=CountedBy.ASSUMED)]
    assert figure("goodput_per_s", rows, slo=(("tpot_s", 0.1),)) is None
    assert figure("goodput_per_s", rows, slo=(("ttft_s", 0.1),)) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_nothing_measured_gives_no_figure(row: Row, spec_of: SpecOf, recording_of: RecordingOf, metric: Figure) -> None:
    dropped = row([], sent_s=None, due_s=0.0, slot=-1, outcome=Outcome.DROPPED, prompt_tokens=None, output_tokens=None)
    for rows in ([], [dropped]):
        for shape in (ClosedLoop(1), OpenLoop(1.0), Wave(1)):
            measured: Measured = measured_of(spec_of(shape, slo=(("ttft_s", 1.0),)), recording_of(rows).records)
            value = metric.computed(measured)
            assert len(value) == 0 if isinstance(value, np.ndarray) else value is None
            assert isinstance(value, np.ndarray) == (metric.is_distribution)


def test_only_the_papers_figure_is_called_itl() -> None:
    named = {metric.key for metric in METRICS if "itl" in f"{metric.key} {metric.label}".lower()}
    assert named == {"paper.itl_s"}


def test_units_are_in_the_names() -> None:
    for metric in METRICS:
        assert metric.key.endswith({"s": "_s", "tokens": "_per_chunk", "ratio": "_ratio"}.get(metric.unit, "_per_s"))
        if metric.key != "limit_wait_s" and not metric.key.startswith("provider_time."):  # nobody's merit
            assert metric.better == {"s": "lower", "tokens": None}.get(metric.unit, "higher")


def test_a_failed_request_counts_against_the_goodput_share_and_a_cancelled_one_does_not(
    row: Row, figure: Compute
) -> None:
    good = row([(0.1, 1), (1.0, 1)])
    slow = row([(0.6, 1), (1.0, 1)])
    failed = row(sent_s=0.0, end_s=0.5, outcome=Outcome.HTTP_ERROR)
    cancelled = row(sent_s=0.0, end_s=0.5, outcome=Outcome.CANCELLED)
    slo = (("ttft_s", 0.5),)
    assert figure("goodput_ratio", [good, slow, failed, cancelled], slo=slo) == pytest.approx(1 / 3)
    assert figure("goodput_ratio", [cancelled], slo=slo) is None
    assert figure("goodput_ratio", [good]) is None


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
