"""Every fault of the simulator through the real engine: what becomes of the request, and what is measured of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from loadgen.engine.measurement import Task
from loadgen.engine.records.record import CountedBy, Outcome, Recording, RequestRecord
from loadgen.engine.wire.target import Target
from loadgen.engine.workers import Workers
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import Endpoint, RunSpec
from loadgen.servers.server_url import PATHS
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.faults import FAULTS
from loadgen.servers.simulator.truth import TruthRequest

pytestmark = pytest.mark.loopback

TTFT_S, GAP_S, TOKENS = 0.04, 0.01, 8
STALE_LIMIT_NS = 60 * 10**9  # the outcomes here do not depend on how soon a busy machine closes a connection
ENDPOINTS: tuple[Endpoint, ...] = ("completions", "chat")


@dataclass(frozen=True, slots=True)
class Expected:
    """What one fault must come to. `tokens` are those that arrived, `chunks` the arrivals that carried them."""

    outcome: Outcome
    words: str = ""
    tokens: int = TOKENS
    chunks: int = TOKENS
    counted_by: CountedBy = CountedBy.TOKEN_IDS
    finish_reason: str | None = "length"
    http_status: int | None = 200
    timeout_s: float = 5.0
    reopened: int = 0  # connections, of two requests one after the other


def fine(**changes: Any) -> Expected:
    return Expected(Outcome.OK, **changes)


def halfway(outcome: Outcome, words: str, **changes: Any) -> Expected:
    return Expected(outcome, words, **{"tokens": TOKENS // 2, "chunks": TOKENS // 2, "finish_reason": None, **changes})


def nothing(outcome: Outcome, words: str, **changes: Any) -> Expected:
    return halfway(outcome, words, **{"tokens": 0, "chunks": 0, "counted_by": CountedBy.ASSUMED, **changes})


EXPECTED = {
    "early-role": fine(),
    "empty-deltas": fine(),
    "usage-with-choices": fine(),
    "no-usage": fine(counted_by=CountedBy.ASSUMED),
    "no-done": fine(),
    "merged-tokens": fine(chunks=4),
    "joined-chunks": fine(),
    "crlf": fine(),
    "comments": fine(),
    "no-space": fine(),
    "keep-alives": fine(),
    "no-last-blank-line": fine(),
    "numbered-chunks": fine(),
    "zero-usage": fine(counted_by=CountedBy.ASSUMED),
    "open-body": fine(reopened=1),
    "split-characters": fine(),
    "long-line": fine(),
    "two-choices": fine(tokens=2 * TOKENS, chunks=2 * TOKENS),
    "until-close": fine(reopened=1),
    "http-1.0": fine(reopened=1),
    "early-hints": fine(),
    "closes-after": fine(reopened=1),
    "stale-close": fine(reopened=1),
    "error-event": halfway(Outcome.STREAM_ERROR, "EngineCore encountered an issue"),
    "abort": Expected(Outcome.STREAM_ERROR, "finish_reason abort", finish_reason="abort"),
    "no-finish": halfway(Outcome.TRUNCATED, "the stream ended without a finish_reason"),
    "content-after-finish": Expected(
        Outcome.TRUNCATED,
        "without a finish_reason",
        tokens=TOKENS + 1,
        chunks=TOKENS + 1,
        counted_by=CountedBy.ASSUMED,
        finish_reason=None,
    ),
    "unfinished-choice": Expected(
        Outcome.TRUNCATED, "without a finish_reason", tokens=2 * TOKENS, chunks=2 * TOKENS, finish_reason=None
    ),
    "close": halfway(Outcome.TRUNCATED, "the connection was lost within the answer", reopened=1),
    "reset": halfway(Outcome.TRUNCATED, "reset", reopened=1),
    "stall": halfway(Outcome.TIMEOUT, "no complete answer within 0.3 s", timeout_s=0.3, reopened=1),
    "silence": nothing(Outcome.TIMEOUT, "within 0.3 s", timeout_s=0.3, http_status=None, reopened=1),
    "no-answer": nothing(Outcome.CONNECT_ERROR, "before the first byte", http_status=None, reopened=1),
    "cut-json": halfway(Outcome.BAD_RESPONSE, "an event is not JSON"),
    "garbage": nothing(Outcome.BAD_RESPONSE, "no event"),
    "web-page": nothing(Outcome.BAD_RESPONSE, "got text/html"),
    "not-streamed": nothing(Outcome.BAD_RESPONSE, "got application/json"),
    "gzip": nothing(Outcome.BAD_RESPONSE, "compressed (gzip)"),
    "not-http": nothing(Outcome.BAD_RESPONSE, "not HTTP", http_status=None, reopened=1),
    "bad-chunk": halfway(Outcome.BAD_RESPONSE, "not HTTP"),
    "redirect": nothing(Outcome.HTTP_ERROR, "https://elsewhere.example/v1/completions", http_status=307),
    "server-error": nothing(Outcome.HTTP_ERROR, "HTTP 500: EngineCore encountered an issue", http_status=500),
    "rate-limited": nothing(Outcome.HTTP_ERROR, "HTTP 429: Too many requests", http_status=429),
    "early-refusal": nothing(Outcome.HTTP_ERROR, "HTTP 413", http_status=413, reopened=1),
}
ENDLESS = {
    "endless-stream": "longer than 1.",
    "endless-line": "longer than 1.",
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(SimulatorOptions(ttft_s=TTFT_S, gap_s=GAP_S)) as process:
        yield process


def task(
    port: int, fault: str, endpoint: Endpoint, requests: int, timeout_s: float = 5.0, input_tokens: int = 8
) -> Task:
    shape = ClosedLoop(1)
    spec = RunSpec("http://127.0.0.1/v1", "simulated-moe", shape, input_tokens=input_tokens, output_tokens=TOKENS)
    spec = RunSpec(**{**{name: getattr(spec, name) for name in RunSpec.__slots__}, "endpoint": endpoint})
    schedule = build(
        spec, requests, prompt_seed=f"test/{time.monotonic_ns()}", form=RequestForm("vllm", ("token_ids",))
    )
    target = Target("http", "127.0.0.1", port, f"/v1{PATHS[endpoint]}", (("X-Fault", fault),))
    return Task(
        target, schedule, shape, request_timeout_s=timeout_s, stale_limit_ns=STALE_LIMIT_NS, max_reply_bytes=1 << 20
    )


def measured(
    simulator: SimulatorProcess, workers: Workers, fault: str, endpoint: Endpoint = "completions"
) -> tuple[RequestRecord, TruthRequest]:
    """One request, and the truth of it."""
    simulator.reset_truth()
    record = workers.run(task(simulator.port, fault, endpoint, 1)).records[0]
    (truth,) = simulator.truth()["requests"]
    return record, truth


def gaps_ms(record: RequestRecord) -> list[float]:
    return [float(gap) for gap in np.diff(record.arrival_ns) / 1e6]


def test_every_fault_has_its_row() -> None:
    assert {*EXPECTED, *ENDLESS} == set(FAULTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("fault", EXPECTED)
def test_a_fault_ends_as_it_should(
    simulator: SimulatorProcess, workers: Workers, fault: str, endpoint: Endpoint
) -> None:
    expected = EXPECTED[fault]
    simulator.reset_truth()
    recording: Recording = workers.run(task(simulator.port, fault, endpoint, 2, expected.timeout_s))
    for record in (recording.records[0], recording.records[1]):
        assert record.outcome is expected.outcome, record.detail
        assert expected.words in (record.detail or "")
        assert (record.detail is None) is (expected.outcome is Outcome.OK)
        assert record.http_status == expected.http_status
        assert record.finish_reason == expected.finish_reason
        assert int(record.arrival_tokens.sum()) == expected.tokens
        assert len(record.arrival_ns) == expected.chunks
        assert record.counted_by is expected.counted_by
    assert recording.client.connections_reopened == expected.reopened
    # The truth knows as many tokens as were brought home, and when the first of each request left.
    for index, truth in enumerate(simulator.truth()["requests"]):
        record = recording.records[index]
        if expected.tokens:
            assert len(truth["sent_ns"]) >= expected.tokens
            true_ttft_ms = (truth["sent_ns"][0] - truth["arrival_ns"]) / 1e6
            assert record.start_ns is not None
            assert (record.arrival_ns[0] - record.start_ns) / 1e6 >= true_ttft_ms - 0.2


def test_a_role_alone_is_the_first_byte_and_not_the_first_token(simulator: SimulatorProcess, workers: Workers) -> None:
    for endpoint in ENDPOINTS:
        record, truth = measured(simulator, workers, "early-role", endpoint)
        assert record.start_ns is not None
        assert record.first_byte_ns is not None
        true_ttft_ms = (truth["sent_ns"][0] - truth["arrival_ns"]) / 1e6
        assert (record.arrival_ns[0] - record.start_ns) / 1e6 >= true_ttft_ms - 0.2 > 1e3 * TTFT_S - 1
        assert record.arrival_ns[0] - record.first_byte_ns > 0.5e9 * TTFT_S


def test_merged_tokens_have_a_long_chunk_gap_and_say_how_many_they_are(
    simulator: SimulatorProcess, workers: Workers
) -> None:
    record, truth = measured(simulator, workers, "merged-tokens")
    assert record.arrival_tokens.tolist() == [1, 3, 3, 1]
    assert not record.arrival_coalesced.any()
    sent_ns = np.unique(truth["sent_ns"])
    assert gaps_ms(record) == pytest.approx([float(gap) for gap in np.diff(sent_ns) / 1e6], abs=1.0)


def test_joined_chunks_share_a_stamp_and_are_marked(simulator: SimulatorProcess, workers: Workers) -> None:
    record, _ = measured(simulator, workers, "joined-chunks")
    assert record.arrival_coalesced.tolist() == [False, False, True, True, False, True, True, False]
    assert gaps_ms(record)[1:3] == [0.0, 0.0]


@pytest.mark.parametrize(("fault", "words"), ENDLESS.items())
def test_an_answer_without_end_is_given_up_before_it_fills_the_memory(workers: Workers, fault: str, words: str) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.0, gap_s=0.0)) as quick:
        recording = workers.run(task(quick.port, fault, "completions", 2, timeout_s=20.0))
    for record in (recording.records[0], recording.records[1]):
        assert record.outcome is Outcome.BAD_RESPONSE, record.detail
        assert words in (record.detail or "")
    assert recording.client.wall_s < 20


def test_an_endless_stream_ends_with_the_timeout(simulator: SimulatorProcess, workers: Workers) -> None:
    recording = workers.run(task(simulator.port, "endless-stream", "chat", 1, timeout_s=0.4))
    assert recording.records[0].outcome is Outcome.TIMEOUT
    assert len(recording.records[0].arrival_ns) > TOKENS


def test_an_early_refusal_of_a_large_body_is_the_outcome(simulator: SimulatorProcess, workers: Workers) -> None:
    recording = workers.run(task(simulator.port, "early-refusal", "completions", 3, input_tokens=1_000_000))
    for record in (recording.records[index] for index in range(3)):
        assert (record.outcome, record.http_status) == (Outcome.HTTP_ERROR, 413), record.detail
