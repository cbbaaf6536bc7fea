"""The models of trained_models/ do what their cards say, served by a real vLLM and loaded by transformers."""

import json
import os
import subprocess
from pathlib import Path
from statistics import fmean

import httpx2
import pytest

from loadgen.load.tasks import TASKS, examples
from tests.real.vllm_server import ROOT, RealServer, serving, skip_without_vllm

pytestmark = pytest.mark.vllm

NAMES = (
    "trained-mixtral",
    "trained-mixtral-unbalanced",
    "trained-deepseek",
    "trained-deepseek-unbalanced",
    "trained-draft-small",
    "trained-draft-large",
    "trained-vision",
)
ASKED = 40  # examples of each task
SEED = 1  # of the examples that the cards are about
MAX_REPLY_TOKENS = 12


def card_scores(name: str, column: str = "scores") -> dict[str, float]:
    """What the training wrote about a model: the share of right replies by task."""
    document = json.loads((ROOT / "trained_models" / name / "training.json").read_text())
    found: dict[str, float] = document[column]
    return found


def completed(server: RealServer, task: str) -> float:
    """The share of right replies to completions of a task's prompts."""
    asked = list(examples(task, "test", seed=SEED, count=ASKED))
    body = {
        "model": server.model,
        "prompt": [each.prompt for each in asked],
        "max_tokens": MAX_REPLY_TOKENS,
        "temperature": 0,
        "stop": "\n",
    }
    reply = httpx2.post(f"{server.url}/v1/completions", json=body, timeout=120).raise_for_status().json()
    texts = [choice["text"] for choice in sorted(reply["choices"], key=lambda choice: choice["index"])]
    return fmean(text == each.reply for text, each in zip(texts, asked, strict=True))


def test_a_served_model_is_as_accurate_as_its_card_says(tmp_path: Path) -> None:
    """The trained DeepSeek; the Mixtral is evaluated in test_vllm_accuracy."""
    name = "trained-deepseek"
    with serving(name, tmp_path / "server") as server:
        found = {task: completed(server, task) for task in TASKS}
        body = {
            "model": name,
            "messages": [{"role": "user", "content": "sort 4721="}],
            "max_tokens": MAX_REPLY_TOKENS,
            "temperature": 0,
        }
        chat = httpx2.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).raise_for_status().json()
    stated = card_scores(name)
    assert fmean(found.values()) >= 0.9, found
    assert fmean(found.values()) == pytest.approx(fmean(stated.values()), abs=0.05)
    assert chat["choices"][0]["message"]["content"] == "1247"
    assert chat["choices"][0]["finish_reason"] == "stop"


def test_transformers_scores_each_model_as_its_card_does() -> None:
    skip_without_vllm()
    command = [str(ROOT / ".venv-vllm/bin/python"), "-m", "tiny_training.evaluation", "--examples", str(ASKED)]
    command += [str(ROOT / "trained_models" / name) for name in NAMES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    for name in NAMES:
        stated = card_scores(name)
        assert fmean(found[name].values()) == pytest.approx(fmean(stated.values()), abs=0.05), name


def test_the_training_writes_a_model_that_equals_its_network(tmp_path: Path) -> None:
    skip_without_vllm()
    command = [str(ROOT / ".venv-vllm/bin/python"), str(ROOT / "scripts/train_tiny.py"), str(tmp_path)]
    command += ["--device", "cpu", "--only", "trained-draft-small", "--steps", "3", "--batch", "4", "--examples", "50"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr  # 1 if transformers computes other logits
    written = json.loads((tmp_path / "trained-draft-small/training.json").read_text())
    assert [(each["steps"], each["device"]) for each in written["trainings"]] == [(3, "a CPU")]
    first, last = written["trainings"][0]["losses"][0][1], written["trainings"][0]["losses"][-1][1]
    assert last < first
