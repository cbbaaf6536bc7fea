"""The measured part of the run document."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from loadgen.analysis.figures.metrics import METRICS
from loadgen.engine.records.record import CountedBy, Outcome, Recording, RequestRecord
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from tests.analysis.summaries import summarise

Rows = Callable[..., list[RequestRecord]]
Row = Callable[..., RequestRecord]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]

DISTRIBUTION = {"n", "mean", "min", "p50", "p90", "p95", "p99", "max"}


NOTHING_HIDDEN = {"hidden": 0, "hidden_requests": 0, "contradicted_requests": 0}


def test_it_has_every_field_of_the_contract(lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    summary = summarise(spec_of(ClosedLoop(4)), recording_of(lockstep(4, 4)))
    assert {metric.key for metric in METRICS if "." not in metric.key} <= set(summary)
    for metric in METRICS:
        if metric.is_distribution and "." not in metric.key:
            assert set(metric.of(summary)) == DISTRIBUTION
    assert summary["paper"] is None
    assert summary["provider_time"] is None
    assert set(summary["outcomes"]) == {"planned"} | {outcome.label for outcome in Outcome}
    assert set(summary["tokens"]) == {
        "prompt",
        "output",
        "hidden",
        "hidden_requests",
        "contradicted_requests",
        "counted_by",
    }
    assert set(summary["window"]) == {"rule", "start_s", "end_s", "requests"}
    assert set(summary["concurrency"]) == {"asked", "mean", "peak", "thinking_mean"}
    assert set(summary["rates"]) == {"offered_per_s", "sent_per_s", "completed_per_s"}
    for length in summary["lengths"].values():
        assert {"asked", "mean", "min", "max"} <= set(length)
    assert {
        "stamp_source", "workers", "cpu_s", "cpu_ratio", "events", "reads", "loop_lag_s", "send_delay_s", "coalesced_ratio",
        "connect_s", "network_rtt_s", "clock_step_s", "connections_opened", "connections_reopened", "peak_rss_bytes",
    } <= set(summary["client"])  # fmt: skip


def test_it_is_json_whatever_happened(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    dropped = row([], sent_s=None, due_s=0.0, slot=-1, outcome=Outcome.DROPPED)
    for rows in ([], [dropped], [row([(0.1, 1), (0.2, 1)])]):
        for shape in (ClosedLoop(1), OpenLoop(1.0), Wave(1)):
            summary = summarise(spec_of(shape), recording_of(rows))
            assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_outcomes_sum_to_planned_and_failures_speak(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    busy = {"outcome": Outcome.HTTP_ERROR, "http_status": 503, "detail": "HTTP 503: busy"}
    rows = [
        row([(0.1, 1)]),
        row([], end_s=0.1, **busy),
        row([], end_s=0.2, **busy),
        row([], sent_s=None, slot=-1, outcome=Outcome.DROPPED),
    ]
    summary = summarise(spec_of(Wave(4)), recording_of(rows))
    outcomes = dict(summary["outcomes"])
    assert outcomes.pop("planned") == 4 == sum(outcomes.values())
    assert (outcomes["ok"], outcomes["http_error"], outcomes["dropped"]) == (1, 2, 1)
    assert summary["failures"] == [
        {"outcome": "http_error", "http_status": 503, "detail": "HTTP 503: busy", "requests": 2}
    ]


def test_failures_that_differ_in_ids_alone_are_one(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    """Or a failure that names its request would never be the commonest."""
    cut: list[dict[str, Any]] = [
        {"outcome": Outcome.BAD_RESPONSE, "http_status": 200, "detail": f"not JSON: cmpl-{i:x}f 0.{i} s"}
        for i in range(3)
    ]
    dead: list[dict[str, Any]] = [
        {"outcome": Outcome.HTTP_ERROR, "http_status": status, "detail": "dead"} for status in (500, 502, 500)
    ]
    rows = [row([], end_s=0.1, **how) for how in (*dead, *cut)]
    failures = summarise(spec_of(Wave(6)), recording_of(rows))["failures"]
    assert [(one["http_status"], one["detail"], one["requests"]) for one in failures] == [
        (200, "not JSON: cmpl-0f 0.0 s", 3),
        (500, "dead", 2),
        (502, "dead", 1),
    ]


def test_tokens_and_lengths_are_of_all_ok_requests(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = [
        row([(0.1, 2)]),
        row([(0.1, 3)], output_tokens_asked=2, counted_by=CountedBy.USAGE),
        row([(0.1, 9)], outcome=Outcome.TRUNCATED, counted_by=CountedBy.ASSUMED),
    ]
    summary = summarise(spec_of(Wave(3)), recording_of(rows))
    assert summary["tokens"] == NOTHING_HIDDEN | {"prompt": 16, "output": 5, "counted_by": "usage"}
    assert summary["lengths"]["output_tokens"] == {"asked": 2, "mean": 2.5, "min": 2, "max": 3, "requests_off": 1}
    assert summary["lengths"]["prompt_tokens"] == {"asked": 8, "mean": 8.0, "min": 8, "max": 8, "requests_off": 0}


def test_assumed_tokens_are_not_summed(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    summary = summarise(spec_of(Wave(1)), recording_of([row([(0.1, 1)], counted_by=CountedBy.ASSUMED)]))
    assert summary["tokens"] == NOTHING_HIDDEN | {"prompt": 8, "output": None, "counted_by": "assumed"}
    assert summary["lengths"]["output_tokens"]["mean"] is None


def test_concurrency_is_what_was_in_flight(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    """Two in flight for one second, then one for another; a request that follows another does not overlap it."""
    rows = [row([(2.0, 1)], slot=0), row([(1.0, 1)], slot=1), row([(2.0, 1)], slot=1, sent_s=1.0)]
    concurrency = summarise(spec_of(Wave(3)), recording_of(rows))["concurrency"]
    assert concurrency == {"asked": 3, "mean": pytest.approx(2.0), "peak": 2, "thinking_mean": None}


def test_steady_concurrency_ignores_ramp_and_drain(lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    concurrency = summarise(spec_of(ClosedLoop(4)), recording_of(lockstep(4, 8)))["concurrency"]
    assert concurrency["mean"] == pytest.approx(4.0, rel=1e-3)
    assert concurrency["peak"] == 4


def test_first_wave_and_drain_stand_apart(lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    summary = summarise(spec_of(ClosedLoop(4)), recording_of(lockstep(4, 5)))
    apart = [summary[part]["requests"] for part in ("first_wave", "window", "drain")]
    assert apart == [4, 12, 4]
    assert summary["first_wave"]["ttft_s"]["n"] == 4
    whole = summarise(spec_of(ClosedLoop(4)), recording_of(lockstep(4, 1)))
    assert whole["first_wave"] is None
    assert whole["drain"] is None


def test_open_loop_rates_are_those_of_the_arrivals(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    """Eleven arrivals at 10 per second, sent ever later, and a last answer that takes long."""
    rows = [row([(0.1 * i + 4.0, 1)], due_s=0.1 * i, sent_s=0.2 * i) for i in range(11)]
    rates = summarise(spec_of(OpenLoop(10.0)), recording_of(rows))["rates"]
    assert rates["offered_per_s"] == pytest.approx(10.0)
    assert rates["sent_per_s"] == pytest.approx(5.0)
    assert rates["completed_per_s"] == pytest.approx(11 / 5.0)


@pytest.mark.parametrize("answer_s", [0.001, 0.1, 0.5, 3.0])
def test_an_open_loop_never_completes_more_than_it_was_offered(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf, answer_s: float
) -> None:
    """Ten arrivals at 10 per second. A server that keeps up within an interval completes just that; a slow one, fewer."""
    rows = [row([(0.1 * i + answer_s, 2)], due_s=0.1 * i, sent_s=0.1 * i) for i in range(10)]
    summary = summarise(spec_of(OpenLoop(10.0), slo=(("ttft_s", 5.0),)), recording_of(rows))
    expected = 10 / max(1.0, 0.9 + answer_s)
    assert summary["rates"]["offered_per_s"] == pytest.approx(10.0)
    for rate in (summary["rates"]["completed_per_s"], summary["requests_per_s"], summary["goodput_per_s"]):
        assert rate == pytest.approx(expected)
    assert summary["output_tokens_per_s"] == pytest.approx(2 * expected)


def test_closed_loop_offers_no_rate(lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rates = summarise(spec_of(ClosedLoop(4)), recording_of(lockstep(4, 8)))["rates"]
    assert rates["offered_per_s"] is None
    assert rates["sent_per_s"] == pytest.approx(4.0, rel=1e-2)
    assert rates["completed_per_s"] == pytest.approx(4.0, rel=1e-2)


def test_what_was_sent_and_failed_is_not_completed(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = [row([(float(i + 1), 1)], sent_s=float(i)) for i in range(12)]
    rows[5] = row([], sent_s=5.0, end_s=6.0, outcome=Outcome.TIMEOUT)
    rates = summarise(spec_of(ClosedLoop(1)), recording_of(rows))["rates"]
    assert (rates["sent_per_s"], rates["completed_per_s"]) == pytest.approx((1.0, 0.9))


def test_the_client_tells_of_itself(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = [
        row([(0.1, 1), (0.2, 1), (0.2, 1), (0.3, 1)], coalesced=[False, False, True, False], due_s=0.0, sent_s=0.01,
            connect_ns=2_000_000),
        row([], sent_s=None, due_s=0.0, slot=-1, outcome=Outcome.DROPPED),
    ]  # fmt: skip
    lag_ns = np.array([1_000, 3_000], np.int64)
    recording = recording_of(
        rows,
        cpu_s=0.9,
        busiest_cpu_s=0.5,
        wall_s=4.0,
        workers=2,
        loop_lag_ns=lag_ns,
        clock_step_ns=5_000,
        priority="raised",
    )
    client: dict[str, Any] = summarise(spec_of(Wave(2)), recording)["client"]
    assert client["cpu_ratio"] == pytest.approx(0.125)
    assert client["priority"] == "raised"
    assert client["events"] == 4
    assert client["coalesced_ratio"] == pytest.approx(0.25)
    assert client["send_delay_s"]["n"] == 1
    assert client["send_delay_s"]["max"] == pytest.approx(0.01)
    assert client["connect_s"]["max"] == pytest.approx(0.002)
    assert client["loop_lag_s"]["max"] == pytest.approx(3e-6)
    assert client["clock_step_s"] == pytest.approx(5e-6)


def test_first_contents_that_share_a_later_stamp_are_counted_over_the_measured_requests(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    """Of four answers: the second stamp shared, only the third shared, a single chunk, and one that failed."""
    rows = [
        row([(0.2, 1), (0.2, 1), (0.3, 1)], coalesced=[False, True, False]),
        row([(0.1, 1), (0.3, 1), (0.3, 1)], coalesced=[False, False, True]),
        row([(0.1, 1)]),
        row([(0.2, 1), (0.2, 1)], coalesced=[False, True], outcome=Outcome.TIMEOUT),
    ]
    client = summarise(spec_of(Wave(4)), recording_of(rows))["client"]
    assert client["first_content_coalesced_ratio"] == pytest.approx(1 / 3)
    assert summarise(spec_of(Wave(1)), recording_of([rows[3]]))["client"]["first_content_coalesced_ratio"] is None


def test_the_first_waves_send_delay_is_kept_apart(lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = lockstep(4, 5)
    rows[0] = replace(rows[0], due_ns=(rows[0].sent_ns or 0) - 50_000_000)
    client = summarise(spec_of(ClosedLoop(4)), recording_of(rows))["client"]
    assert client["send_delay_s"]["max"] == pytest.approx(0.05)
    assert client["measured_send_delay_s"]["max"] == 0.0
    assert client["measured_send_delay_s"]["n"] == 12


def test_hidden_tokens_count_as_made_and_not_as_seen(
    spec_of: Callable[..., RunSpec], recording_of: Callable[..., Recording], row: Callable[..., RequestRecord]
) -> None:
    arrivals = [(0.1, 1), (0.2, 1), (0.3, 1)]
    hidden = row(arrivals, output_tokens=43, hidden_tokens=40, counted_by=CountedBy.USAGE)
    summary = summarise(spec_of(Wave(1)), recording_of([hidden]))
    assert summary["tokens"] == {
        "prompt": 8, "output": 43, "hidden": 40, "hidden_requests": 1, "contradicted_requests": 0, "counted_by": "usage"
    }  # fmt: skip
    assert summary["tpot_s"]["p50"] == pytest.approx(0.1)
    assert summary["output_tokens_per_s"] == pytest.approx(3 / summary["window"]["end_s"])


def test_a_usage_that_does_not_fit_what_arrived_makes_no_figure(
    spec_of: Callable[..., RunSpec], recording_of: Callable[..., Recording], row: Callable[..., RequestRecord]
) -> None:
    contradicted = row([(0.1, 1), (0.2, 1)], output_tokens=400, hidden_tokens=-1, counted_by=CountedBy.ASSUMED)
    summary = summarise(spec_of(Wave(1)), recording_of([contradicted]))
    assert (summary["tokens"]["contradicted_requests"], summary["tokens"]["hidden"]) == (1, None)
    assert (summary["tpot_s"]["p50"], summary["output_tokens_per_s"]) == (None, None)
