"""What a user sees of a server that misbehaves: one sentence or a verdict, the right exit code, and always an end."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partialmethod

import pytest

from loadgen.engine.measurement import Task
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.faults import FAULTS
from tests.cli.conftest import Cli, codes

pytestmark = pytest.mark.loopback

ENDPOINTS = ("completions", "chat")
TOKENS = 8
# What a busy machine may add to any verdict.
OF_THE_MACHINE = {
    "client_busy",
    "coalesced",
    "concurrency_not_reached",
    "first_content_coalesced",
    "host_busy",
    "outside_server_buckets",
    "queued_at_server",
    "send_delay",
    "server_gaps_apart",
    "server_ttft_apart",
}


@dataclass(frozen=True, slots=True)
class Harmless:
    """What a legal stream comes to. `findings` are those beside the too few requests for percentiles."""

    output_tokens: int | None = TOKENS
    counted_by: str = "token_ids"
    findings: frozenset[str] = frozenset()
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failing answer comes to. `code` is the exit code where the warm-up fails of it, `hint` a part of the remedy."""

    outcome: str
    words: str
    hint: str
    code: int = 5
    timeout_s: str = "10"


LEGAL = {
    "early-role": Harmless(),
    "empty-deltas": Harmless(),
    "usage-with-choices": Harmless(),
    "no-usage": Harmless(None, "assumed", frozenset({"length_unknown", "tokens_assumed"})),
    "no-done": Harmless(),
    "merged-tokens": Harmless(),
    "joined-chunks": Harmless(findings=frozenset({"coalesced"})),
    "crlf": Harmless(),
    "comments": Harmless(),
    "no-space": Harmless(),
    "keep-alives": Harmless(findings=frozenset({"events_skipped"})),
    "no-last-blank-line": Harmless(),
    "numbered-chunks": Harmless(),
    "zero-usage": Harmless(
        None, "assumed", frozenset({"length_unknown", "tokens_assumed", "tokens_hidden"}), doubtful=True
    ),
    "open-body": Harmless(findings=frozenset({"body_left_open"})),
    "split-characters": Harmless(),
    "long-line": Harmless(),
    "two-choices": Harmless(2 * TOKENS, findings=frozenset({"output_length_off", "server_gaps_apart"}), doubtful=True),
    "until-close": Harmless(),
    "http-1.0": Harmless(),
    "early-hints": Harmless(),
    "closes-after": Harmless(),
    "stale-close": Harmless(),
}

_LOG, _CUT, _PROXY, _TIME = "read its log", "look for a proxy in between", "a proxy's own page", "--request-timeout-s"
_OWN_WORDS, _LIMIT = "read the server's own words", "--requests-per-minute"

FAILING = {
    "error-event": Failure("stream_error", "EngineCore encountered an issue", _LOG),
    "abort": Failure("stream_error", "finish_reason abort", _LOG),
    "no-finish": Failure("truncated", "the stream ended without a finish_reason", _CUT),
    "content-after-finish": Failure("truncated", "the stream ended without a finish_reason", _CUT),
    "unfinished-choice": Failure("truncated", "without a finish_reason of 1 of its 2 choices", _CUT),
    "close": Failure("truncated", "the connection was lost within the answer", _CUT),
    "reset": Failure("truncated", "Connection reset by peer", _CUT),
    "stall": Failure("timeout", "no complete answer within 0.3 s", _TIME, timeout_s="0.3"),
    "silence": Failure("timeout", "no complete answer within 0.3 s", _TIME, timeout_s="0.3"),
    "no-answer": Failure("connect_error", "closed before the first byte of the answer", "is still alive"),
    "endless-stream": Failure("timeout", "no complete answer within 0.3 s", _TIME, timeout_s="0.3"),
    "endless-line": Failure("bad_response", "far more than its tokens need", _PROXY),
    "cut-json": Failure("bad_response", "an event is not JSON", _PROXY),
    "garbage": Failure("bad_response", "the body holds no event", _PROXY),
    "web-page": Failure("bad_response", "got text/html", _PROXY),
    "not-streamed": Failure("bad_response", "got application/json", _PROXY),
    "gzip": Failure("bad_response", "the answer is compressed (gzip)", _PROXY),
    "not-http": Failure("bad_response", "the answer is not HTTP", _PROXY),
    "bad-chunk": Failure("bad_response", "the answer is not HTTP", _PROXY),
    "redirect": Failure("http_error", "to https://elsewhere.example/v1/completions, which is not followed", _OWN_WORDS, 2),
    "server-error": Failure("http_error", "HTTP 500: EngineCore encountered an issue", _OWN_WORDS),
    "rate-limited": Failure("http_error", "HTTP 429: Too many requests", _LIMIT, 2, timeout_s="1"),
    "early-refusal": Failure("http_error", "HTTP 413", _OWN_WORDS, 2),
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, ...]]:
    """Flags of a server whose first tokens come late enough for a connection that is lost before not to be a stale one."""
    with SimulatorProcess(SimulatorOptions(ttft_s=0.02, gap_s=0.001)) as process:
        yield ("--url", process.url, "--model", "simulated-moe", "--input-tokens", "8", "--output-tokens", str(TOKENS))


def at_alternate_endpoints(faults: Iterable[str]) -> list[tuple[str, str]]:
    """Each fault with one of the endpoints, in turn. The engine's tests have each of them with both."""
    return list(zip(faults, itertools.cycle(ENDPOINTS), strict=False))


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def test_every_fault_has_its_row() -> None:
    assert {*LEGAL, *FAILING} == set(FAULTS)


