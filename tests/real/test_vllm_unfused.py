"""Experts without the fused kernel, in vLLM's own Python: their arithmetic against a plain formula, for top-k from 1 to 8."""

import json
import os
import subprocess

import pytest

from loadgen.servers.launcher.vllm_plugin import FOLDER
from tests.real.vllm_server import ROOT, skip_without_vllm

pytestmark = pytest.mark.vllm

ARITHMETIC = """
import json, sys, torch
from loadgen_vllm.unfused_experts import gathered, looped
torch.manual_seed(0)
experts, hidden, size, tokens = 8, 32, 48, 40
w13, w2 = torch.randn(experts, 2 * size, hidden) / 6, torch.randn(experts, hidden, size) / 7
x = torch.randn(tokens, hidden)
found = {}
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
    found[top_k] = [(run(x, **given) - wanted).abs().max().item() for run in (looped, gathered)]
# A token that overflows in an expert that it did not choose, as 16 bits may, keeps its number.
huge = dict(w13=w13 * torch.tensor([1e30] + [1.0] * 7)[:, None, None], w2=w2 * 1e30, weights=weights[:, :1], experts=torch.ones(tokens, 1))
found["finite"] = bool(torch.isfinite(looped(x, **huge)).all())
found["in 16 bits"] = str(looped(x.bfloat16(), w13=w13.bfloat16(), w2=w2.bfloat16(), weights=weights, experts=chosen).dtype)
json.dump(found, sys.stdout)
"""


def test_the_arithmetic_is_that_of_the_formula() -> None:
    skip_without_vllm()
    environment = os.environ | {"PYTHONPATH": str(FOLDER), "VLLM_LOGGING_LEVEL": "ERROR"}
    command = [str(ROOT / ".venv-vllm/bin/python"), "-c", ARITHMETIC]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found.pop("finite"), found.pop("in 16 bits")) == (True, "torch.bfloat16")
    assert list(found) == [str(top_k) for top_k in range(1, 9)]
    assert all(error < 1e-5 for errors in found.values() for error in errors), found
