"""What waiting for a limit comes to: beside the latencies, and never in the send delay."""

from collections.abc import Callable
from typing import Any

import pytest

from loadgen.engine.records.record import Outcome, Recording, RequestRecord
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from tests.analysis.summaries import summarise

Row = Callable[..., RequestRecord]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]
S = 1_000_000_000


def test_a_wait_of_a_closed_loop_is_neither_latency_nor_send_delay(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    rows = [
        row([(0.5, 1), (1.0, 1)], due_s=0.0, sent_s=0.0),
        row([(4.5, 1), (5.0, 1)], due_s=1.0, sent_s=4.001, start_s=4.001, limit_wait_ns=3 * S),
    ]
    summary = summarise(spec_of(ClosedLoop(1)), recording_of(rows))
    assert summary["ttft_s"]["max"] == pytest.approx(0.5)
    assert summary["client"]["send_delay_s"]["max"] == pytest.approx(0.001)
    assert (summary["limit_wait_s"]["n"], summary["limit_wait_s"]["max"]) == (2, 3.0)
    assert summary["rate_limits"] == {
        "held_requests": 1,
        "wait_total_s": 3.0,
        "wait_ratio": pytest.approx(3 / (3 + 1.0 + 0.999)),
        "refused_requests": 0,
        "refusal": None,
    }


def test_a_wait_of_an_open_loop_is_in_its_latency_and_stands_beside_it(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    rows = [row([(4.5, 1), (5.0, 1)], due_s=1.0, start_s=1.0, sent_s=4.0, limit_wait_ns=3 * S)]
    summary = summarise(spec_of(OpenLoop(1.0)), recording_of(rows))
    assert summary["ttft_s"]["max"] == pytest.approx(3.5)
    assert summary["ttft_from_send_s"]["max"] == pytest.approx(0.5)
    assert summary["client"]["send_delay_s"]["max"] == 0.0
    assert summary["limit_wait_s"]["max"] == 3.0


def test_without_a_limit_and_a_wait_there_is_nothing_to_tell(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    summary = summarise(spec_of(Wave(1)), recording_of([row([(0.5, 1)])]))
    assert summary["rate_limits"] is None
    assert summary["limit_wait_s"]["n"] == 0


def test_a_limit_that_held_nothing_back_says_so(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    summary = summarise(spec_of(Wave(1), requests_per_minute=60), recording_of([row([(0.5, 1)])]))
    assert (summary["limit_wait_s"]["n"], summary["limit_wait_s"]["max"]) == (1, 0.0)
    assert summary["rate_limits"]["held_requests"] == 0


def test_refusals_are_counted_and_what_waited_in_vain_too(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    refused: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "http_status": 429}
    unsent: dict[str, Any] = {"outcome": Outcome.DROPPED, "http_status": None, "slot": -1}
    rows = [row([], end_s=0.1, **refused), row([], sent_s=None, due_s=0.2, limit_wait_ns=2 * S, **unsent)]
    summary = summarise(spec_of(OpenLoop(1.0)), recording_of(rows))
    facts = summary["rate_limits"]
    assert (facts["refused_requests"], facts["held_requests"], facts["wait_total_s"]) == (1, 1, 2.0)
    assert summary["limit_wait_s"]["n"] == 1, "of those that were sent"
