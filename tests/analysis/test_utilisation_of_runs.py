"""S-MBU, S-MFU and the share of the bound of runs on record: real ones on an H200, worked out by hand."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from loadgen.analysis.bound import bound_of
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import FIGURES
from loadgen.analysis.server.served_model import served_model
from loadgen.analysis.utilisation import decoding_sequences
from loadgen.importers.importing import read_sweep

RESULTS = Path(__file__).resolve().parents[2] / "results"
KEYS = ("s_mbu_ratio", "s_mfu_ratio", "bound_ratio")
H200_BYTES_PER_S, H200_BF16, H200_FP8 = 4.8e12, 989.4e12, 1978.9e12

# Mixtral-8x7B: 32 layers of 4 · 4096 · 4096-like attention (kv heads a quarter), 8 experts of 3 · 4096 · 14336, top-2.
EXPERTS = 32 * 8 * 3 * 4096 * 14336
ATTENTION = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024)
HEAD = 4096 * 32_000
OTHERS = 32 * 4096 * 8 + 65 * 4096  # routers and norms
KV_BYTES = 2 * 8 * 128 * 32 * 2  # a token


@cache
def runs(name: str) -> tuple[RunDocument, ...]:
    return tuple(read_sweep(RESULTS / name).runs)


def the_run(name: str, load: int) -> Any:
    return next(run for run in runs(name) if load in run["spec"]["shape"].values())


def figures(run: RunDocument) -> list[float | None]:
    return [FIGURES[key].read(run) for key in KEYS]


def changed(run: RunDocument, **changes: Any) -> RunDocument:
    return cast(RunDocument, {**deepcopy(run), **changes})


MIXTRAL_ALONE = the_run("2026-11-26-h200-mixtral-8x7b-bf16-dummy-1024-256.json", 1)
WAVE = the_run("2026-11-30-h200-qwen1.5-moe-a2.7b-dummy-waves-512.json.gz", 16)


def test_one_caller_of_mixtral() -> None:
    s_mbu, s_mfu, of_bound = figures(MIXTRAL_ALONE)
    tpot_s = MIXTRAL_ALONE["tpot_s"]["mean"]
    read_bytes = 2 * (EXPERTS / 4 + ATTENTION + HEAD + OTHERS) + (1024 + 128) * KV_BYTES
    assert s_mbu == pytest.approx(read_bytes / tpot_s / H200_BYTES_PER_S, rel=2e-3)
    assert s_mbu == pytest.approx(0.675, abs=0.001)

    products = 2 * (EXPERTS / 4 + ATTENTION + 32 * 4096 * 8)
    pairs = 2 * 2 * 32 * 128 * 32  # FLOPs of a query and a key
    flops = 1024 * products + 2 * HEAD + pairs * 1024 * 1025 / 2 + 255 * (products + 2 * HEAD + pairs * 1152)
    assert s_mfu == pytest.approx(flops * MIXTRAL_ALONE["requests_per_s"] / H200_BF16, rel=2e-3)

    # The prompt takes 1024 tokens' FLOPs, more than the time to read 8 experts; each token after it what it reads.
    shortest_s = 1024 * products / H200_BF16 + 255 * read_bytes / H200_BYTES_PER_S
    assert of_bound == pytest.approx(MIXTRAL_ALONE["output_tokens_per_s"] / (256 / shortest_s), rel=0.01)
    assert of_bound == pytest.approx(0.667, abs=0.002)


def test_counted_experts_take_the_place_of_uniform_routing() -> None:
    """Every token chose the same two experts, of which the counts say one a step: half of the bytes of experts."""
    layer = {"counts": [8, 8, 0, 0, 0, 0, 0, 0]}
    counted = {
        "schema_version": 1,
        "model": "m",
        "source": "worker_extension",
        "experts_per_token": 2,
        "tokens": 8,
        "layers": [{"layer": number, **layer} for number in range(32)],
        "step_sizes": [{"tokens": 1, "steps": 8, "distinct_experts": 8 * 32}],
    }
    read_bytes = 2 * (EXPERTS / 8 + ATTENTION + HEAD + OTHERS) + (1024 + 128) * KV_BYTES
    s_mbu = figures(changed(MIXTRAL_ALONE, experts=counted))[0]
    assert s_mbu == pytest.approx(read_bytes / MIXTRAL_ALONE["tpot_s"]["mean"] / H200_BYTES_PER_S, rel=2e-3)


def test_sixteen_callers_of_mixtral_in_fp8() -> None:
    run = the_run("2026-11-26-h200-mixtral-8x7b-fp8-dummy-1024-256.json", 16)
    s_mbu, s_mfu, of_bound = figures(run)
    decoding = run["concurrency"]["mean"] * (1 - run["ttft_s"]["mean"] / run["e2e_latency_s"]["mean"])
    assert decoding == pytest.approx(14.7, abs=0.05)
    distinct = 1 - (1 - 2 / 8) ** decoding
    read_bytes = distinct * EXPERTS + ATTENTION + 2 * (HEAD + OTHERS) + decoding * (1024 + 128) * KV_BYTES
    assert s_mbu == pytest.approx(read_bytes / run["tpot_s"]["mean"] / H200_BYTES_PER_S, rel=2e-3)
    assert s_mbu == pytest.approx(0.699, abs=0.001)
    assert s_mfu == pytest.approx(0.066, abs=0.001)  # against the peak of fp8
    assert of_bound == pytest.approx(0.657, abs=0.002)


def test_a_wave_of_qwen() -> None:
    s_mbu, _, of_bound = figures(WAVE)
    ttft, e2e = WAVE["ttft_s"], WAVE["e2e_latency_s"]
    decoding = 16 * (e2e["mean"] - ttft["mean"]) / (e2e["max"] - ttft["min"])
    assert decoding_sequences(WAVE) == pytest.approx(decoding)
    # 24 layers; 60 experts of 3 · 2048 · 1408, 4 chosen; a shared one of 5632; attention of 2048; a head of 151,936.
    experts = 24 * 60 * 3 * 2048 * 1408 * (1 - (1 - 4 / 60) ** decoding)
    others = 24 * (3 * 2048 * 5632 + 4 * 2048 * 2048) + 2048 * 151_936
    kv_bytes = decoding * (512 + 256) * 2 * 2048 * 24 * 2
    assert s_mbu == pytest.approx(
        (2 * (experts + others) + kv_bytes) / WAVE["tpot_s"]["mean"] / H200_BYTES_PER_S,
        rel=5e-3,
    )
    assert s_mbu == pytest.approx(0.666, abs=0.001)
    assert of_bound == pytest.approx(0.654, abs=0.002)


def test_made_up_routers_of_deepseek_choose_six_experts() -> None:
    run = the_run("2026-11-30-h200-deepseek-v2-lite-dummy-waves-512.json.gz", 128)
    model = served_model(run)
    assert model is not None
    assert model.roofline.distinct_experts(64, 6, 128) == 6
    drawn = {**run["server"]["launch"], "environment": {"VLLM_MOE_ROUTING_SIMULATION_STRATEGY": "uniform_random"}}
    model = served_model(changed(run, server={**run["server"], "launch": drawn}))
    assert model is not None
    assert model.roofline.distinct_experts(64, 6, 128) == pytest.approx(64, abs=0.01)


def test_no_real_run_beats_its_bound() -> None:
    for file in RESULTS.glob("*.json*"):
        for run in runs(file.name):
            launch = run["server"]["launch"]
            assert launch is not None
            is_plain = "speculative-config" not in launch["arguments"] and "images" not in (
                run["spec"].get("workload") or {}
            )
            is_bounded = served_model(run) is not None and is_plain and run["spec"]["output_tokens"] > 1
            ratios = figures(run)
            assert (None not in ratios) is is_bounded, file.name
            assert all(0 < ratio < 0.95 for ratio in ratios if ratio is not None)


@pytest.mark.parametrize(
    "change",
    [
        {"simulated": True},
        {"server": {**MIXTRAL_ALONE["server"], "launch": None}},
        {"server": {**MIXTRAL_ALONE["server"], "launch": {"arguments": {}, "gpus": [{"name": "NVIDIA H200"}]}}},
        {
            "gpu": None,
            "server": {
                **MIXTRAL_ALONE["server"],
                "launch": {**MIXTRAL_ALONE["server"]["launch"], "gpus": [{"name": "Unheard-of 9000"}]},
            },
        },
        {"server_account": {"prefix_cache_hit_ratio": 0.5}},
        {"spec": {**MIXTRAL_ALONE["spec"], "workload": {"choices": 4}}},
    ],
    ids=["simulated", "not started here", "unknown model", "unknown GPU", "cached prompts", "several choices"],
)
def test_a_figure_that_is_not_known_is_none(change: dict[str, Any]) -> None:
    assert figures(changed(MIXTRAL_ALONE, **change)) == [None, None, None]


def on_gpus(count: int, **arguments: object) -> RunDocument:
    """The run of Mixtral, as if its server had run on so many GPUs with these arguments."""
    launch = MIXTRAL_ALONE["server"]["launch"]
    changes = {"gpus": launch["gpus"] * count, "arguments": {**launch["arguments"], **arguments}}
    return changed(MIXTRAL_ALONE, gpu=None, server={**MIXTRAL_ALONE["server"], "launch": {**launch, **changes}})


def test_figures_are_of_one_gpu_of_several() -> None:
    alone, shared = figures(MIXTRAL_ALONE), figures(on_gpus(4, **{"tensor-parallel-size": 4}))
    for one, of_four in zip(alone, shared, strict=True):
        assert one
        assert of_four
    assert (shared[0] or 0) / (alone[0] or 1) == pytest.approx(1 / 4, rel=0.01)
    assert (shared[1] or 0) / (alone[1] or 1) == pytest.approx(1 / 4)
    assert 0.25 < (shared[2] or 0) / (alone[2] or 1) < 0.35  # links take their time


def test_speculative_decoding_has_no_token_a_step() -> None:
    assert figures(on_gpus(1)) == figures(MIXTRAL_ALONE)
    assert figures(on_gpus(1, **{"speculative-config": {"method": "ngram"}})) == [None, None, None]


def test_more_gpus_than_the_layout_takes_are_not_understood() -> None:
    run = on_gpus(1, **{"tensor-parallel-size": 4})
    assert figures(run) == [None, None, None]


def test_an_open_loop_has_no_bound_but_is_utilised() -> None:
    shape = {"kind": "open_loop", "rate_per_s": 0.5}
    run = changed(MIXTRAL_ALONE, spec={**MIXTRAL_ALONE["spec"], "shape": shape})
    s_mbu, s_mfu, of_bound = figures(run)
    assert of_bound is None
    assert s_mbu
    assert s_mfu


def test_bounds_of_other_figures() -> None:
    tokens_per_s = bound_of(WAVE, "output_tokens_per_s") or 0
    e2e_s = 16 * 512 / tokens_per_s
    assert bound_of(WAVE, "paper.throughput_tokens_per_s") == pytest.approx(16 * 1024 / e2e_s)
    assert bound_of(WAVE, "requests_per_s") == pytest.approx(16 / e2e_s)
    assert bound_of(WAVE, "output_tokens_per_s_per_gpu") == pytest.approx(tokens_per_s)
    assert 0 < (bound_of(WAVE, "paper.ttft_s") or 0) < e2e_s
    assert e2e_s / 2 < (bound_of(WAVE, "e2e_latency_s") or 0) < e2e_s  # of half the wave
    assert bound_of(WAVE, "ttft_s") is bound_of(WAVE, "paper.itl_s") is None
