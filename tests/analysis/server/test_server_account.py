"""The server's counters and histograms over a run, and what is seen of the same from outside."""

from typing import Any

import pytest

from loadgen.analysis.measured import Measured, measured_of
from loadgen.analysis.server.account import server_account as account_of
from loadgen.analysis.server.engine_names import ENGINES, LLAMA_CPP, SGLANG, VLLM, EngineNames, names_in
from loadgen.analysis.server.readings import Reading
from loadgen.engine.records.record import Outcome, RequestRecord
from loadgen.load.shapes import ClosedLoop
from tests.analysis.conftest import make_lockstep, make_recording, make_row, make_spec

S = 10**9


def histogram(name: str, counts: dict[str, float], total: float) -> dict[str, float]:
    """The series of a histogram with these cumulative buckets."""
    return {f'{name}_bucket{{le="{bound}"}}': count for bound, count in counts.items()} | {f"{name}_sum": total}


def server_account(readings: list[tuple[int, dict[str, float]]], measured: Measured) -> Any:
    """The account by readings of (second, values)."""
    return account_of([Reading(at_ns, values) for at_ns, values in readings], measured)


TTFT, STEP = VLLM.times["ttft_s"], VLLM.times["step_gap_s"]
BEFORE = {
    "vllm:request_success_total": 10.0,
    "vllm:prefix_cache_queries_total": 100.0,
    "vllm:prefix_cache_hits_total": 50.0,
    "vllm:generation_tokens_total": 1000.0,
    "vllm:prompt_tokens_total": 500.0,
    "vllm:num_preemptions_total": 3.0,
    **histogram(TTFT, {"0.1": 9.0, "0.5": 10.0, "+Inf": 10.0}, 1.0),
    **histogram(STEP, {"0.5": 90.0, "+Inf": 90.0}, 9.0),
}
AFTER = {
    "vllm:request_success_total": 12.0,
    "vllm:prefix_cache_queries_total": 300.0,
    "vllm:prefix_cache_hits_total": 70.0,
    "vllm:generation_tokens_total": 1005.0,
    "vllm:prompt_tokens_total": 516.0,
    "vllm:num_preemptions_total": 4.0,
    **histogram(TTFT, {"0.1": 9.0, "0.5": 12.0, "+Inf": 12.0}, 1.5),
    **histogram(STEP, {"0.5": 91.0, "+Inf": 92.0}, 10.1),
}


@pytest.fixture
def measured() -> Measured:
    """Two answers with a TTFT of 0.2 and 0.4 s and a gap of 0.1 and 1 s, and a failure that was sent and brought a token."""
    rows: list[RequestRecord] = [
        make_row([(0.2, 1), (0.3, 1)]),
        make_row([(1.4, 1), (2.4, 1)], sent_s=1.0),
        make_row([(1.5, 1)], sent_s=1.0, end_s=2.0, outcome=Outcome.TIMEOUT, output_tokens=-1),
    ]
    return measured_of(make_spec(requests=3), make_recording(rows).records)


def test_counters_are_told_by_how_far_they_moved(measured: Measured) -> None:
    account = server_account([(-9 * S, {}), (-5 * S, BEFORE), (5 * S, {}), (10 * S, AFTER)], measured)
    assert account is not None
    assert account["engine"] == "vLLM"
    assert account["readings"] == 2
    assert (account["requests_finished"], account["requests_sent"]) == (2, 3)
    assert (account["output_tokens"], account["client_output_tokens"]) == (5, 5)
    assert (account["prompt_tokens"], account["preemptions"]) == (16, 1)
    assert account["prefix_cache_hit_ratio"] == pytest.approx(0.1)
    assert (account["first_tokens"], account["client_first_tokens"]) == (2, 2)
    assert account["ttft_mean_s"] == pytest.approx(0.25)
    assert account["client_ttft_mean_s"] == pytest.approx(0.3)
    assert account["step_gap_total_s"] == pytest.approx(1.1)
    assert account["client_chunk_gap_total_s"] == pytest.approx(1.1)
    assert account["speculation"] is None


def test_histograms_are_of_this_run_alone_and_their_percentiles_two_bounds(measured: Measured) -> None:
    account = server_account([(-5 * S, BEFORE), (10 * S, AFTER)], measured)
    assert account is not None
    assert account["times"]["ttft_s"]["counts"] == [0, 2, 0]
    assert account["times"]["ttft_s"]["p50"] == [0.1, 0.5]
    assert account["client_times"]["ttft_s"]["p50"] == pytest.approx(0.3)
    assert account["times"]["step_gap_s"]["p50"] == [0.0, None]
    assert "queue_s" not in account["times"]


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [(-1 * S, BEFORE)],
        [(5 * S, BEFORE), (10 * S, AFTER)],
        [(-5 * S, AFTER), (10 * S, BEFORE)],
        [(-5 * S, BEFORE), (10 * S, {"other:x": 1.0})],
    ],
    ids=["none", "only before", "only after", "the server began anew", "an engine that nobody knows"],
)
def test_without_both_sides_nothing_is_said(readings: list[Any], measured: Measured) -> None:
    assert server_account(readings, measured) is None


