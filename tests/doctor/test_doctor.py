"""The doctor's document: its summary line, its exit code, what runs keep of it, and the whole of it at few streams."""

import pytest

from loadgen.analysis.document.doctor import DoctorLevelDocument
from loadgen.doctor import calibration, host_checks
from loadgen.doctor.doctor import attached, document_of, examine, exit_code, host_hash, summary_line
from loadgen.errors import ExitCode

LEVEL: DoctorLevelDocument = {
    "streams": 64,
    "requests": 1000,
    "ok": 1000,
    "events": 32_000,
    "events_per_s": 5000.0,
    "stamp_source": "kernel",
    "priority": "realtime",
    "ttft_error_p50_s": 0.004e-3,
    "ttft_error_p99_s": 0.0142e-3,
    "gap_p99_error_s": -0.0004e-3,
    "joined_ratio": 0.0,
    "coalesced_ratio": 0.0,
    "cpu_ratio": 0.1,
    "loop_lag_p99_s": 0.1e-3,
    "clock_step_s": 1e-6,
    "broken": [],
}
MANY: DoctorLevelDocument = {**LEVEL, "streams": 1000, "broken": ["TTFT error p99 9 ms, promised 0.2 ms"]}


def test_the_summary_is_of_the_most_streams_at_which_the_promise_was_kept() -> None:
    more: DoctorLevelDocument = {**LEVEL, "streams": 1000, "ttft_error_p99_s": 0.1e-3, "gap_p99_error_s": 0.4e-3}
    line = "client error at 1,000 streams: TTFT p99 0.1 ms, gap p99 0.4 ms, kernel stamps"
    assert summary_line([LEVEL, more]) == line
    assert summary_line([LEVEL, MANY]) == (
        "client error at 64 streams: TTFT p99 0.014 ms, gap p99 0.0004 ms, kernel stamps; not to be trusted at 1,000 streams"
    )


def test_without_a_p99_the_summary_says_the_median() -> None:
    few: DoctorLevelDocument = {**LEVEL, "streams": 1, "ttft_error_p99_s": None, "gap_p99_error_s": None}
    assert summary_line([few]) == "client error at 1 stream: TTFT p50 0.004 ms, gap p99 not known, kernel stamps"


def test_a_broken_promise_fails_the_gate_and_a_warning_does_not() -> None:
    warning = host_checks.of_priority("normal")
    assert exit_code(document_of([warning], [LEVEL])) is ExitCode.OK
    assert exit_code(document_of([], [LEVEL, MANY])) is ExitCode.GATE_FAILED


def test_what_a_run_keeps() -> None:
    document = document_of([], [LEVEL, MANY])
    assert attached(None) is None
    kept = attached(document)
    assert kept is not None
    assert (kept["summary"], kept["measured_at"]) == (document["summary"], document["measured_at"])
    assert [(level["streams"], bool(level["broken"])) for level in kept["levels"]] == [(64, False), (1000, True)]


@pytest.mark.loopback
def test_the_engine_against_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_MIN_S", 0.1)
    monkeypatch.setattr(calibration, "_REQUESTS_FOR_P99", 40)
    monkeypatch.setattr(host_checks, "WATCHED_S", 0.1)
    said: list[str] = []
    document = examine((2, 20), said.append)
    levels = document["levels"]
    assert [level["streams"] for level in levels] == [2, 20]
    assert [level["requests"] for level in levels] == [level["ok"] for level in levels] == [40, 40]
    assert [level["events"] for level in levels] == [80, 40 * 32]
    for level in levels:
        # The truth has its own stamps: a client that mixed up requests or clocks would be off by whole answers.
        error_s = level["ttft_error_p50_s"]
        assert error_s is not None
        assert 0 < error_s < 0.005
    assert document["host_hash"] == host_hash()
    assert said == [
        "looking at this host",
        "the engine against the simulator at 2 streams",
        "the engine against the simulator at 20 streams",
    ]
