"""The simulator of a model on hardware: what can be asked, and a real run against it next to the prediction."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import pytest

from loadgen.errors import UsageError
from loadgen.servers.prediction.virtual_time import Request, serve
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.engine_service import deployment_for

MIXTRAL = SimulatorOptions(model="mixtral-8x7b", hardware="h100", tp=4)


def test_the_options_are_the_engines_flags() -> None:
    deployment = deployment_for(replace(MIXTRAL, max_running=16, max_model_len=4096))
    assert deployment.gpus == 4
    assert deployment.engine.limits.max_num_seqs == 16
    assert deployment.max_model_len == 4096
    by_id = deployment_for(replace(MIXTRAL, model="mistralai/Mixtral-8x7B-v0.1", max_running=16))
    assert by_id.engine.limits == deployment.engine.limits


def test_fp8_leaves_more_room_for_the_cache() -> None:
    bf16, fp8 = (deployment_for(replace(MIXTRAL, precision=name)) for name in ("bf16", "fp8"))
    assert fp8.engine.limits.kv_blocks > 1.2 * bf16.engine.limits.kv_blocks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "simulated-moe"}, "the model 'simulated-moe' is not known; with --hardware, --model is one of"),
        ({"hardware": "h300"}, "no accelerator 'h300'"),
        ({"tp": 1}, "mixtral-8x7b cannot be simulated: on NVIDIA H100 SXM5 80GB"),
        ({"tp": 3}, "mixtral-8x7b cannot be simulated"),
        ({"tp": 0}, "tp is 0; give at least 1"),
        ({"precision": "fp4"}, "precision is 'fp4'; known values: bf16, fp8, int4"),
        ({"gap_s": 0.5}, "gap_s and hardware exclude each other"),
        ({"provider": "cerebras"}, "provider and hardware exclude each other"),
        ({"hardware": None}, "tp needs hardware"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        deployment_for(replace(MIXTRAL, **changes))


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(MIXTRAL) as process:
        yield process


def request(**fields: Any) -> dict[str, Any]:
    return {
        "model": "mixtral-8x7b",
        "prompt": [11] * 64,
        "max_tokens": 24,
        "ignore_eos": True,
        "stream": True,
        **fields,
    }


def token_times_s(simulator: SimulatorProcess, **fields: Any) -> list[float]:
    """When the server sent each token, since the request arrived."""
    simulator.reset_truth()
    with httpx2.Client(base_url=simulator.url, trust_env=False, timeout=20) as client:
        client.post("/v1/completions", json=request(**fields)).raise_for_status()
    (told,) = simulator.truth()["requests"]
    return [(sent_ns - told["arrival_ns"]) / 1e9 for sent_ns in told["sent_ns"]]


@pytest.mark.loopback
def test_one_request_takes_as_long_as_predicted(simulator: SimulatorProcess) -> None:
    (reply,) = serve(deployment_for(MIXTRAL).engine, [Request(64, 24)], callers=1)
    expected_s = reply.token_s - reply.sent_s
    errors = [np.array(token_times_s(simulator)) / expected_s - 1 for _ in range(3)]
    assert min(np.median(np.abs(error)) for error in errors) < 0.05  # the host may be busy in one of them
    assert min(abs(error[-1]) for error in errors) < 0.05
    assert min(error.min() for error in errors) > -1e-3  # never early


@pytest.mark.loopback
def test_each_choice_is_a_sequence(simulator: SimulatorProcess) -> None:
    replies = serve(deployment_for(MIXTRAL).engine, [Request(64, 24)] * 2, callers=2)
    expected_s = max(reply.token_s[-1] - reply.sent_s for reply in replies)
    assert min(token_times_s(simulator, n=2, temperature=1.0)[-1] for _ in range(3)) == pytest.approx(
        expected_s, rel=0.05
    )


@pytest.mark.loopback
def test_a_client_that_leaves_leaves_nothing_running(simulator: SimulatorProcess) -> None:
    with httpx2.Client(base_url=simulator.url, trust_env=False, timeout=20) as client:
        with client.stream("POST", "/v1/completions", json=request(max_tokens=20_000)) as response:
            next(response.iter_raw())
        deadline = time.monotonic() + 5
        running = 'vllm:num_requests_running{engine="0",model_name="mixtral-8x7b"} 0.0'
        while running not in (page := client.get("/metrics").text) and time.monotonic() < deadline:
            pass
    assert running in page
    assert 'vllm:kv_cache_usage_perc{engine="0",model_name="mixtral-8x7b"} 0.0' in page


@pytest.mark.loopback
def test_a_reply_that_is_not_streamed_comes_whole_at_its_end(simulator: SimulatorProcess) -> None:
    with httpx2.Client(base_url=simulator.url, trust_env=False, timeout=20) as client:
        begun_s = time.monotonic()
        reply = client.post("/v1/completions", json=request(stream=False))
        took_s = time.monotonic() - begun_s
    assert json.loads(reply.text)["usage"]["completion_tokens"] == 24
    (expected,) = serve(deployment_for(MIXTRAL).engine, [Request(64, 24)], callers=1)
    assert took_s > expected.token_s[-1]
