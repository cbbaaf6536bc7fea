"""Pruned tiny and trained models in the engines that users serve them with: transformers and vLLM load them and agree on what they answer.

Removing experts is the same as never routing to them; removing columns is the same as columns of zeros.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadgen.checkpoints.prune import prune
from loadgen.checkpoints.selection import Pruning
from tests.real.vllm_server import MODELS as TINY
from tests.real.vllm_server import ROOT, skip_without_vllm

pytestmark = pytest.mark.vllm

MODELS = (*TINY, "trained-mixtral", "trained-deepseek")
PROMPT = list(range(5, 45))
PROMPTS = [PROMPT, *([token, token + 7] for token in PROMPT)]
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
ON_A_CPU = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}

TRANSFORMERS = """
import json, sys, torch
from transformers import AutoModelForCausalLM
request = json.load(sys.stdin)
prompt = torch.tensor([request["prompt"]])

def loaded(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    problems = {key: sorted(map(str, found)) for key, found in info.items() if found}
    return model.eval(), problems

def masked(model, kept):
    linear = torch.nn.functional.linear
    for name, module in model.named_modules():
        if not type(module).__name__.lower().endswith("router"):
            continue
        experts = torch.tensor(kept[name.split(".layers.")[1].split(".")[0]])
        def forward(*arguments, route=module.forward, experts=experts, **rest):
            def those(x, weight, bias=None):
                logits = linear(x, weight, bias)
                away = torch.ones(logits.shape[-1], dtype=torch.bool)
                away[experts] = False
                return logits.masked_fill(away, float("-inf"))
            torch.nn.functional.linear = those
            try:
                return route(*arguments, **rest)
            finally:
                torch.nn.functional.linear = linear
        module.forward = forward

def zeroed(model, smaller):
    for (name, full), (_, less) in zip(model.named_modules(), smaller.named_modules(), strict=True):
        if name.endswith(".experts"):
            size = less.down_proj.shape[-1]
            for gate, kept, down in zip(full.gate_up_proj, less.gate_up_proj, full.down_proj, strict=True):
                gone = [at for at in range(down.shape[-1]) if not (kept[:size] == gate[at]).all(-1).any()]
                down.data[:, gone] = 0
        elif name.endswith(".shared_experts") and full.down_proj.weight.shape != less.down_proj.weight.shape:
            rows = full.gate_proj.weight
            gone = [at for at in range(len(rows)) if not (less.gate_proj.weight == rows[at]).all(-1).any()]
            full.down_proj.weight.data[:, gone] = 0

found = {}
for case in request["cases"]:
    with torch.no_grad():
        smaller, problems = loaded(case["pruned"])
        model, _ = loaded(case["source"])
        as_it_was = model(prompt).logits
        masked(model, case["kept"]) if case["kept"] else zeroed(model, smaller)
        expected, logits = model(prompt).logits, smaller(prompt).logits
    found[case["pruned"]] = {
        "problems": problems, "difference": (logits - expected).abs().max().item(),
        "changed_by": (as_it_was - expected).abs().max().item(),
    }
for folder in request["served"]:
    model, problems = loaded(folder)
    logprobs = []
    for prompt in request["prompts"]:
        with torch.no_grad():
            rows = model(torch.tensor([prompt])).logits[0].log_softmax(-1)
        logprobs.append([row[token].item() for row, token in zip(rows, prompt[1:])])
    found[folder] = {"problems": problems, "logprobs": logprobs}
json.dump(found, sys.stdout)
"""

VLLM = """
import json, os, sys
request, out = json.load(sys.stdin), os.dup(1)
os.dup2(2, 1)  # what vLLM prints is no answer
from vllm import LLM, SamplingParams
from vllm.distributed import destroy_distributed_environment, destroy_model_parallel
found = {}
for folder in request["folders"]:
    llm = LLM(
        folder, dtype="float32", enforce_eager=True, max_model_len=256, max_num_seqs=16, distributed_executor_backend="uni",
        compilation_config={"custom_ops": ["all", "-rotary_embedding"]},  # the CPU kernel of 0.32 is wrong for DeepSeek's queries
    )
    prompts = [{"prompt_token_ids": prompt} for prompt in request["prompts"]]
    ended = llm.generate(prompts, SamplingParams(max_tokens=1, prompt_logprobs=0), use_tqdm=False)
    found[folder] = [
        [each[token].logprob for each, token in zip(one.prompt_logprobs[1:], prompt[1:])]
        for one, prompt in zip(ended, request["prompts"], strict=True)
    ]
    del llm
    destroy_model_parallel()
    destroy_distributed_environment()
with os.fdopen(out, "w") as answer:
    json.dump(found, answer)
"""


def told(program: str, request: dict[str, object]) -> Any:
    """What a program says that runs in the environment of vLLM."""
    ended = subprocess.run(
        [str(ROOT / ".venv-vllm/bin/python"), "-c", program],
        input=json.dumps(request),
        env={**os.environ, **OFFLINE, **ON_A_CPU},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout)


@dataclass(frozen=True)
class PrunedModel:
    """A tiny model pruned in one way, and the experts that stayed by layer; `kept` empty: all of them."""

    source: Path
    folder: Path
    kept: dict[str, list[int]]


def pruned_model(source: Path, folder: Path, pruning: Pruning) -> PrunedModel:
    document = prune(source, folder, pruning)
    return PrunedModel(source, folder, {str(each["layer"]): each["experts"] for each in document["kept_experts"] or []})


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], PrunedModel]:
    """Each model without half of its experts, without a quarter of their columns, and without both."""
    skip_without_vllm()
    folder = tmp_path_factory.mktemp("pruned")
    found: dict[tuple[str, str], PrunedModel] = {}
    for model in MODELS:
        source = ROOT / (".tiny-models" if model in TINY else "trained_models") / model
        inter, intra = Pruning("inter", 0.5, "norm"), Pruning("intra", 0.25, "norm")
        found[model, "inter"] = pruned_model(source, folder / f"{model}-inter", inter)
        found[model, "intra"] = pruned_model(source, folder / f"{model}-intra", intra)
        found[model, "both"] = pruned_model(folder / f"{model}-inter", folder / f"{model}-both", intra)
    return found


@pytest.fixture(scope="module")
def in_transformers(cases: dict[tuple[str, str], PrunedModel]) -> dict[str, dict[str, Any]]:
    compared = [
        {"source": str(case.source), "pruned": str(case.folder), "kept": case.kept}
        for (_, kind), case in cases.items()
        if kind != "both"
    ]
    served = [str(cases[model, "both"].folder) for model in MODELS]
    found: dict[str, dict[str, Any]] = told(
        TRANSFORMERS, {"prompt": PROMPT, "prompts": PROMPTS, "cases": compared, "served": served}
    )
    return found


@pytest.fixture(scope="module")
def in_vllm(cases: dict[tuple[str, str], PrunedModel]) -> dict[str, list[list[float]]]:
    folders = [str(cases[model, "both"].folder) for model in MODELS]
    found: dict[str, list[list[float]]] = told(VLLM, {"prompts": PROMPTS, "folders": folders})
    return found


@pytest.mark.parametrize("kind", ["inter", "intra"])
@pytest.mark.parametrize("model", MODELS)
def test_it_computes_what_the_whole_model_does_without_what_is_gone(
    model: str, kind: str, cases: dict[tuple[str, str], PrunedModel], in_transformers: dict[str, dict[str, Any]]
) -> None:
    found = in_transformers[str(cases[model, kind].folder)]
    assert found["problems"] == {}
    assert found["changed_by"] > 0.01
    assert found["difference"] < 1e-4


@pytest.mark.parametrize("model", MODELS)
def test_vllm_computes_the_same(
    model: str,
    cases: dict[tuple[str, str], PrunedModel],
    in_transformers: dict[str, dict[str, Any]],
    in_vllm: dict[str, list[list[float]]],
) -> None:
    folder = str(cases[model, "both"].folder)
    assert in_transformers[folder]["problems"] == {}
    for logprobs, expected in zip(in_vllm[folder], in_transformers[folder]["logprobs"], strict=True):
        assert logprobs == pytest.approx(expected, abs=1e-3)
