"""What a profile's server takes at most: max-model-len, else what the model's own configuration says."""

import json
from pathlib import Path

import pytest

from loadgen.servers.profiles.checks import cannot_take, does_not_fit, findings
from loadgen.servers.profiles.profile_file import ProfileFile, read_profile

PROFILE = """\
description: a model
model: {model}
arguments: {{{arguments}}}
environment: {{{environment}}}
needs: {{gpus: 1, gpu_memory_gb: 80}}
"""
OLMOE = "allenai/OLMoE-1B-7B-0924"
PHI = "microsoft/Phi-3.5-MoE-instruct"
LITE = "deepseek-ai/DeepSeek-V2-Lite"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN", raising=False)
    return tmp_path


def read(folder: Path, model: str, arguments: str = "", environment: str = "") -> ProfileFile:
    path = folder / "it.yaml"
    path.write_text(PROFILE.format(model=model, arguments=arguments, environment=environment))
    return read_profile(str(path))


def errors(file: ProfileFile) -> list[str]:
    return [finding.message for finding in findings(file, None, None) if finding.severity == "error"]


@pytest.mark.parametrize(
    ("model", "arguments", "asked", "refused"),
    [
        (OLMOE, "", 4096, None),
        (OLMOE, "", 4097, "4,097 tokens of input and output are more than the 4,096 that the model takes (max_position_embeddings)"),
        (OLMOE, "max-model-len: auto", 5000, "5,000 tokens of input and output are more than the 4,096 that the model takes"),
        (OLMOE, "max_model_len: -1", 5000, "more than the 4,096 that the model takes"),
        (OLMOE, "max-model-len: 2k", 2001, "2,001 tokens of input and output are more than max-model-len 2,000"),
        (OLMOE, "max-model-len: 2k", 2000, None),
        (OLMOE, 'hf-overrides: {"max_position_embeddings": 8192}', 8192, None),
        (OLMOE, "hf-overrides.max_position_embeddings: 8192", 8193, "more than the 8,192"),
        (OLMOE, 'hf-overrides: {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}', 8193, "more than the 8,192"),
        (PHI, "", 4097, "more than the 4,096 that the model takes, unless max-model-len asks for up to 131,072"),
        (PHI, "max-model-len: 32k", 30_000, None),
        ("a/model-nobody-knows", "", 10_000_000, None),
        ("Qwen/Qwen1.5-MoE-A2.7B", "", 10_000_000, None),
    ],
)  # fmt: skip
def test_lengths_that_are_asked(folder: Path, model: str, arguments: str, asked: int, refused: str | None) -> None:
    said = cannot_take(read(folder, model, arguments).profile, asked)
    assert said is None if refused is None else said is not None and refused in said


@pytest.mark.parametrize(
    ("model", "arguments", "environment", "refused"),
    [
        (OLMOE, "max-model-len: 4096", "", False),
        (OLMOE, "max-model-len: 4097", "", True),
        (OLMOE, "max_model_len: 8k", "", True),
        (OLMOE, "max-model-len: auto", "", False),
        (OLMOE, "max-model-len: 8k", 'VLLM_ALLOW_LONG_MAX_MODEL_LEN: "1"', False),
        (OLMOE, "max-model-len: 8k", 'VLLM_ALLOW_LONG_MAX_MODEL_LEN: "True"', False),
        (OLMOE, "max-model-len: 8k", 'VLLM_ALLOW_LONG_MAX_MODEL_LEN: "0"', True),
        (OLMOE, "max-model-len: 8k", 'VLLM_ALLOW_LONG_MAX_MODEL_LEN: "yes"', True),
        (OLMOE, "max-model-len: 8k, hf-overrides.max_position_embeddings: 8192", "", False),
        (LITE, "max-model-len: 163841", "", True),
        ("Qwen/Qwen1.5-MoE-A2.7B", "max-model-len: 40k", "", False),
    ],
)
def test_a_max_model_len_beyond_the_models_own(
    folder: Path, model: str, arguments: str, environment: str, *, refused: bool
) -> None:
    file = read(folder, model, arguments, environment)
    said = [message for message in errors(file) if "which vLLM refuses" in message]
    assert bool(said) == refused
    if refused:
        assert "tokens of the model's own configuration (max_position_embeddings)" in said[0]
        assert does_not_fit(file.profile) == said[0]


def test_the_users_own_permission_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = read(folder, OLMOE, "max-model-len: 8k")
    assert does_not_fit(file.profile) is not None
    monkeypatch.setenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")
    assert does_not_fit(file.profile) is None


def test_a_folder_has_its_own_configuration(folder: Path) -> None:
    (folder / "m").mkdir()
    (folder / "m" / "config.json").write_text(json.dumps({"model_type": "some_new_family", "n_positions": 1024}))
    profile = read(folder, "./m").profile
    assert cannot_take(profile, 1024) is None
    assert "more than the 1,024 that the model takes (n_positions)" in str(cannot_take(profile, 1025))
    (folder / "m" / "config.json").write_text("[]")
    assert cannot_take(profile, 1025) is None


def test_without_a_max_model_len_one_sequence_of_the_models_own_must_fit(folder: Path) -> None:
    narrow = "gpu-memory-utilization: 0.45"
    file = read(folder, LITE, narrow)
    assert errors(file) == [does_not_fit(file.profile)]
    assert "163,840 tokens need" in str(does_not_fit(file.profile))
    assert does_not_fit(read(folder, LITE, f"{narrow}, max-model-len: 4096").profile) is None
    assert does_not_fit(read(folder, LITE, f"{narrow}, max-model-len: auto").profile) is None
