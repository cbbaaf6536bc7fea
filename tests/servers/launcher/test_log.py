"""Stages of a start, from lines as vLLM writes them."""

import pytest

from loadgen.servers.launcher.log import stage


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("(EngineCore pid=7) INFO 11-26 12:00:00 [gpu_model_runner.py:5040] Starting to load model x...", "loading the model"),
        ("\rLoading safetensors checkpoint shards:   0% Completed | 0/19 [00:00<?, ?it/s]", "loading weights 0/19"),
        ("Loading safetensors checkpoint shards: 5% Completed | 1/19 [..]\rLoading safetensors checkpoint shards: 11% Completed | 2/19 [..]", "loading weights 2/19"),
        ("Loading safetensors checkpoint shards (eager):  50% Completed | 1/2 [..]", "loading weights 1/2"),
        ("Fetching 8 files:  25%|##5       | 2/8 [00:10<00:30,  5.1s/it]", "downloading the model, file 2/8"),
        ("model-00001-of-00019.safetensors:  34%|###4  | 1.7G/4.9G", "downloading the model"),
        ("INFO 11-26 12:00:00 [default_loader.py:502] Loading weights took 1.22 seconds", "weights loaded"),
        ("INFO 11-26 12:00:00 [monitor.py:40] Starting torch.compile", "compiling"),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  37%|###7 | 25/67 [00:01<00:02]", "capturing graphs 25/67"),
        ("INFO 11-26 12:00:00 [cpu_model_runner.py:87] Warming up model for the compilation...", "warming up"),
        ("INFO 11-26 12:00:00 [core.py:403] init engine (profile, create kv cache, warmup model) took 3.1 s", "starting the HTTP server"),
        ("INFO:     Application startup complete.", "waiting for the first answer"),
    ],
)  # fmt: skip
def test_a_line_tells_its_stage(log: str, told: str) -> None:
    assert stage(log) == told


def test_other_lines_tell_nothing_and_the_last_stage_counts() -> None:
    assert stage("INFO 11-26 12:00:00 [core.py:1] something else") is None
    assert stage("") is None
    assert stage("Starting to load model x...\nLoading weights took 2 s\nsomething else") == "weights loaded"
