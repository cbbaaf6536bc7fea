"""`loadgen sweep` against a real vLLM: every token counted as the server counted it, every length as asked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadgen.engine.records.record import MISSING, CountedBy, Outcome, Records
from loadgen.errors import ExitCode
from loadgen.store.repository import Store
from tests.real.command import Loadgen
from tests.real.vllm_server import RealServer

NOTHING_HIDDEN = {"hidden": 0, "hidden_requests": 0, "contradicted_requests": 0}

pytestmark = pytest.mark.vllm

CONCURRENCY = (1, 4)
INPUT_TOKENS = (32, 128)
OUTPUT_TOKENS = 64
REQUESTS = 12
WARMUP_REQUESTS = 3
# What a verdict must never say of these runs. Server, client and tests share a few cores here, so findings about timing
# (coalesced arrivals, a late client) are the truth on a busy machine; counts, lengths and outcomes leave no such excuse.
IMPOSSIBLE_FINDINGS = {
    "no_ok_requests",
    "errors",
    "interrupted",
    "cancelled",
    "dropped",
    "input_length_off",
    "output_length_off",
    "length_unknown",
    "tokens_assumed",
}
PROBED_OUTPUT_TOKENS = 2
PROBED_PROMPT_TOKENS_AT_MOST = 32  # a word and the chat template around it
RUNS = len(CONCURRENCY) * len(INPUT_TOKENS)


@dataclass(frozen=True, slots=True)
class Measured:
    """A sweep that ended: what it printed, what it stored, and what the server counted meanwhile."""

    exit_code: int
    document: dict[str, Any]
    records: list[Records]  # of each run, in the order of the document's
    server_prompt_tokens: int
    server_output_tokens: int


@pytest.fixture(scope="module", params=["completions", "chat"])
def measured(
    request: pytest.FixtureRequest, real_server: RealServer, loadgen: Loadgen, tmp_path_factory: pytest.TempPathFactory
) -> Measured:
    """A small grid over one of the endpoints."""
    database = f"sqlite:///{tmp_path_factory.mktemp('sweep') / 'loadgen.db'}"
    before = counters(real_server)
    ended = loadgen(
        *("sweep", "--url", real_server.url, "--model", real_server.model, "--endpoint", request.param),
        *("--concurrency", ",".join(map(str, CONCURRENCY)), "--input-tokens", ",".join(map(str, INPUT_TOKENS))),
        *("--output-tokens", str(OUTPUT_TOKENS), "--requests", str(REQUESTS)),
        *("--warmup-requests", str(WARMUP_REQUESTS), "--json", "--db", database),
    )
    after = counters(real_server)
    assert ended.stdout, ended.stderr
    document = json.loads(ended.stdout)
    with Store.open(database, read_only=True) as store:
        records = [store.records(run["run_id"]) for run in document["runs"]]
    return Measured(ended.returncode, document, records, after[0] - before[0], after[1] - before[1])


def counters(server: RealServer) -> tuple[int, int]:
    """(prompt tokens, output tokens) that the server has counted since its start."""
    return int(server.counter("vllm:prompt_tokens_total")), int(server.counter("vllm:generation_tokens_total"))


def test_every_run_of_the_grid_is_there_and_every_request_succeeded(measured: Measured) -> None:
    verdicts = [run["verdict"] for run in measured.document["runs"]]
    invalid = any(verdict["status"] == "invalid" for verdict in verdicts)
    assert measured.exit_code == (ExitCode.INVALID_RUN if invalid else ExitCode.OK)
    assert not IMPOSSIBLE_FINDINGS & {finding["code"] for verdict in verdicts for finding in verdict["findings"]}
    assert measured.document["schema_version"] == 1
    points = {(run["spec"]["shape"]["concurrency"], run["spec"]["input_tokens"]) for run in measured.document["runs"]}
    assert points == {(concurrency, length) for concurrency in CONCURRENCY for length in INPUT_TOKENS}
    for run in measured.document["runs"]:
        assert run["outcomes"]["planned"] == run["outcomes"]["ok"] == REQUESTS
    for records in measured.records:
        assert set(records.outcome) == {Outcome.OK}


def test_output_tokens_are_those_asked_for_counted_one_by_one(measured: Measured) -> None:
    for run, records in zip(measured.document["runs"], measured.records, strict=True):
        assert run["tokens"]["counted_by"] == "token_ids"
        assert run["tokens"]["output"] == REQUESTS * OUTPUT_TOKENS
        assert set(records.counted_by) == {CountedBy.TOKEN_IDS}
        per_request = np.add.reduceat(records.arrival_tokens, records.arrival_start[:-1])
        np.testing.assert_array_equal(per_request, np.full(REQUESTS, OUTPUT_TOKENS))
        np.testing.assert_array_equal(records.output_tokens, per_request)


def test_prompts_have_the_length_asked_for(measured: Measured) -> None:
    for run, records in zip(measured.document["runs"], measured.records, strict=True):
        np.testing.assert_array_equal(records.prompt_tokens, np.full(REQUESTS, run["spec"]["input_tokens"]))


def test_the_servers_own_counters_agree_to_the_token(measured: Measured) -> None:
    sent = RUNS * (REQUESTS + WARMUP_REQUESTS)
    counted = sum(run["tokens"]["output"] for run in measured.document["runs"])
    # Beside the runs one short request asked how the server counts.
    assert measured.server_output_tokens == counted + RUNS * WARMUP_REQUESTS * OUTPUT_TOKENS + PROBED_OUTPUT_TOKENS
    probed = measured.server_prompt_tokens - sent * sum(INPUT_TOKENS) // len(INPUT_TOKENS)
    assert 0 < probed < PROBED_PROMPT_TOKENS_AT_MOST


def test_no_time_to_first_token_is_below_the_servers_own(measured: Measured) -> None:
    for records in measured.records:
        told = [timing["time_to_first_token_ms"] for timing in records.server_timing if timing is not None]
        first_ns = records.arrival_ns[records.arrival_start[:-1]]
        assert len(told) == REQUESTS
        assert MISSING not in records.sent_ns
        ttft_ms = (first_ns - records.sent_ns) / 1e6
        assert np.all(ttft_ms >= np.array(told)), np.column_stack([ttft_ms, told])


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_long_prompts_are_not_sent_back_and_usage_counts_each_token(
    real_server: RealServer, loadgen: Loadgen, tmp_path: Path, endpoint: str
) -> None:
    database = f"sqlite:///{tmp_path / 'loadgen.db'}"
    ended = loadgen(
        *("run", "--url", real_server.url, "--model", real_server.model, "--endpoint", endpoint, "--concurrency", "2"),
        *("--requests", "4", "--input-tokens", "1200", "--output-tokens", "40", "--json", "--db", database),
    )
    assert ended.stdout, ended.stderr
    document = json.loads(ended.stdout)
    assert document["server"]["chunk_counts"] == ["token_ids", "usage"]
    assert document["outcomes"]["ok"] == 4
    assert document["tokens"] == NOTHING_HIDDEN | {"prompt": 4 * 1200, "output": 4 * 40, "counted_by": "usage"}
    assert document["token_gap_s"]["n"] > 0
    per_chunk = document["tokens_per_chunk"]
    assert per_chunk["n"] * per_chunk["mean"] == pytest.approx(4 * 40)
    with Store.open(database, read_only=True) as store:
        assert set(store.records(document["run_id"]).counted_by) == {CountedBy.USAGE}


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_several_choices_come_whole_and_are_the_servers_own_count(
    real_server: RealServer, loadgen: Loadgen, tmp_path: Path, endpoint: str
) -> None:
    ended = loadgen(
        *("run", "--url", real_server.url, "--model", real_server.model, "--endpoint", endpoint, "--concurrency", "2"),
        *("--requests", "8", "--input-tokens", "64", "--output-tokens", "16", "--choices", "3", "--json"),
        *("--db", f"sqlite:///{tmp_path / 'loadgen.db'}"),
    )
    assert ended.stdout, ended.stderr
    document = json.loads(ended.stdout)
    assert document["outcomes"]["ok"] == 8
    assert document["tokens"] == NOTHING_HIDDEN | {"prompt": 8 * 64, "output": 8 * 3 * 16, "counted_by": "token_ids"}
    assert document["server_account"]["requests_finished"] == 8 * 3
    found = {finding["code"] for finding in document["verdict"]["findings"]}
    assert not found & {"other_requests", "output_length_off", "prefix_cache_hits"}


def test_a_wrong_model_name_is_one_sentence_that_names_the_right_one(
    real_server: RealServer, loadgen: Loadgen, tmp_path: Path
) -> None:
    ended = loadgen(
        *("run", "--url", real_server.url, "--model", "tiny-mixtrel", "--concurrency", "1", "--requests", "1"),
        *("--input-tokens", "8", "--output-tokens", "2", "--db", f"sqlite:///{tmp_path / 'loadgen.db'}"),
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "tiny-mixtrel" in ended.stderr
    assert real_server.model in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_that_is_not_for_development_is_left_as_it_is(
    real_server: RealServer, loadgen: Loadgen, tmp_path: Path
) -> None:
    ended = loadgen(
        *("run", "--url", real_server.url, "--model", real_server.model, "--concurrency", "2", "--requests", "8"),
        *("--input-tokens", "32", "--output-tokens", "8", "--json", "--db", f"sqlite:///{tmp_path / 'loadgen.db'}"),
    )
    assert ended.stdout, ended.stderr
    assert json.loads(ended.stdout)["prefix_cache_reset"] is None
