"""Experts counted in a real vLLM: equal to transformers' choices to the token, under load too, stored and shown."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from loadgen.checkpoints.expert_counting import count_with_transformers
from loadgen.moe.expert_counts import ExpertCounts, expert_counts_from_json
from loadgen.servers.expert_counting import ExpertCounter
from tests.real import cpu_collectives
from tests.real.command import Loadgen
from tests.real.vllm_server import ROOT, RealServer, serving

pytestmark = pytest.mark.vllm

PROMPTS = [[3 + (5 * each + 7 * place) % 70 for place in range(20 + 9 * each)] for each in range(6)]
OUTPUT_TOKENS = 8


@pytest.fixture(scope="module")
def with_a_dense_layer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server of a model that has a dense layer below its sparse ones."""
    folder = tmp_path_factory.mktemp("vllm") / "server"
    with serving("trained-deepseek-unbalanced", folder, plugins=("expert-counts",), dtype="float32") as running:
        yield running


def completed(server: RealServer, prompt: list[int]) -> list[int]:
    """The prompt and its greedy reply, without the last token, which passes no router."""
    body = {"model": server.model, "prompt": prompt, "max_tokens": OUTPUT_TOKENS, "temperature": 0, "ignore_eos": True}
    reply = httpx2.post(f"{server.url}/v1/completions", json=body | {"return_token_ids": True}, timeout=120).json()
    return [*prompt, *reply["choices"][0]["token_ids"][:-1]]


def counted(server: RealServer, callers: int) -> tuple[ExpertCounts, list[list[int]]]:
    counter = ExpertCounter(server.url)
    counter.start()
    with ThreadPoolExecutor(callers) as pool:
        texts = list(pool.map(lambda prompt: completed(server, prompt), PROMPTS))
    return counter.read(server.model), texts


@pytest.mark.parametrize("name", ["counting_server", "with_a_dense_layer"])
def test_the_counts_are_those_of_transformers_to_the_token(name: str, request: pytest.FixtureRequest) -> None:
    """With several callers, steps hold prompts and tokens of several requests."""
    server: RealServer = request.getfixturevalue(name)
    equal_those_of_transformers(server.model, *counted(server, len(PROMPTS)))


def test_the_counts_of_data_parallel_copies_are_added(tmp_path: Path) -> None:
    """Two engines, each with some of the requests."""
    path = tmp_path / "two-copies.yaml"
    path.write_text(
        "extends: trained-mixtral\ndescription: for a test\nplugins: [expert-counts]\nreadiness: {timeout_s: 400}\n"
        "arguments: {dtype: float32, data-parallel-size: 2, api-server-count: 1}\n"
        f"environment: {{PYTHONPATH: {cpu_collectives.install(tmp_path / 'collectives')}}}\n"
    )
    with serving(str(path), tmp_path / "server") as server:
        counts, texts = counted(server, len(PROMPTS))
    equal_those_of_transformers(server.model, counts, texts)


def equal_those_of_transformers(model: str, counts: ExpertCounts, texts: list[list[int]]) -> None:
    """Hold counts to what transformers chooses for the same tokens."""
    expected = count_with_transformers(
        ROOT / "trained_models" / model,
        texts,
        output_tokens=0,
        python=ROOT / ".venv-vllm" / "bin" / "python",
        dtype="float32",
    )
    assert counts.layers == expected.layers
    assert counts.tokens == expected.tokens == sum(map(len, texts))
    assert counts.counts.tolist() == expected.counts.tolist()


def test_steps_are_seen_with_their_distinct_experts(counting_server: RealServer) -> None:
    counts, _ = counted(counting_server, 1)
    assert counts.step_sizes is not None
    by_tokens = {size.tokens: size for size in counts.step_sizes}
    assert by_tokens[1].steps == len(PROMPTS) * (OUTPUT_TOKENS - 1)
    assert counts.mean_distinct(by_tokens[1]) == counts.experts_per_token  # a token alone chooses so many experts
    assert sum(size.tokens * size.steps for size in counts.step_sizes) == counts.tokens


def run(loadgen: Loadgen, server: RealServer, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return loadgen(
        "run", "--url", server.url, "--concurrency", "4", "--requests", "16", "--input-tokens", "32",
        "--output-tokens", "16", "--db", f"sqlite:///{folder}/runs.db", *more,
    )  # fmt: skip


def test_a_run_keeps_its_counts_and_shows_them(counting_server: RealServer, loadgen: Loadgen, tmp_path: Path) -> None:
    done = run(loadgen, counting_server, tmp_path, "--experts", "--json")
    assert done.returncode in (0, 3), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    counts = expert_counts_from_json(document["experts"])
    assert counts.tokens == 16 * (32 + 16 - 1)  # the warm-up is not in it
    assert document["experts_failure"] is None
    db = f"sqlite:///{tmp_path}/runs.db"
    shown = loadgen("moe", "experts", "latest", "--db", db)
    assert shown.returncode == 0, shown.stderr
    assert "of uniform routing" in shown.stdout
    drawn = tmp_path / "experts.svg"
    assert loadgen("plot", "experts", "latest", "--db", db, "-o", str(drawn)).returncode == 0
    assert drawn.read_text().startswith("<svg")


def test_without_the_flag_nothing_is_counted(counting_server: RealServer, loadgen: Loadgen, tmp_path: Path) -> None:
    done = run(loadgen, counting_server, tmp_path, "--json")
    assert done.returncode in (0, 3), done.stderr
    assert "experts" not in json.loads(done.stdout)
