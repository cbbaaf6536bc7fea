"""A real vLLM watched: one that drafts, with few places and a small KV cache, and whose prefix cache may be emptied."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from loadgen.analysis.server.engine_names import VLLM
from loadgen.servers.telemetry import parse
from loadgen.store.repository import Store
from tests.real.command import Loadgen
from tests.real.vllm_server import RealServer, serving

pytestmark = pytest.mark.vllm

PLACES, CALLERS, REQUESTS, OUTPUT_TOKENS = 6, 8, 40, 128  # long enough for a reading or two on the way
# Of 128 tokens each: fewer than six requests of up to 428 tokens need, so that some are preempted.
BLOCKS = 17  # the least that holds one request of the model's whole length
DRAFTS = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3, "prompt_lookup_min": 1}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("crowded")
    profile = folder / "crowded.yaml"
    arguments = {"speculative-config": DRAFTS, "max-num-seqs": PLACES, "num-gpu-blocks-override": BLOCKS}
    keys = {
        "extends": "tiny-mixtral",
        "description": "One that drafts, with few places",
        "arguments": arguments,
        "environment": {"VLLM_SERVER_DEV_MODE": 1},
    }
    profile.write_text(json.dumps(keys))  # JSON is YAML
    with serving(str(profile), folder / "server") as server:
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('watched') / 'loadgen.db'}"


@pytest.fixture(scope="module")
def run(crowded: RealServer, loadgen: Loadgen, database: str) -> dict[str, Any]:
    """A closed loop of more callers than the server has places."""
    ended = loadgen(
        *("run", "--url", crowded.url, "--model", crowded.model, "--concurrency", str(CALLERS)),
        *("--requests", str(REQUESTS), "--input-tokens", "300", "--output-tokens", str(OUTPUT_TOKENS)),
        *("--json", "--db", database),
    )
    assert ended.stdout, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_every_name_that_we_look_for_is_on_its_page(crowded: RealServer, run: dict[str, Any]) -> None:
    values = parse(httpx2.get(f"{crowded.url}/metrics", timeout=10).text)
    names = VLLM
    told = [names.output_tokens, names.prompt_tokens, names.running, names.waiting, names.kv_cache_usage]
    told += [name for name in (names.finished, names.prefix_queries, names.prefix_hits, names.preemptions) if name]
    told += [name for name in (names.drafts, names.draft_tokens, names.accepted_tokens) if name]
    assert [name for name in told if name not in values] == []
    assert f'{names.accepted_by_position}{{position="2"}}' in values
    assert [name for name in names.times.values() if f'{name}_bucket{{le="+Inf"}}' not in values] == []


def test_both_accounts_agree_to_the_token_and_no_ttft_lies_below_its_bucket(run: dict[str, Any]) -> None:
    account = run["server_account"]
    assert account["output_tokens"] == account["client_output_tokens"] == REQUESTS * OUTPUT_TOKENS
    assert account["requests_finished"] == account["first_tokens"] == REQUESTS
    low_s, _ = account["times"]["ttft_s"]["p50"]
    assert account["client_times"]["ttft_s"]["p50"] >= low_s
    assert account["client_ttft_mean_s"] >= account["ttft_mean_s"]
    codes = {finding["code"] for finding in run["verdict"]["findings"]}
    assert not codes & {"output_tokens_apart", "other_requests", "prefix_cache_hits"}


def test_its_queue_its_cache_and_its_drafts_are_told(run: dict[str, Any], database: str) -> None:
    account = run["server_account"]
    assert account["times"]["queue_s"]["mean"] > 0.01
    assert account["preemptions"] > 0
    assert "preempted" in {finding["code"] for finding in run["verdict"]["findings"]}
    speculation = account["speculation"]
    assert speculation["drafts"] > 0
    assert len(speculation["acceptance_by_position"]) == 3
    assert speculation["accepted_tokens"] <= speculation["draft_tokens"]
    with Store.open(database, read_only=True) as store:
        samples = store.samples(run["run_id"])
    assert len(samples) >= 3
    assert max(sample.values[VLLM.running] for sample in samples) <= PLACES


def test_its_prefix_cache_is_emptied_before_the_run(run: dict[str, Any]) -> None:
    assert run["prefix_cache_reset"] is True
    assert run["server_account"]["prefix_cache_hit_ratio"] == 0.0
