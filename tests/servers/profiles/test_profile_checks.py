"""What a check says of a profile: its model, its memory, its flags by what vLLM knows, and what it could not look at."""

import json
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.servers.profiles.checks import ProfileFinding, commands, findings
from loadgen.servers.profiles.profile_file import ProfileFile, read_profile
from loadgen.servers.profiles.vllm_parser import Parsed, Vllm, find_vllm, python_of

GOOD = """\
description: a model
model: mistralai/Mixtral-8x7B-v0.1
architecture: mixtral-8x7b
releases: ">=0.26"
arguments:
  tensor-parallel-size: 2
  max-model-len: 4224
  seed: 0
environment: {VLLM_HOST_IP: 127.0.0.1, HOME: /nowhere}
needs: {gpus: 2, gpu_memory_gb: 80}
"""
VLLM = Vllm(Path("bin/vllm"), Path("bin/python"), "0.32.0")
PARSED = Parsed(
    flags=(
        *("--tensor-parallel-size", "--max-model-len", "--seed", "--dtype", "--quantization", "--enforce-eager"),
        *("--no-enforce-eager", "--speculative-config", "--headless"),
    ),
    keys={"--speculative-config": ["method", "model", "num_speculative_tokens"]},
    quantizations=("fp8", "fp8_per_tensor"),
    variables=("VLLM_HOST_IP", "VLLM_NO_USAGE_STATS"),
    complaints={},
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str) -> ProfileFile:
    path = folder / "it.yaml"
    path.write_text(text)
    return read_profile(str(path))


def said(folder: Path, text: str, vllm: Vllm | None = VLLM, parsed: Parsed | None = PARSED) -> list[ProfileFinding]:
    return findings(read(folder, text), vllm, parsed)


def errors(folder: Path, text: str, parsed: Parsed = PARSED) -> list[str]:
    return [finding.message for finding in said(folder, text, parsed=parsed) if finding.severity == "error"]


