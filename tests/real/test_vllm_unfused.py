"""Experts without the fused kernel, in a real vLLM on the CPU: the same text and the same log-probabilities as with it.

Each server is started once. The arithmetic itself is held against a plain formula in vLLM's own Python, for top-k from 1 to 8.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from loadgen.load.tasks import TASKS, examples
from loadgen.servers.profiles.plugins import FOLDER
from tests.real.vllm_server import ROOT, RealServer, serving, skip_without_vllm

pytestmark = pytest.mark.vllm

PROMPTS = [each.prompt for task in TASKS for each in examples(task, "test", seed=0, count=2)]
OUTPUT_TOKENS = 24
ROUNDING = 1e-3
"""Of a log-probability: the two differ in the order in which numbers are added."""


@dataclass(frozen=True, slots=True)
class Greedy:
    """The likeliest continuation of a prompt: its tokens, and the log-probability of each."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]


def greedy(server: RealServer) -> list[Greedy]:
    body = {"model": server.model, "prompt": PROMPTS, "max_tokens": OUTPUT_TOKENS, "temperature": 0, "logprobs": 1}
    reply = httpx2.post(f"{server.url}/v1/completions", json=body | {"ignore_eos": True}, timeout=120).json()
    choices = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
    found = (choice["logprobs"] for choice in choices)
    return [Greedy(tuple(each["tokens"]), tuple(each["token_logprobs"])) for each in found]


@contextmanager
def serving_in_32_bits(plugin: str, processes: int, folder: Path) -> Iterator[RealServer]:
    """The trained Mixtral with a plug-in; in 16 bits rounding alone would choose other experts now and then."""
    path = folder / "trained-mixtral-32.yaml"
    spread = f"tensor-parallel-size: {processes}, distributed-executor-backend: {'mp' if processes > 1 else 'uni'}"
    path.write_text(
        f"extends: trained-mixtral\ndescription: for a test\nplugins: [{plugin}]\narguments: {{dtype: float32, {spread}}}\n"
    )
    with serving(str(path), folder / "server") as server:
        yield server


@pytest.fixture(scope="module")
def fused(counting_server: RealServer) -> list[Greedy]:
    """What the fused kernel says."""
    assert counting_server.state.facts["plugins"] == ["expert-counts"]
    return greedy(counting_server)


@pytest.mark.parametrize(("plugin", "processes"), [("expert-loop", 2), ("expert-gather", 1)])
def test_unfused_equals_fused(fused: list[Greedy], plugin: str, processes: int, tmp_path: Path) -> None:
    """With tensor parallelism over two processes each holds a half of every expert."""
    with serving_in_32_bits(plugin, processes, tmp_path) as server:
        assert server.state.facts["plugins"] == [plugin]
        unfused = greedy(server)
    assert len(unfused) == len(fused) == len(PROMPTS)
    for ours, theirs in zip(unfused, fused, strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=ROUNDING)


IN_VLLM = """
import json, sys, torch
from pathlib import Path
from vllm.model_executor.layers.fused_moe import fused_moe
from loadgen_vllm.entry import load
from loadgen_vllm.unfused_experts import gathered, looped

folder, (experts, hidden, size) = Path(sys.argv[1]), (8, 4096, 14336)
blocks = {"BLOCK_SIZE_M": 7}
(folder / fused_moe.get_config_file_name(experts, size, None, None)).write_text(json.dumps({"16": blocks}))
shapes = (experts, 2 * size, hidden), (experts, hidden, size)
def chosen():
    return fused_moe.try_get_optimal_moe_config(*shapes, 2, None, 16)
is_tuned = chosen() == blocks
load()
found = {"tuned": [is_tuned, chosen() == fused_moe.get_default_config(16, experts, size, hidden, 2, None)]}

torch.manual_seed(0)
experts, hidden, size, tokens = 8, 32, 48, 40
w13, w2 = torch.randn(experts, 2 * size, hidden) / 6, torch.randn(experts, hidden, size) / 7
x = torch.randn(tokens, hidden)
errors = found["errors"] = {}
for top_k in range(1, 9):
    weights, chosen = torch.softmax(torch.randn(tokens, experts), dim=-1).topk(top_k)
    chosen = torch.where(chosen == 3, -1, chosen)  # an expert that another process holds
    chosen = torch.where(chosen == 5, 4, chosen) if top_k == 1 else chosen  # an expert that nobody chose
    wanted = torch.zeros(tokens, hidden)
    for token in range(tokens):
        for weight, expert in zip(weights[token], chosen[token].tolist()):
            if expert >= 0:
                gate, up = (w13[expert] @ x[token]).split(size)
                wanted[token] += weight * (w2[expert] @ (gate * torch.sigmoid(gate) * up))
    given = dict(w13=w13, w2=w2, weights=weights, experts=chosen.to(torch.int32))
    errors[top_k] = [(run(x, **given) - wanted).abs().max().item() for run in (looped, gathered)]
# A token that overflows in an expert that it did not choose, as 16 bits may, keeps its number.
huge = dict(w13=w13 * torch.tensor([1e30] + [1.0] * 7)[:, None, None], w2=w2 * 1e30, weights=weights[:, :1], experts=torch.ones(tokens, 1))
found["finite"] = bool(torch.isfinite(looped(x, **huge)).all())
found["in 16 bits"] = str(looped(x.bfloat16(), w13=w13.bfloat16(), w2=w2.bfloat16(), weights=weights, experts=chosen).dtype)
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def in_vllm(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What the script found in vLLM's own Python, where it finds the plug-in, and what it said; one for all, for the import of vLLM takes long."""
    skip_without_vllm()
    folder = str(tmp_path_factory.mktemp("tuned"))
    environment = os.environ | {"PYTHONPATH": str(FOLDER), "VLLM_LOGGING_LEVEL": "ERROR", "OMP_NUM_THREADS": "1"}
    environment |= {"VLLM_TUNED_CONFIG_FOLDER": folder, "LOADGEN_VLLM_KERNELS": "untuned"}
    command = [str(ROOT / ".venv-vllm/bin/python"), "-c", IN_VLLM, folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_the_tuned_configuration_is_not_looked_up(in_vllm: tuple[dict[str, Any], str]) -> None:
    found, said = in_vllm
    assert found["tuned"] == [True, True]
    assert "loadgen plug-in untuned-kernels is in use" in said


def test_the_arithmetic_is_that_of_the_formula(in_vllm: tuple[dict[str, Any], str]) -> None:
    found, _ = in_vllm
    assert (found["finite"], found["in 16 bits"]) == (True, "torch.bfloat16")
    assert list(found["errors"]) == [str(top_k) for top_k in range(1, 9)]
    assert all(error < 1e-5 for errors in found["errors"].values() for error in errors), found