def test_a_counter_that_the_server_lacks_gives_no_figure(measured: Measured) -> None:
    account = server_account([(-5 * S, {}), (10 * S, {"vllm:num_requests_running": 0.0})], measured)
    assert account is not None
    names = (
        "requests_finished",
        "prefix_cache_hit_ratio",
        "first_tokens",
        "ttft_mean_s",
        "output_tokens",
        "preemptions",
    )
    assert [account[name] for name in names] == [None] * len(names)
    assert account["times"] == {}


def test_a_run_measured_whole_has_all_tokens_over_its_window(measured: Measured) -> None:
    account = server_account([(-5 * S, BEFORE), (10 * S, AFTER)], measured)
    assert account is not None
    assert account["output_tokens_per_s"] == account["client_output_tokens_per_s"] == pytest.approx(5 / 2.4)


@pytest.fixture
def steady() -> Measured:
    """Four callers, ten waves of a second with two tokens each: a steady state from 1 to 9 s."""
    return measured_of(make_spec(ClosedLoop(4), requests=40), make_recording(make_lockstep(4, 10)).records)


def reading(at_s: float, tokens: float, running: float = 4.0, waiting: float = 0.0) -> tuple[int, dict[str, float]]:
    values = {
        VLLM.output_tokens: tokens,
        VLLM.running: running,
        VLLM.waiting: waiting,
        VLLM.kv_cache_usage: running / 8,
    }
    return round(at_s * 1e9), values


def test_in_a_steady_state_both_sides_count_between_the_same_two_readings(steady: Measured) -> None:
    readings = [
        reading(-1, 100),
        reading(0.5, 104),
        reading(2.75, 120),
        reading(5.25, 140),
        reading(7.75, 160),
        reading(10.5, 180),
    ]
    account = server_account(readings, steady)
    assert account is not None
    assert (account["rate_start_s"], account["rate_end_s"]) == (2.75, 7.75)
    assert account["output_tokens_per_s"] == pytest.approx(8.0)
    assert account["client_output_tokens_per_s"] == pytest.approx(8.0)


def test_of_a_counter_that_moves_at_the_end_of_an_answer_no_rate_is_made(steady: Measured) -> None:
    readings = [
        (at, {SGLANG.output_tokens: values[VLLM.output_tokens]})
        for at, values in (reading(s, 10 * (s + 1)) for s in range(-1, 12))
    ]
    account = server_account(readings, steady)
    assert account is not None
    assert account["engine"] == "SGLang"
    assert account["output_tokens"] == 110
    assert account["output_tokens_per_s"] is None


def test_what_varied_is_told_over_the_window_alone(steady: Measured) -> None:
    readings = [
        reading(-1, 0, 0),
        reading(0.5, 4, 1, 9),
        reading(3, 9, 4, 0),
        reading(5, 9, 3, 1),
        reading(7, 9, 2, 2),
        reading(11, 9, 0, 9),
    ]
    account = server_account(readings, steady)
    assert account is not None
    assert account["running_requests"] == {"n": 3, "mean": 3.0, "max": 4.0}
    assert account["waiting_requests"] == {"n": 3, "mean": 1.0, "max": 2.0}
    assert account["kv_cache_usage_ratio"] == {"n": 3, "mean": 0.375, "max": 0.5}
    none = server_account(readings[:2] + readings[5:], steady)
    assert none is not None
    assert none["running_requests"] is None


def test_speculation_is_told_by_its_drafts(measured: Measured) -> None:
    counts = {"drafts": 100.0, "draft_tokens": 300.0, "accepted_tokens": 150.0}
    after = AFTER | {f"vllm:spec_decode_num_{name}_total": count for name, count in counts.items()}
    opening = "vllm:spec_decode_num_accepted_tokens_per_pos_total"
    after |= {
        f'{opening}{{position="{place}"}}': count
        for place, count in ((2, 20.0), ("00", 80.0), (10, 0.0), (1, 50.0), ("x", 9.0), ("", 9.0), ("²", 9.0))
    }
    account = server_account([(-5 * S, BEFORE), (10 * S, after)], measured)
    assert account is not None
    assert account["speculation"] == {
        "drafts": 100,
        "draft_tokens": 300,
        "accepted_tokens": 150,
        "acceptance_ratio": 0.5,
        "tokens_per_draft": 2.5,
        "acceptance_by_position": [0.8, 0.5, 0.2, 0.0],
    }


@pytest.mark.parametrize("names", ENGINES)
def test_an_engine_is_known_by_its_series(names: EngineNames) -> None:
    found = names_in({names.output_tokens: 1.0, "process_cpu_seconds_total": 3.0})
    assert found == names
    series = [names.output_tokens, names.prompt_tokens, names.running, names.waiting, names.kv_cache_usage]
    assert all(name.startswith(names.prefix) for name in (*series, *names.times.values()))


def test_llama_cpp_counts_tokens_without_requests(measured: Measured) -> None:
    account = server_account(
        [(-5 * S, {LLAMA_CPP.output_tokens: 7.0}), (10 * S, {LLAMA_CPP.output_tokens: 12.0})], measured
    )
    assert account is not None
    assert (account["output_tokens"], account["requests_finished"], account["times"]) == (5, None, {})