@pytest.mark.parametrize(("fault", "endpoint"), at_alternate_endpoints(LEGAL))
def test_a_legal_stream_is_measured(
    cli: Cli, server: tuple[str, ...], fault: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However late a busy machine closes a kept connection, its next request is sent again.
    monkeypatch.setattr(Task, "__init__", partialmethod(Task.__init__, stale_limit_ns=60 * 10**9))
    expected = LEGAL[fault]
    load = ("--concurrency", "4", "--requests", "16", "--header", f"X-Fault={fault}", "--endpoint", endpoint)
    said = cli("run", *server, *load, "--json")
    document = said.json
    assert {name: n for name, n in document["outcomes"].items() if n} == {"planned": 16, "ok": 16}
    tokens = None if expected.output_tokens is None else 16 * expected.output_tokens
    assert (document["tokens"]["output"], document["tokens"]["counted_by"]) == (tokens, expected.counted_by)
    assert codes(document) - (OF_THE_MACHINE - expected.findings) == {"too_few_requests", *expected.findings}
    status = document["verdict"]["status"]
    assert said.code == (3 if status == "invalid" else 0)
    assert status != "valid" or not expected.doubtful
    assert document["ttft_s"]["n"] > 0
    assert (document["token_gap_s"]["n"] > 0) == (tokens is not None)


@pytest.mark.parametrize(
    "fault", ["error-event", "reset", "stall", "no-answer", "endless-line", "redirect", "rate-limited"]
)
def test_a_server_that_answers_nothing_well_is_named_before_the_run(
    cli: Cli, server: tuple[str, ...], fault: str
) -> None:
    expected = FAILING[fault]
    failing = ("--header", f"X-Fault={fault}", "--request-timeout-s", expected.timeout_s)
    said = cli("run", *server, "--concurrency", "2", "--requests", "8", *failing)
    assert said.code == expected.code
    assert "answered none of the 2 warm-up requests" in said.err
    assert expected.words in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(("fault", "endpoint"), at_alternate_endpoints(FAILING))
def test_without_a_warm_up_the_verdict_says_it(cli: Cli, server: tuple[str, ...], fault: str, endpoint: str) -> None:
    expected = FAILING[fault]
    failing = ("--header", f"X-Fault={fault}", "--request-timeout-s", expected.timeout_s, "--endpoint", endpoint)
    said = cli("run", *server, "--concurrency", "4", "--requests", "4", "--warmup-requests", "0", *failing)
    assert said.code == 3
    shown = in_one_line(said.out)
    assert f"requests 0 of 4 ok; 4 {expected.outcome.replace('_', ' ')}" in shown
    assert "✗ invalid" in shown
    assert f"None of the 4 requests ended ok: 4 {expected.outcome}; most often: " in shown
    assert expected.words in shown
    assert expected.hint in shown
    stored = cli("show", "latest", "--json").json["runs"][0]
    assert {name: n for name, n in stored["outcomes"].items() if n} == {"planned": 4, expected.outcome: 4}
    assert codes(stored) - OF_THE_MACHINE == {"no_ok_requests"}
    assert sum(one["requests"] for one in stored["failures"]) == 4
    assert len(stored["failures"]) == 1
    assert stored["ttft_s"]["n"] == 0
    assert stored["ttft_s"]["p50"] is None


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_failure_once_among_answers_that_are_well(cli: Cli, endpoint: str) -> None:
    """The first request to a server asks what it can tell; K-th ones beyond half of all requests come once."""
    kinds = Counter(failure.outcome for failure in FAILING.values())
    first = len(FAILING) + 2
    faults = tuple(f"{fault}:every={first + position}" for position, fault in enumerate(FAILING))
    options = SimulatorOptions(ttft_s=0.1, gap_s=0.001, faults=faults)
    requests = 2 * len(FAILING)
    with SimulatorProcess(options) as simulator:
        said = cli(
            "run",
            *("--url", simulator.url, "--model", "simulated-moe", "--endpoint", endpoint, "--concurrency", "8"),
            *("--requests", str(requests), "--input-tokens", "8", "--output-tokens", str(TOKENS)),
            *("--warmup-requests", "0", "--request-timeout-s", "1", "--json"),
        )
    document = said.json
    assert {name: n for name, n in document["outcomes"].items() if n} == {
        "planned": requests,
        "ok": requests - len(FAILING),
        **kinds,
    }
    assert said.code == 3
    assert document["verdict"]["status"] == "invalid"
    assert "errors" in codes(document)
    assert "no_ok_requests" not in codes(document)
    assert "other_requests" not in codes(document)


def test_a_fault_that_there_is_not_is_a_matter_of_usage(cli: Cli) -> None:
    said = cli("simulate", "--port", "0", "--fault", "gremlins")
    assert said.code == 2
    assert "there is no fault 'gremlins'; choose one of early-role" in said.err
    said = cli("simulate", "--port", "0", "--fault", "stall:every=0")
    assert said.code == 2
    assert "write NAME or NAME:every=K, such as stall:every=10" in said.err


def test_the_faults_are_listed(cli: Cli) -> None:
    said = cli("simulate", "--fault", "list")
    assert said.code == 0
    assert "stall" in said.out
