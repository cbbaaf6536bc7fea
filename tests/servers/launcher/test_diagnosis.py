"""The reasons of failed starts, from what real servers wrote: vLLM on a CPU, vLLM's issues for CUDA, Docker."""

import re
from pathlib import Path

import pytest

from loadgen.servers.launcher.failure import FailureKind, StartFailure, diagnose
from loadgen.servers.launcher.log import LogLine, log_lines

SAMPLES = Path(__file__).with_name("samples")
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "servers.md"

# What the sentence must name, by the sample's name.
NAMED = {
    "out_of_gpu_memory.allocation": "out of memory on GPU 0: it asked for 896.00 MiB more, with 571.00 MiB of 79.19 GiB free",
    "out_of_gpu_memory.others": "only 7.34 of the GPU's 139.72 GiB are free and it wants 125.75 GiB",
    "out_of_gpu_memory.bare": "out of GPU memory",
    "kv_cache_too_small.length": "one request of 131072 tokens needs 16.0 GiB and there are 4.35 GiB; it would hold one of 35632",
    "kv_cache_too_small.older": "it holds 18976 tokens and one request may have 32768",
    "kv_cache_too_small.nothing": "leaves no memory for the KV cache",
    "out_of_memory.killed_engine": "killed, as the kernel does when memory runs out",
    "out_of_memory.allocator": "it asked for 64.0 GiB more",
    "too_few_gpus.world": "it needs 4 GPUs and found 1",
    "too_few_gpus.none": "it found no GPU",
    "gated_model": "HF_TOKEN",
    "needs_remote_code": "trust-remote-code: true",
    "unsupported_model": "'MolmoeForCausalLM'",
    "port_in_use.uvicorn": "port 8080 on 0.0.0.0",
    "no_engine.module": "has no vllm",
    "no_engine.daemon": "Docker daemon",
    "no_engine.plugin": "compose plugin",
    "no_engine.gpus_in_containers": "NVIDIA Container Toolkit",
    "no_engine.image": "vllm/vllm-openai:v9.9.9",
    # vLLM 0.32 on this project's own CPU build
    "unknown_flag.cpu": "does not know the flags --max-modle-len, --foo",
    "bad_argument.choice": "argument --dtype: invalid choice: 'float99'",
    "bad_argument.length": "User-specified max_model_len (999999) is greater than the derived max_model_len",
    "missing_model.id": "neither on this machine nor to be had from the hub",
    "missing_model.folder": "'/models/empty'",
    "kv_cache_too_small.cpu": "leaves no memory for the KV cache",
    "out_of_memory.cpu": "15.5 of 17.96 GiB are free and the KV cache wants 838.19 GiB",
    "port_in_use.cpu": "is already in use",
}


def test_each_sample_is_expected_and_each_expectation_has_its_sample() -> None:
    assert {path.stem for path in SAMPLES.glob("*.log")} == set(NAMED)


@pytest.mark.parametrize("sample", sorted(NAMED))
def test_the_reason_is_found_in_a_real_log(sample: str) -> None:
    reason = diagnose((SAMPLES / f"{sample}.log").read_text())
    assert reason is not None
    assert reason.kind == sample.partition(".")[0]
    assert NAMED[sample] in reason.words
    assert "\n" not in reason.words


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("Traceback (most recent call last):\nKeyError: 'experts'\nRuntimeError: Engine core initialization failed. See root cause above.", "KeyError: 'experts'"),
        ("INFO: all is well\nERROR 10-01 09:00:01 [core.py:9] the disk is full", "the disk is full"),
        ("some error: no space left", "some error: no space left"),
        ("ValueError: " + "x" * 1000, "x…"),
    ],
)  # fmt: skip
def test_an_unknown_failure_is_told_by_its_last_error(log: str, words: str) -> None:
    reason = diagnose(log)
    assert reason is not None
    assert reason.kind == FailureKind.DIED
    assert reason.words.endswith(words)
    assert len(reason.words) <= 300


def test_the_model_is_named_where_the_log_does_not_name_it() -> None:
    reason = diagnose((SAMPLES / "missing_model.id.log").read_text(), "org/model")
    assert reason is not None
    assert reason.words.startswith("the model 'org/model', or a file of it, is neither")
    gated = diagnose((SAMPLES / "gated_model.log").read_text(), "org/model")
    assert gated is not None
    assert gated.words.startswith("the model 'org/model' is gated")


def test_a_log_without_an_error_gives_no_reason() -> None:
    assert diagnose("") is None
    assert diagnose("INFO 10-01 09:00:01 [core.py:9] Starting to load model x...") is None


def test_columns_colours_and_carriage_returns_are_taken_off() -> None:
    log = (
        "\x1b[0;36m(EngineCore pid=7)\x1b[0;0m INFO 11-26 17:00:00 [core.py:134] hello\r\n"
        "shards:  50%\rshards: 100%\nINFO:     Started\n(VllmWorker rank=0 pid=2) plain\n\n"
    )
    assert list(log_lines(log)) == [
        LogLine("INFO", "hello"),
        LogLine("", "shards:  50%"),
        LogLine("", "shards: 100%"),
        LogLine("INFO", "Started"),
        LogLine("", "plain"),
    ]


def test_a_failure_is_a_sentence_with_its_log() -> None:
    failure = StartFailure(FailureKind.DIED, "x did not start: y", Path("/logs/x.log"))
    assert str(failure) == "x did not start: y; its log: /logs/x.log"
    assert not failure.kind.is_memory
    assert FailureKind.KV_CACHE_TOO_SMALL.is_memory
    assert str(StartFailure(FailureKind.NO_ENGINE, "no engine")) == "no engine"


def test_the_document_lists_each_reason() -> None:
    _, _, section = DOCUMENT.read_text().partition("### When a start fails")
    documented = re.findall(r"^\| ([a-z_]+) \|", section.partition("\n### ")[0], re.MULTILINE)
    assert documented[1:] == [kind.value for kind in documented_order()]


def documented_order() -> list[FailureKind]:
    """Memory first, as the paragraph below the table counts on."""
    memory = [FailureKind.OUT_OF_GPU_MEMORY, FailureKind.KV_CACHE_TOO_SMALL, FailureKind.OUT_OF_MEMORY]
    return memory + [kind for kind in FailureKind if not kind.is_memory]
