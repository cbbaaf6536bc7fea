"""The bounds against runs on a real H200 (results/): none is beaten, unless all tokens take the same experts."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.moe.bounds import decode_step_bound_s, wave_bound
from loadgen.moe.hardware import hardware
from loadgen.moe.models import model
from loadgen.moe.roofline import Roofline
from loadgen.moe.step_work import Precisions

RESULTS = Path(__file__).resolve().parents[2] / "results"


def runs(pattern: str) -> Iterator[dict[str, Any]]:
    files = sorted(RESULTS.glob(pattern))
    assert files
    for file in files:
        data = file.read_bytes()
        yield from json.loads(gzip.decompress(data) if file.suffix == ".gz" else data)["runs"]


def roofline_of(run: dict[str, Any]) -> Roofline:
    launch = run["server"]["launch"]
    fp8 = str(launch["arguments"].get("quantization")).startswith("fp8")
    architecture = model(launch["architecture"]).architecture
    top_k = (launch["arguments"].get("hf-overrides") or {}).get("num_experts_per_tok")
    if top_k is not None:
        assert architecture.experts is not None
        architecture = replace(architecture, experts=replace(architecture.experts, top_k=top_k))
    return Roofline(architecture, hardware(launch["gpus"][0]["name"]), precisions=Precisions("fp8" if fp8 else "bf16"))


def decode_share(run: dict[str, Any], roofline: Roofline) -> float:
    """The bound of a decode step as a share of the median gap between tokens."""
    spec = run["spec"]
    callers = spec["shape"].get("concurrency") or spec["shape"]["size"]
    context = spec["input_tokens"] + spec["output_tokens"] / 2
    return decode_step_bound_s(roofline, callers, context) / float(run["token_gap_s"]["p50"])


@pytest.mark.parametrize("pattern", ["*-mixtral-8x7b-*", "*-olmoe-*", "*-qwen1.5-moe-a2.7b-dummy-*"])
def test_no_run_decodes_faster_than_its_bound(pattern: str) -> None:
    shares = [decode_share(run, roofline_of(run)) for run in runs(pattern) if run["spec"]["output_tokens"] > 1]
    assert 0.6 < max(shares) < 1


def test_no_wave_ends_sooner_than_its_bound() -> None:
    for run in runs("*-qwen1.5-*-waves-*"):
        spec = run["spec"]
        batch, lengths = spec["shape"]["size"], (spec["input_tokens"], spec["output_tokens"])
        bound = wave_bound(roofline_of(run), batch, *lengths, max_num_seqs=128, max_num_batched_tokens=8192)
        assert bound.e2e_s < run["e2e_latency_s"]["max"]
        assert bound.ttft_s < run["ttft_s"]["max"]
        assert bound.mean_ttft_s < run["ttft_s"]["mean"]
        assert bound.throughput_tokens_per_s > run["paper"]["throughput_tokens_per_s"]


def test_a_router_whose_scores_are_all_equal_beats_uniform_routing_only() -> None:
    for run in runs("*-deepseek-v2-lite-*-waves-128.*"):
        uniform = roofline_of(run)
        same = Roofline(
            uniform.architecture, uniform.hardware, distinct_experts=lambda experts, top_k, tokens: float(top_k)
        )
        assert decode_share(run, same) < 0.4
        if run["spec"]["shape"]["size"] >= 16:
            assert decode_share(run, uniform) > 1.2