def test_nothing_is_said_of_a_good_profile(folder: Path) -> None:
    assert said(folder, GOOD) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (GOOD.replace("max-model-len", "max-model-length"), "'arguments.max-model-length' in it.yaml line 7 is no flag of vLLM; did you mean 'max-model-len'?"),
        (GOOD.replace("seed: 0", "tensor-parallel: 2"), "'arguments.tensor-parallel' in it.yaml line 8 is no flag of vLLM; did you mean 'tensor-parallel-size'?"),
        (GOOD.replace("seed: 0", "headless: false"), "'arguments.headless' in it.yaml line 8 is false, and vLLM has no '--no-headless'; leave it out"),
        (GOOD.replace("seed: 0", "quantization: fp8_per_tenser"), "'arguments.quantization' in it.yaml line 8 is 'fp8_per_tenser', which vLLM has not; did you mean 'fp8_per_tensor'?"),
        (GOOD.replace("seed: 0", "speculative-config: {methods: ngram}"), "unknown key 'methods' in 'arguments.speculative-config' in it.yaml line 8; did you mean 'method'?"),
        (GOOD.replace("VLLM_HOST_IP", "VLLM_HOST_PI"), "'environment.VLLM_HOST_PI' in it.yaml line 9 is no variable that vLLM reads; did you mean 'VLLM_HOST_IP'?"),
        (GOOD.replace("8x7B-v0.1", "8x7B-v0.2"), "'model' in it.yaml line 2 is 'mistralai/Mixtral-8x7B-v0.2', which is neither a folder here nor the id of mixtral-8x7b: mistralai/Mixtral-8x7B-v0.1"),
        (GOOD.replace("architecture: mixtral-8x7b", "architecture: mixtral"), "'architecture' in it.yaml line 3: there is no model 'mixtral'; did you mean 'mixtral-8x7b'?"),
        (GOOD.replace("architecture: mixtral-8x7b\n", "").replace("8x7B-v0.1", "8x7B-v0.2"), "'model' in it.yaml line 2 is 'mistralai/Mixtral-8x7B-v0.2', which is not known; did you mean 'mistralai/Mixtral-8x7B-v0.1'?"),
        (GOOD.replace("seed: 0", "speculative-config: {model: Qwen/Qwen3-17B}"), "'arguments.speculative-config.model' in it.yaml line 8 is 'Qwen/Qwen3-17B', which is not known; did you mean 'Qwen/Qwen3-1.7B'?"),
        (GOOD.replace("gpus: 2", "gpus: 4"), "'needs.gpus' in it.yaml line 10 is 4, and the arguments spread the model over 2"),
        (GOOD.replace("size: 2", "size: 1").replace("gpus: 2", "gpus: 1"), "it does not fit (bf16, one GPU): 93.4 GB of weights"),
        (GOOD.replace("size: 2", "size: 3").replace("gpus: 2", "gpus: 3"), "32 attention heads cannot be split evenly over 3 tensor-parallel GPUs"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_sentence_that_says_where(folder: Path, text: str, sentence: str) -> None:
    (found,) = errors(folder, text)
    assert found.startswith(sentence)


def test_what_the_parser_itself_says_is_told_with_its_place(folder: Path) -> None:
    says = "argument --tensor-parallel-size/-tp: invalid int value: 'two'"
    parsed = Parsed(PARSED.flags, PARSED.keys, PARSED.quantizations, PARSED.variables, {"it": says})
    assert errors(folder, GOOD, parsed) == [f"'arguments.tensor-parallel-size' in it.yaml line 6: {says}"]
    parsed = Parsed(
        PARSED.flags, PARSED.keys, PARSED.quantizations, PARSED.variables, {"it": "Error: these two exclude"}
    )
    assert errors(folder, GOOD, parsed) == ["vLLM refuses the command: Error: these two exclude"]


def test_a_profile_for_other_releases_is_not_passed_silently(folder: Path) -> None:
    text = GOOD.replace(">=0.26", "<0.27").replace("seed: 0", "no-such-flag: 1")
    assert said(folder, text) == [
        ProfileFinding("unchecked", "by the parser: the profile is for vLLM <0.27, and 0.32.0 is installed")
    ]
    assert commands([read(folder, text)], "0.32.0") == {}
    assert commands([read(folder, text)], "0.26.0") != {}


def test_a_folder_that_is_not_here_and_a_precision_that_is_not_known_are_told(folder: Path) -> None:
    text = GOOD.replace("mistralai/Mixtral-8x7B-v0.1", "./models/mixtral").replace("seed: 0", "dtype: float32")
    assert [(finding.severity, finding.message) for finding in said(folder, text)] == [
        ("unchecked", "'model' in it.yaml line 2 is ./models/mixtral, a folder that is not here"),
        ("unchecked", "whether it fits the memory: its model or its precision is not known here"),
    ]


def test_a_folder_of_another_model_is_found_out(folder: Path) -> None:
    (folder / "models").mkdir()
    config = {"model_type": "mixtral", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 100}
    config |= {"num_attention_heads": 4, "intermediate_size": 128, "num_local_experts": 4, "num_experts_per_tok": 2}
    (folder / "models" / "config.json").write_text(json.dumps(config))
    text = GOOD.replace("mistralai/Mixtral-8x7B-v0.1", "./models")
    assert errors(folder, text) == [
        "'model' in it.yaml line 2 is models, whose configuration is not that of mixtral-8x7b: its layers is 2, not 32"
    ]
    assert errors(folder, text.replace("architecture: mixtral-8x7b\n", "")) == []


def test_an_abstract_profile_is_asked_for_its_flags_alone(folder: Path) -> None:
    text = "abstract: true\narguments: {max-model-length: 1}\n"
    (found,) = errors(folder, text)
    assert found.startswith("'arguments.max-model-length' in it.yaml line 2 is no flag of vLLM")
    assert commands([read(folder, text)], "0.32.0")["it"][:2] == ["serve", "any"]


def test_without_a_vllm_the_rest_is_looked_at(folder: Path) -> None:
    text = GOOD.replace("max-model-len", "max-model-length")
    assert said(folder, text, None, None) == []
    (finding,) = said(folder, GOOD.replace("gpus: 2", "gpus: 4"), None, None)
    assert finding.severity == "error"


def test_what_cannot_be_served_says_why(folder: Path) -> None:
    text = "description: d\nmodel: m\nunservable: no code for it\n"
    assert said(folder, text) == [ProfileFinding("note", "cannot be served: no code for it")]


def test_the_python_of_a_command_is_found(tmp_path: Path) -> None:
    script = tmp_path / "vllm"
    script.write_text("#!/opt/env/bin/python3.12\nimport vllm\n")
    assert python_of(script) == Path("/opt/env/bin/python3.12")
    script.write_text('#!/bin/sh\nexec python3 -m vllm "$@"\n')
    assert python_of(script) == tmp_path / "python3"
    assert python_of(tmp_path / "python3.11") == tmp_path / "python3.11"


def test_a_vllm_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no vLLM at .*absent"):
        find_vllm(tmp_path / "absent")
    script = tmp_path / "vllm"
    script.write_text("#!/nowhere/python\n")
    with pytest.raises(UsageError, match="belongs to /nowhere/python, which does not run"):
        find_vllm(script)


BIG = "extends: mixtral-8x7b\ndescription: big\nneeds: {gpus: 2, gpu_memory_gb: 80}\narguments: "


@pytest.mark.parametrize(
    ("length", "told"),
    [
        *((text, "4,000,000 tokens need 262.1 GB") for text in ("4000000", '"4000000"', "4m", "4.0m", "4_000_000")),
        *((text, "4,194,304 tokens need 274.9 GB") for text in ("4M", "4096K", '" 4M "')),
        *((text, None) for text in ("-1", "auto", "AUTO", '"-1"', "32k", "32K", "0.02m", "4k")),
        ("1.5K", "is '1.5K', which is no whole number to vLLM"),
        ("0", "is 0; give a number of at least 1, or auto"),
        ("-2", "is -2; give a number of at least 1, or auto"),
    ],
)
@pytest.mark.parametrize("flag", ["max-model-len", "max_model_len"])
def test_a_length_is_judged_as_what_vllm_makes_of_it(folder: Path, flag: str, length: str, told: str | None) -> None:
    found = said(folder, f"{BIG}{{tensor-parallel-size: 2, {flag}: {length}}}\n", vllm=None, parsed=None)
    errors = [finding.message for finding in found if finding.severity == "error"]
    assert not any("-1 tokens" in finding.message for finding in found)
    if told is None:
        assert errors == []
    else:
        assert [told in error for error in errors if "own configuration" not in error] == [True]


def test_a_length_that_the_engine_chooses_is_told_with_what_fits(folder: Path) -> None:
    found = said(folder, f"{BIG}{{tensor-parallel-size: 2, max-model-len: auto}}\n", vllm=None, parsed=None)
    assert [finding.message for finding in found] == [
        "the engine chooses max-model-len: the KV cache holds about 400,766 tokens"
    ]


@pytest.mark.parametrize(
    "override",
    [
        "hf-overrides: {num_hidden_layers: 64}",
        "hf_overrides: {num_hidden_layers: 64}",
        "hf-overrides.num_hidden_layers: 64",
        'hf-overrides.num_hidden_layers: "64"',
        "hf-overrides: '{\"num_hidden_layers\": 64}'",
        "hf-overrides: {}, hf_overrides.num_hidden_layers: 64",
        "kv-cache-memory-bytes: 40G",
        'kv-cache-memory-bytes: "40000000000"',
    ],
)
def test_memory_counts_what_is_said_in_any_spelling(folder: Path, override: str) -> None:
    everything = said(folder, f"{BIG}{{tensor-parallel-size: 2, {override}}}\n", vllm=None, parsed=None)
    found = [finding.message for finding in everything if finding.severity == "error"]
    assert [error.split(":")[0] for error in found] == ["it does not fit (bf16, tensor 2)"]


def test_an_extended_profile_is_changed_in_another_spelling(folder: Path) -> None:
    (folder / "below.yaml").write_text(f"{BIG}{{max-model-len: 4096, hf-overrides: {{a: 1, b: 2}}}}\n")
    (folder / "middle.yaml").write_text("extends: below\ndescription: m\narguments: {max_model_len: 8k}\n")
    top = read(
        folder,
        "extends: middle\ndescription: t\narguments: {max-model-len: 16k, hf-overrides.a: null, hf_overrides.c: 3}\n",
    )
    assert top.profile.arguments["max-model-len"] == "16k"
    assert top.profile.arguments["hf-overrides"] == {"b": 2, "c": 3}
    assert "max_model_len" not in top.profile.arguments
    assert top.origin.name("arguments.hf-overrides.c") == "'arguments.hf-overrides.c' in it.yaml line 3"
    assert "it.yaml line 3" in top.origin.name("arguments.max-model-len")


def test_another_engines_flags_stay_as_they_are_written(folder: Path) -> None:
    text = "description: x\nengine: other\nexecutable: serve-it\nmodel: m\nneeds: {gpus: 0}\narguments: {max_batch_size: 4, a.b: 1}\n"
    assert read(folder, text).profile.arguments == {"max_batch_size": 4, "a.b": 1}
