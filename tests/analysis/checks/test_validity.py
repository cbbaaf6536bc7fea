"""Each check fires where it should, stays silent beside it, and says what to do."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadgen.analysis.checks.validity import CHECKS, judge
from loadgen.analysis.verdict import merge_findings
from loadgen.engine.records.record import CountedBy, Outcome, Recording, RequestRecord
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.load.workload import DatasetSource, Workload
from tests.analysis.conftest import ACCOUNT
from tests.analysis.summaries import summarise

Rows = Callable[..., list[RequestRecord]]
Row = Callable[..., RequestRecord]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]
Case = tuple[dict[str, Any], dict[str, Any], str, str | None]  # spec fields, changes of the summary, code, severity

CLOSED = {"shape": ClosedLoop(8), "requests": 2048}
LASTING = {"shape": ClosedLoop(8), "requests": None, "duration_s": 60.0}
OPEN = {"shape": OpenLoop(10.0), "requests": 2048}
AT_MOST = {"shape": OpenLoop(10.0, max_in_flight=4), "requests": 2048}
WAVE = {"shape": Wave(8), "requests": None}
OWN_PROMPTS = {
    "shape": ClosedLoop(8),
    "requests": 2048,
    "workload": Workload(dataset=DatasetSource("own.jsonl", "0" * 16, prompts=100, mean_bytes=50)),
}
ODD_ROWS = OWN_PROMPTS | {
    "workload": Workload(dataset=DatasetSource("own.jsonl", "0" * 16, 100, 50, 3, "own.jsonl line 2 is empty"))
}
LATE = {"client.loop_lag_s.p99": 4e-3}
READ = {"client.stamp_source": "read"}
LIMITED = {"shape": ClosedLoop(8), "requests": 2048, "requests_per_minute": 60}
OPEN_LIMITED = {"shape": OpenLoop(10.0), "requests": 2048, "requests_per_minute": 60}


def held(ratio: float, requests: int = 100, **more: Any) -> dict[str, Any]:
    """What a limit made of a run in which so many requests waited, for this share of the time of all."""
    facts = {
        "held_requests": requests,
        "wait_total_s": 250.0,
        "wait_ratio": ratio,
        "refused_requests": 0,
        "refusal": None,
    }
    return {"rate_limits": facts | more}


WHOLE = {"window.rule": "whole_run"}

CLI_DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
FLAGS = set(re.findall(r"--[a-z][a-z-]*", CLI_DOCUMENT)) - {"--workers"}  # more than one worker is refused

BROKEN_AT_8 = {"levels": [{"streams": 8, "broken": ["TTFT error p99 9 ms, promised 0.2 ms"]}]}

OWN_END = {"lengths.output_tokens.can_be_asked": False, "lengths.output_tokens.requests_off": 600}
# A server's account of our requests alone, all of which it answered.
ALONE = ACCOUNT | {"requests_finished": 2048, "first_tokens": 2048, "client_first_tokens": 2048}
EARLIER = {"n": 2048, **dict.fromkeys(("p90", "p95", "p99"))}

CASES: list[Case] = [
    (CLOSED, {"server": {"model_list_problem": "it lists 'x'"}}, "model_not_listed", "note"),
    (CLOSED, {"server": {"model_list_problem": None}}, "model_not_listed", None),
    (CLOSED, {"server": {"adapted_fields": [{"field": "ignore_eos", "sent_as": None}]}}, "fields_adapted", "note"),
    (CLOSED, {"server": {"adapted_fields": []}}, "fields_adapted", None),
    (CLOSED, {"server": {"first_question_problem": "HTTP 503"}}, "first_question_unanswered", "note"),
    (CLOSED, {"server": {"first_question_problem": None}}, "first_question_unanswered", None),
    (CLOSED, {"outcomes.ok": 0, "outcomes.timeout": 2048}, "no_ok_requests", "invalid"),
    (CLOSED, {"outcomes.ok": 0, "outcomes.planned": 0}, "no_ok_requests", "invalid"),
    (CLOSED, {"outcomes.ok": 1}, "no_ok_requests", None),
    (CLOSED, {"outcomes.ok": 1, "outcomes.timeout": 0}, "errors", None),
    (CLOSED, {"outcomes.ok": 995, "outcomes.timeout": 5}, "errors", "note"),
    (CLOSED, {"outcomes.ok": 985, "outcomes.truncated": 15}, "errors", "doubtful"),
    (CLOSED, {"outcomes.ok": 890, "outcomes.http_error": 110}, "errors", "invalid"),
    (CLOSED, {"outcomes.ok": 500, "outcomes.dropped": 500, "outcomes.cancelled": 500}, "errors", None),
    (CLOSED, {"interrupted": True}, "interrupted", "doubtful"),
    (CLOSED, {"outcomes.cancelled": 100} | WHOLE, "cancelled", "doubtful"),
    (CLOSED, {"outcomes.cancelled": 10} | WHOLE, "cancelled", None),
    (CLOSED, {"outcomes.cancelled": 100}, "cancelled", None),
    (OPEN, {"outcomes.dropped": 1}, "dropped", "doubtful"),
    (OPEN, {"outcomes.dropped": 500}, "dropped", "invalid"),
    (AT_MOST, {"outcomes.dropped": 500}, "dropped", "invalid"),
    (AT_MOST, {"outcomes.dropped": 500, "rates.offered_per_s": 10.0, "rates.sent_per_s": 1.0}, "rate_not_reached", None),
    (AT_MOST, {"rates.offered_per_s": 10.0, "rates.sent_per_s": 1.0}, "rate_not_reached", "invalid"),
    (CLOSED, {"outcomes.dropped": 500}, "dropped", "invalid"),
    (OPEN, {"outcomes.dropped": 500, "interrupted": True}, "dropped", None),
    (CLOSED, {"outcomes.cancelled": 100, "interrupted": True} | WHOLE, "cancelled", None),
    (CLOSED, {"ttft_s.n": 500, "ttft_s.p99": None}, "too_few_requests", "note"),
    (CLOSED, {"ttft_s.n": 7, "ttft_s.p90": None, "ttft_s.p95": None, "ttft_s.p99": None}, "too_few_requests", "doubtful"),
    (WAVE, {"ttft_s.n": 7, "ttft_s.p90": None, "ttft_s.p95": None, "ttft_s.p99": None}, "too_few_requests", "note"),
    (CLOSED, {"lengths.prompt_tokens.mean": 8.15}, "input_length_off", None),
    (CLOSED, {"lengths.prompt_tokens.mean": 8.4}, "input_length_off", "doubtful"),
    (CLOSED, {"lengths.prompt_tokens.mean": 17.0}, "input_length_off", "doubtful"),
    (CLOSED, {"lengths.output_tokens.mean": 1.999, "lengths.output_tokens.requests_off": 2}, "output_length_off", "doubtful"),
    (CLOSED, {"lengths.output_tokens.mean": 1.7, "lengths.output_tokens.requests_off": 600}, "output_length_off", "doubtful"),
    (CLOSED, {"lengths.output_tokens.mean": None}, "output_length_off", None),
    (CLOSED, OWN_END | {"lengths.output_tokens.mean": 1.2}, "output_length_off", "note"),
    (CLOSED, OWN_END | {"lengths.output_tokens.mean": 72.0}, "output_length_off", "doubtful"),
    (CLOSED, {"lengths.output_tokens.mean": None}, "length_unknown", "note"),
    (CLOSED, {"total_tokens_per_s": None, "lengths.prompt_tokens.mean": None}, "total_throughput_unknown", "note"),
    (CLOSED, {"total_tokens_per_s": None, "lengths.prompt_tokens.requests_off": 3}, "total_throughput_unknown", "note"),
    (CLOSED, {"total_tokens_per_s": None, "output_tokens_per_s": None}, "total_throughput_unknown", None),
    (OWN_PROMPTS, {"outcomes.planned": 101}, "prompts_repeated", "doubtful"),
    (OWN_PROMPTS, {"outcomes.planned": 100}, "prompts_repeated", None),
    (CLOSED, {"outcomes.planned": 101}, "prompts_repeated", None),
    (ODD_ROWS, {}, "rows_skipped", "note"),
    (OWN_PROMPTS, {}, "rows_skipped", None),
    (OWN_PROMPTS, {"lengths.prompt_tokens.asked": None, "lengths.prompt_tokens.requests_off": None}, "input_length_off", None),
    (OWN_PROMPTS, {"total_tokens_per_s": None, "lengths.prompt_tokens.requests_off": None}, "total_throughput_unknown", "note"),
    (CLOSED, {"concurrency.mean": 7.7}, "concurrency_not_reached", None),
    (CLOSED, {"concurrency.mean": 7.5}, "concurrency_not_reached", "doubtful"),
    (CLOSED, {"concurrency.mean": 6.0}, "concurrency_not_reached", "invalid"),
    (CLOSED, {"concurrency.mean": 4.0} | WHOLE, "concurrency_not_reached", None),
    (WAVE, {"concurrency.peak": 4} | WHOLE, "concurrency_not_reached", "invalid"),
    (WAVE, {"concurrency.peak": 4, "interrupted": True} | WHOLE, "concurrency_not_reached", "invalid"),
    (WAVE, {"concurrency.peak": 4, "interrupted": True, "outcomes.dropped": 2044} | WHOLE, "concurrency_not_reached", None),
    (OPEN, {"rates.offered_per_s": 10.0, "rates.sent_per_s": 9.95}, "rate_not_reached", None),
    (OPEN, {"rates.offered_per_s": 10.0, "rates.sent_per_s": 9.8}, "rate_not_reached", "doubtful"),
    (OPEN, {"rates.offered_per_s": 10.0, "rates.sent_per_s": 5.0}, "rate_not_reached", "invalid"),
    (CLOSED, {"rates.offered_per_s": None, "rates.sent_per_s": 5.0}, "rate_not_reached", None),
    (LIMITED, held(0.5), "held_by_limit", "doubtful"),
    (LIMITED, held(0.005), "held_by_limit", "note"),
    (LIMITED, held(0.0, requests=0), "held_by_limit", None),
    (CLOSED, held(0.5, refused_requests=3), "held_by_limit", "doubtful"),
    (LIMITED, held(0.5) | {"concurrency.mean": 1.0}, "concurrency_not_reached", "doubtful"),
    (LIMITED, held(0.0, requests=0) | {"concurrency.mean": 1.0}, "concurrency_not_reached", "invalid"),
    (OPEN_LIMITED, held(0.5) | {"rates.offered_per_s": 10.0, "rates.sent_per_s": 1.0}, "rate_not_reached", "doubtful"),
    (OPEN_LIMITED, held(0.5) | {"outcomes.dropped": 500}, "dropped", "invalid"),
    (CLOSED, held(0.5, refusal="the server has enough") | {"interrupted": True}, "interrupted", "doubtful"),
    (CLOSED, WHOLE, "no_steady_state", "note"),
    (LASTING, WHOLE, "no_steady_state", "note"),
    (OPEN, WHOLE, "no_steady_state", None),
    (LASTING, {"client.schedule_exhausted": True}, "schedule_exhausted", "note"),
    (CLOSED, READ, "stamp_source_read", "note"),
    (CLOSED, READ | {"client.reads": 0}, "stamp_source_read", None),
    (CLOSED, READ | LATE, "stamp_source_read", "doubtful"),
    (CLOSED, LATE, "stamp_source_read", None),
    (CLOSED, {"client.coalesced_ratio": 0.005}, "coalesced", None),
    (CLOSED, {"client.coalesced_ratio": None}, "coalesced", None),
    (CLOSED, {"client.coalesced_ratio": 0.05}, "coalesced", "doubtful"),
    (CLOSED, {"client.coalesced_ratio": 0.5}, "coalesced", "doubtful"),
    (CLOSED, {"client.coalesced_ratio": 0.05} | LATE, "coalesced", "doubtful"),
    (CLOSED, {"client.coalesced_ratio": 0.5} | LATE, "coalesced", "invalid"),
    (CLOSED, {"client.coalesced_ratio": 0.5, "client.cpu_ratio": 0.95}, "coalesced", "invalid"),
    (CLOSED, {"client.coalesced_ratio": 0.5, "chunk_gap_s.p50": 0.0, "client.loop_lag_s.p99": 1.1e-3}, "coalesced", "doubtful"),
    (CLOSED, {"client.coalesced_ratio": 0.5, "chunk_gap_s.p50": 2e-5, "client.loop_lag_s.p99": 1.1e-3}, "coalesced", "doubtful"),
    (CLOSED, {"client.coalesced_ratio": 0.5, "chunk_gap_s.p50": 2e-5, "client.loop_lag_s.p99": 2.1e-3}, "coalesced", "invalid"),
    (CLOSED, {"client.coalesced_ratio": 0.5, "chunk_gap_s.p50": 4e-4, "client.loop_lag_s.p99": 5e-4}, "coalesced", "invalid"),
    (CLOSED, {"client.first_content_coalesced_ratio": 0.005}, "first_content_coalesced", None),
    (CLOSED, {"client.first_content_coalesced_ratio": None}, "first_content_coalesced", None),
    (CLOSED, {"client.first_content_coalesced_ratio": 0.05} | LATE, "first_content_coalesced", "doubtful"),
    (CLOSED, {"client.first_content_coalesced_ratio": 0.5}, "first_content_coalesced", "doubtful"),
    (CLOSED, {"client.first_content_coalesced_ratio": 0.5, "client.loop_lag_s.max": 0.02}, "first_content_coalesced", "doubtful"),
    (CLOSED, {"client.first_content_coalesced_ratio": 0.5} | LATE, "first_content_coalesced", "invalid"),
    (OPEN, {"client.measured_send_delay_s.p99": 0.9e-3, "ttft_s.p50": 1e-3}, "send_delay", None),
    (OPEN, {"client.measured_send_delay_s.p99": 2e-3}, "send_delay", None),
    (OPEN, {"client.measured_send_delay_s.p99": 20e-3}, "send_delay", "doubtful"),
    (OPEN, {"client.measured_send_delay_s.p99": 60e-3}, "send_delay", "invalid"),
    (WAVE, {"client.measured_send_delay_s.p99": 60e-3}, "send_delay", "doubtful"),
    (WAVE, {"client.measured_send_delay_s.max": 60e-3}, "send_delay", None),
    (CLOSED, {"client.measured_send_delay_s.p99": 60e-3, "client.measured_send_delay_s.mean": 5e-3}, "send_delay", None),
    (CLOSED, {"client.measured_send_delay_s.mean": 15e-3}, "send_delay", "doubtful"),
    (CLOSED, {"client.measured_send_delay_s.mean": 150e-3}, "send_delay", "doubtful"),
    (CLOSED, {"client.cpu_ratio": 0.85}, "client_busy", None),
    (CLOSED, {"client.cpu_ratio": 0.95}, "client_busy", "doubtful"),
    (CLOSED, {"client.cpu_ratio": None}, "client_busy", None),
    (CLOSED, {"client.clock_step_s": 50e-6}, "clock_step", None),
    (CLOSED, {"client.clock_step_s": 5e-3}, "clock_step", "doubtful"),
    (CLOSED, {"client.clock_step_s": 10e-3}, "clock_step", "doubtful"),
    (CLOSED, {"client.clock_step_s": 11e-3}, "clock_step", "invalid"),
    (CLOSED, {"client.clock_step_s": 5e-3} | READ, "clock_step", "doubtful"),
    (CLOSED, {"tokens.counted_by": "assumed"}, "tokens_assumed", "note"),
    (CLOSED, {"tokens.counted_by": "assumed", "tokens.output": None}, "tokens_assumed", "note"),
    (CLOSED, {"tokens.counted_by": "usage"}, "tokens_assumed", None),
    (CLOSED, {"tokens.contradicted_requests": 2048}, "tokens_hidden", "doubtful"),
    (CLOSED, {"tokens.hidden_requests": 2048, "tokens.hidden": 9}, "tokens_hidden", "doubtful"),
    (CLOSED, {"tokens.hidden_requests": 2, "tokens.hidden": 9, "tokens.output": None}, "tokens_hidden", "note"),
    (CLOSED, {"tokens.contradicted_requests": 1}, "tokens_hidden", "note"),
    (CLOSED, {"tokens.hidden_requests": 0}, "tokens_hidden", None),
    (CLOSED, {"finish_reasons": {"length": 1, "content_filter": 2000}}, "content_filtered", "doubtful"),
    (CLOSED, {"finish_reasons": {"length": 2040, "content_filter, stop": 1}}, "content_filtered", "note"),
    (CLOSED, {"finish_reasons": {"length": 2048}}, "content_filtered", None),
    (CLOSED, {"cut_at_length_requests": 2000}, "cut_at_length", "doubtful"),
    (CLOSED, {"cut_at_length_requests": 1}, "cut_at_length", "note"),
    (CLOSED, {"cut_at_length_requests": 0}, "cut_at_length", None),
    (CLOSED, {"client.skipped_events": {"empty": 3, "keep_alive": 1}}, "events_skipped", "note"),
    (CLOSED, {"client.skipped_events": {}}, "events_skipped", None),
    (CLOSED, {"client.content_types": {"none": 3}}, "content_type_other", "note"),
    (CLOSED, {"client.content_types": {}}, "content_type_other", None),
    (CLOSED, {"client.open_body_requests": 1}, "body_left_open", "note"),
    (CLOSED, {"client.open_body_requests": 0}, "body_left_open", None),
    (CLOSED, {"client.doctor": BROKEN_AT_8}, "client_error_known", "doubtful"),
    (CLOSED, {"client.host_busy_ratio": 0.6, "client.priority": "normal"}, "host_busy", "doubtful"),
    (CLOSED, {"server_account": ACCOUNT | {"requests_finished": 1020}}, "other_requests", "doubtful"),
    (CLOSED, {"server_account": ACCOUNT | {"prefix_cache_hit_ratio": 0.1}}, "prefix_cache_hits", "doubtful"),
    (CLOSED, {"server_account": ACCOUNT | {"ttft_mean_s": 0.05}}, "server_ttft_apart", "note"),
    (CLOSED, {"client.proxy": True}, "proxied", "note"),
    (CLOSED, {"client.proxy": True} | READ, "proxied", "note"),
    (CLOSED, {"client.tls": "unverified"}, "tls_not_verified", "note"),
    (CLOSED, {"client.tls": "verified"}, "tls_not_verified", None),
    (CLOSED, {"server_account": ALONE | {"output_tokens": 4097, "client_output_tokens": 4096}}, "output_tokens_apart", None),
    (CLOSED, {"server_account": ALONE | {"output_tokens": 4160, "client_output_tokens": 4096}}, "output_tokens_apart", "doubtful"),
    (CLOSED, {"server_account": ALONE | {"output_tokens": 8192, "client_output_tokens": 4096}}, "output_tokens_apart", "invalid"),
    (CLOSED, {"server_account": ALONE | {"times": {"ttft_s": EARLIER | {"p50": [0.6, 0.8]}}, "client_times": {"ttft_s": EARLIER | {"p50": 0.5}}}}, "outside_server_buckets", "doubtful"),
    (CLOSED, {"server_account": ALONE | {"step_gap_total_s": 100.0, "client_chunk_gap_total_s": 120.0}}, "server_gaps_apart", "note"),
    (CLOSED, {"server_account": ACCOUNT | {"preemptions": 2}}, "preempted", "note"),
    (CLOSED, {"server_account": ACCOUNT | {"running_requests": {"n": 3, "mean": 6.0, "max": 6.0}, "waiting_requests": {"n": 3, "mean": 2.0, "max": 2.0}}}, "queued_at_server", "note"),
    (CLOSED, {"gpu": {"devices": [{"index": 0, "throttled_ratio": {"power cap": 0.5}}]}}, "gpu_throttled", "note"),
    (CLOSED, {"gpu": {"devices": [{"index": 0, "throttled_ratio": {"power brake": 0.5}}]}}, "gpu_throttled", "doubtful"),
    (CLOSED, {"server_readings": {"unusable": [], "malformed_lines": 0, "unknown_because": "it fell"}}, "server_account_unknown", "note"),
    (CLOSED, {"server_readings": None}, "server_account_unknown", None),
    (CLOSED, {"server_readings": {"unusable": ["a:b"], "malformed_lines": 0, "unknown_because": None}}, "server_figures_unusable", "note"),
    (CLOSED, {"server_readings": {"unusable": [], "malformed_lines": 2, "unknown_because": None}}, "server_figures_unusable", "note"),
    (CLOSED, {"server_readings": {"unusable": [], "malformed_lines": 0, "unknown_because": None}}, "server_figures_unusable", None),
    (CLOSED, {"experts_failure": "it is gone"}, "experts_not_counted", "note"),
    (CLOSED, {"experts_failure": None}, "experts_not_counted", None),
    (CLOSED, {"foreign": {"tool": "another client", "version": "1.2"}}, "foreign_client", "doubtful"),
    (CLOSED, {"foreign": None}, "foreign_client", None),
]  # fmt: skip


def changed(summary: Any, changes: dict[str, Any]) -> Any:
    """A copy of the summary with some dotted entries replaced."""
    copied = copy.deepcopy(summary)
    for key, value in changes.items():
        *path, name = key.split(".")
        place = copied
        for part in path:
            place = place[part]
        assert name in place or key == "server", f"the summary has no {key}"
        place[name] = value
    return copied


def judged(spec: RunSpec, summary: Any) -> Any:
    return judge(spec, summary)


def test_a_healthy_run_is_valid_without_a_word(spec_of: SpecOf, healthy: Any) -> None:
    assert judged(spec_of(**CLOSED), healthy) == {"status": "valid", "findings": []}


@pytest.mark.parametrize(("fields", "changes", "code", "severity"), CASES)
def test_a_check_fires_where_it_should(
    spec_of: SpecOf,
    healthy: Any,
    fields: dict[str, Any],
    changes: dict[str, Any],
    code: str,
    severity: str | None,
) -> None:
    verdict = judged(spec_of(**fields), changed(healthy, changes))
    found = [finding for finding in verdict["findings"] if finding["code"] == code]
    assert [finding["severity"] for finding in found] == ([] if severity is None else [severity])
    for finding in found:
        assert finding["message"].endswith(".")
        assert finding["hint"]
        assert not {"None", "nan", "None."} & set(f"{finding['message']} {finding['hint']}".split()[1:])
        flags = set(re.findall(r"--[a-z][a-z-]*", f"{finding['message']} {finding['hint']}"))
        assert flags <= FLAGS, "a hint must name something that can be done"


@pytest.mark.parametrize(
    ("changes", "said", "status"),
    [
        ({}, "the client was not late", "doubtful"),
        ({"client.loop_lag_s.max": 0.02}, "cannot tell whether the client or the server joined them", "doubtful"),
        ({"client.loop_lag_s.max": None, "client.loop_lag_s.p99": None, "client.loop_lag_s.p95": None,
          "client.loop_lag_s.p90": None, "client.loop_lag_s.p50": None}, "cannot tell", "doubtful"),
        ({"client.loop_lag_s.max": 0.02} | LATE, "the client was late", "invalid"),
        ({"client.loop_lag_s.max": 2.4e-3, "chunk_gap_s.p50": 2e-4}, "cannot tell", "doubtful"),
        ({"client.loop_lag_s.p99": 2.4e-3, "chunk_gap_s.p50": 2e-4}, "the client was late", "invalid"),
        ({"client.loop_lag_s.max": 5e-4, "chunk_gap_s.p50": 4e-4}, "cannot tell", "doubtful"),
        ({"client.loop_lag_s.p99": 5e-4, "chunk_gap_s.p50": 4e-4}, "the client was late", "invalid"),
    ],
)  # fmt: skip
def test_that_the_client_was_late_is_denied_only_by_its_largest_lag(
    spec_of: SpecOf, healthy: Any, changes: dict[str, Any], said: str, status: str
) -> None:
    verdict = judged(spec_of(**CLOSED), changed(healthy, {"client.coalesced_ratio": 0.5} | changes))
    assert [(finding["code"], finding["severity"]) for finding in verdict["findings"]] == [("coalesced", status)]
    assert said in verdict["findings"][0]["hint"]


@pytest.mark.parametrize(("priority", "asked"), [("normal", True), ("raised", False), ("realtime", False)])
def test_a_late_client_that_waits_its_turn_is_told_how_to_be_woken_sooner(
    spec_of: SpecOf, healthy: Any, priority: str, asked: bool
) -> None:
    late = {"client.coalesced_ratio": 0.5, "client.priority": priority}
    sent_late = {"client.priority": priority, "client.measured_send_delay_s.mean": 15e-3}
    for changes in (late | LATE, sent_late, {"client.priority": priority} | READ | LATE):
        (finding,) = judged(spec_of(**CLOSED), changed(healthy, changes))["findings"]
        assert ("ulimit -r 1" in finding["hint"]) == asked
    (finding,) = judged(spec_of(**CLOSED), changed(healthy, late))["findings"]
    assert "ulimit" not in finding["hint"]


def test_whoever_held_requests_back_is_named(spec_of: SpecOf, healthy: Any) -> None:
    (own,) = judged(spec_of(**LIMITED), changed(healthy, held(0.5)))["findings"]
    assert own["message"] == (
        "100 of 2,048 requests waited for the limit of at most 60 requests per minute, 2.5 s each on average, "
        "which makes 50.0% of the time of all requests: what was in flight, and how many were sent, is not the server's doing."
    )
    (theirs,) = judged(spec_of(**OPEN), changed(healthy, held(0.5, refused_requests=3)))["findings"]
    assert "requests waited as the server asked by Retry-After, 2.5 s each" in theirs["message"]
    assert "TTFT and end-to-end latency, which count from the intended moment, contain the wait" in theirs["message"]
    assert theirs["hint"].startswith("read TTFT from send, or give --requests-per-minute")


def test_a_server_that_will_have_no_more_ends_the_run_and_not_the_user(spec_of: SpecOf, healthy: Any) -> None:
    changes = {"interrupted": True} | held(0.0, requests=0, refusal="the server has enough")
    (finding,) = judged(spec_of(**CLOSED), changed(healthy, changes))["findings"]
    assert finding["message"].startswith("The run was stopped when 2,048 of 2,048 requests had ended ok")
    assert finding["message"].endswith(": the server has enough.")


def test_a_server_that_limits_its_clients_is_told_apart(spec_of: SpecOf, healthy: Any) -> None:
    refused = {"outcome": "http_error", "http_status": 429, "detail": "HTTP 429: slow down", "requests": 100}
    changes = {"outcomes.ok": 1948, "outcomes.http_error": 100, "failures": [refused]}
    (finding,) = judged(spec_of(**CLOSED), changed(healthy, changes))["findings"]
    assert "give --requests-per-minute" in finding["hint"]


def test_every_check_has_a_case_that_fires() -> None:
    assert {check.code for check in CHECKS} == {code for _, _, code, severity in CASES if severity}


def test_codes_are_unique() -> None:
    assert len({check.code for check in CHECKS}) == len(CHECKS)


def test_the_status_is_that_of_the_worst_finding(spec_of: SpecOf, healthy: Any) -> None:
    note = {"outcomes.ok": 2040, "outcomes.timeout": 8}
    doubtful = note | {"interrupted": True}
    invalid = doubtful | {"concurrency.mean": 1.0}
    statuses = [judged(spec_of(**CLOSED), changed(healthy, changes))["status"] for changes in (note, doubtful, invalid)]
    assert statuses == ["valid", "doubtful", "invalid"]
    findings = judged(spec_of(**CLOSED), changed(healthy, invalid))["findings"]
    assert [finding["severity"] for finding in findings] == ["invalid", "doubtful", "note"]


def test_a_refused_p99_alone_leaves_a_run_valid(lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    spec = spec_of(ClosedLoop(8), requests=64)
    recording = recording_of(lockstep(8, 8), loop_lag_ns=np.full(2000, 50_000, np.int64))
    verdict = judged(spec, summarise(spec, recording))
    assert verdict["status"] == "valid"
    assert [finding["code"] for finding in verdict["findings"]] == ["too_few_requests"]
    assert "--requests 1016" in verdict["findings"][0]["hint"]
    assert verdict["findings"][0]["message"] == (
        "48 requests were measured: of the per-request figures, p90, p95 and p99 would need 100, 200 and 1,000 requests and are not given."
    )


def test_a_single_refused_percentile_is_told_in_the_singular(spec_of: SpecOf, healthy: Any) -> None:
    (finding,) = judged(spec_of(**CLOSED), changed(healthy, {"ttft_s.n": 500, "ttft_s.p99": None}))["findings"]
    assert finding["message"].endswith("p99 would need 1,000 requests and is not given.")


@pytest.mark.parametrize(
    ("fields", "code", "milder", "worse"),
    [
        (CLOSED, "errors", {"outcomes.ok": 98, "outcomes.timeout": 2}, {"outcomes.ok": 96, "outcomes.timeout": 4}),
        (CLOSED, "cancelled", WHOLE | {"outcomes.cancelled": 50}, WHOLE | {"outcomes.cancelled": 90}),
        (OPEN, "dropped", {"outcomes.dropped": 1}, {"outcomes.dropped": 9}),
        (CLOSED, "too_few_requests", {"ttft_s.n": 600, "ttft_s.p99": None}, {"ttft_s.n": 500, "ttft_s.p99": None}),
        (CLOSED, "input_length_off", {"lengths.prompt_tokens.mean": 8.2}, {"lengths.prompt_tokens.mean": 7.5}),
        (CLOSED, "output_length_off", {"lengths.output_tokens.mean": 1.9}, {"lengths.output_tokens.mean": 1.85}),
        (CLOSED, "concurrency_not_reached", {"concurrency.mean": 7.5}, {"concurrency.mean": 7.0}),
        (OPEN, "rate_not_reached", {"rates.offered_per_s": 10.0, "rates.sent_per_s": 9.8}, {"rates.offered_per_s": 10.0, "rates.sent_per_s": 9.5}),
        (CLOSED, "stamp_source_read", READ | LATE, READ | {"client.loop_lag_s.p99": 6e-3}),
        (CLOSED, "coalesced", {"client.coalesced_ratio": 0.02}, {"client.coalesced_ratio": 0.05}),
        (CLOSED, "first_content_coalesced", {"client.first_content_coalesced_ratio": 0.02}, {"client.first_content_coalesced_ratio": 0.05}),
        (CLOSED, "send_delay", {"client.measured_send_delay_s.mean": 15e-3}, {"client.measured_send_delay_s.mean": 25e-3}),
        (CLOSED, "client_busy", {"client.cpu_ratio": 0.92}, {"client.cpu_ratio": 0.97}),
        (CLOSED, "clock_step", {"client.clock_step_s": 2e-3}, {"client.clock_step_s": 3e-3}),
        (CLOSED, "host_busy", {"client.host_busy_ratio": 0.6, "client.priority": "normal"}, {"client.host_busy_ratio": 0.9, "client.priority": "normal"}),
        (CLOSED, "other_requests", {"server_account": ACCOUNT | {"requests_finished": 1020}}, {"server_account": ACCOUNT | {"requests_finished": 1030}}),
        (CLOSED, "prefix_cache_hits", {"server_account": ACCOUNT | {"prefix_cache_hit_ratio": 0.1}}, {"server_account": ACCOUNT | {"prefix_cache_hit_ratio": 0.2}}),
    ],
)  # fmt: skip
def test_of_two_findings_with_a_figure_the_worse_one_is_known(
    spec_of: SpecOf,
    healthy: Any,
    fields: dict[str, Any],
    code: str,
    milder: dict[str, Any],
    worse: dict[str, Any],
) -> None:
    for order in ((milder, worse), (worse, milder)):
        verdicts = [judged(spec_of(**fields), changed(healthy, changes)) for changes in order]
        expected = next(each for each in verdicts[order.index(worse)]["findings"] if each["code"] == code)
        merged = next(finding for finding in merge_findings(verdicts) if finding.code == code)
        assert (merged.message, merged.runs, merged.alike) == (expected["message"], 2, False)


def test_a_run_in_which_nothing_worked_gets_one_sentence_in_the_servers_words(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    refused = row([], end_s=0.1, outcome=Outcome.HTTP_ERROR, http_status=400, detail="HTTP 400: no such thing.")
    for shape in (ClosedLoop(1), OpenLoop(1.0), Wave(9)):
        spec = spec_of(shape)
        verdict = judged(spec, summarise(spec, recording_of([refused] * 9)))
        assert [finding["code"] for finding in verdict["findings"]] == ["no_ok_requests"]
        assert verdict["findings"][0]["message"] == (
            "None of the 9 requests ended ok: 9 http_error; most often: HTTP 400: no such thing."
        )


def test_a_total_throughput_that_is_not_given_is_explained(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    failed = row([(0.5, 1)], prompt_tokens=None, end_s=0.6, outcome=Outcome.TIMEOUT)
    off = row([(0.5, 1), (1.0, 1)], prompt_tokens=9)
    spec = spec_of(Wave(3))
    summary = summarise(spec, recording_of([failed, off, row([(0.5, 1), (1.0, 1)])]))
    assert summary["total_tokens_per_s"] is None
    told = [finding for finding in judged(spec, summary)["findings"] if finding["code"] == "total_throughput_unknown"]
    assert [finding["severity"] for finding in told] == ["note"]
    assert "1 of 2 ok ones had another number than asked" in told[0]["message"]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"shape": ClosedLoop(8), "requests": 64}, 12),
        ({"shape": ClosedLoop(8), "requests": 64}, 4),
        ({"shape": OpenLoop(10.0), "requests": 64}, 12),
        ({"shape": OpenLoop(10.0), "requests": 64}, 2),
        ({"shape": Wave(64), "requests": None}, 12),
    ],
)
def test_what_the_user_stopped_is_held_against_nobody(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf, fields: dict[str, Any], sent: int
) -> None:
    """Sent at 0.1 s intervals, the last one given up in flight, all others of 64 never sent."""
    rows = [row([(0.1 * i + 0.5, 1), (0.1 * i + 0.75, 1)], sent_s=0.1 * i, slot=i % 8) for i in range(sent - 1)]
    rows.append(row([], sent_s=0.1 * sent, end_s=0.1 * sent + 0.1, slot=7, outcome=Outcome.CANCELLED))
    rows += [row([], sent_s=None, slot=-1, outcome=Outcome.DROPPED)] * (64 - sent)
    spec = spec_of(**fields)
    verdict = judged(spec, summarise(spec, recording_of(rows, interrupted=True)))
    assert verdict["status"] == "doubtful"
    told = {finding["code"]: finding for finding in verdict["findings"]}
    assert set(told) - {"no_steady_state"} == {"interrupted", "too_few_requests"}
    assert told["interrupted"]["message"] == (
        f"The user stopped the run when {sent - 1} of 64 requests had ended ok; 1 given up in flight, {64 - sent} never sent."
    )
    others = [finding["hint"] for finding in verdict["findings"] if finding["code"] != "interrupted"]
    assert set(others) == {"let the run come to its end"}


def test_a_stopped_loop_of_a_given_duration_was_meant_to_reach_no_number(spec_of: SpecOf, healthy: Any) -> None:
    changes = {"interrupted": True, "outcomes.cancelled": 3}
    (finding,) = judged(spec_of(**LASTING), changed(healthy, changes))["findings"]
    assert finding["message"] == "The user stopped the run when 2,048 requests had ended ok; 3 given up in flight."


def test_a_stopped_run_without_an_answer_blames_what_failed_and_else_nobody(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    given_up = row([], end_s=0.1, outcome=Outcome.CANCELLED, detail="stopped by the user")
    unsent = row([], sent_s=None, slot=-1, outcome=Outcome.DROPPED, detail="never sent")
    timeout = row([], end_s=0.1, outcome=Outcome.TIMEOUT, detail="no complete answer within 1 s")
    spec = spec_of(OpenLoop(1.0), requests=9)

    def first_finding(rows: list[RequestRecord]) -> Any:
        return judged(spec, summarise(spec, recording_of(rows, interrupted=True)))["findings"][0]

    finding = first_finding([given_up] * 2 + [unsent] * 7)
    assert (finding["code"], finding["hint"]) == ("no_ok_requests", "let the run come to its end")
    finding = first_finding([timeout] + [given_up] * 2 + [unsent] * 6)
    assert (finding["code"], "--request-timeout-s" in finding["hint"]) == ("no_ok_requests", True)
    finding = first_finding([row([(0.1, 1)]), timeout] + [given_up] * 2 + [unsent] * 5)
    assert finding["code"] == "errors"
    assert finding["message"] == "1 of 2 requests failed: 1 timeout; most often: no complete answer within 1 s."


def test_every_outcome_alone_can_be_judged(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    for outcome in Outcome:
        for shape in (ClosedLoop(1), OpenLoop(1.0), Wave(3)):
            for sent_s in (None, 0.0):
                spec = spec_of(shape)
                rows = [
                    row([], sent_s=sent_s, end_s=sent_s, slot=-1, outcome=outcome, counted_by=CountedBy.ASSUMED)
                ] * 3
                verdict = judged(spec, summarise(spec, recording_of(rows, wall_s=0.0)))
                if outcome is not Outcome.OK:
                    assert verdict["status"] == "invalid"
    assert judged(spec_of(), summarise(spec_of(), recording_of([])))["status"] == "invalid"
