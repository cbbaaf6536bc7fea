"""What each engine calls its counters, gauges and histograms.

vLLM's names were read in its sources of 0.26 and 0.32 (v1/metrics/loggers.py, v1/spec_decode/metrics.py) and on recorded pages, and
are the simulator's; up to 0.10 `time_per_output_token_seconds` stood for `inter_token_latency_seconds`. SGLang's are those of its
observability/metrics_collector.py, llama.cpp's those of its server's README; neither was met live. Where a name is not known for
certain to count what we mean there is none, and the figure is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EngineNames:
    """One engine's series by what they count. `times` has the histograms by the key under which a run document tells them."""

    engine: str
    prefix: str
    output_tokens: str
    prompt_tokens: str
    running: str
    waiting: str
    kv_cache_usage: str
    counts_as_it_goes: bool  # output tokens are counted when they are made, and not at the end of their answer
    finished: str | None = None  # whatever they ended by, abort and error included
    prefix_queries: str | None = None
    prefix_hits: str | None = None
    preemptions: str | None = None
    drafts: str | None = None
    draft_tokens: str | None = None
    accepted_tokens: str | None = None
    accepted_by_position: str | None = None
    times: Mapping[str, str] = field(default_factory=dict)


VLLM = EngineNames(
    engine="vLLM",
    prefix="vllm:",
    output_tokens="vllm:generation_tokens_total",
    prompt_tokens="vllm:prompt_tokens_total",
    running="vllm:num_requests_running",
    waiting="vllm:num_requests_waiting",
    kv_cache_usage="vllm:kv_cache_usage_perc",
    counts_as_it_goes=True,
    finished="vllm:request_success_total",
    prefix_queries="vllm:prefix_cache_queries_total",
    prefix_hits="vllm:prefix_cache_hits_total",
    preemptions="vllm:num_preemptions_total",
    drafts="vllm:spec_decode_num_drafts_total",
    draft_tokens="vllm:spec_decode_num_draft_tokens_total",
    accepted_tokens="vllm:spec_decode_num_accepted_tokens_total",
    accepted_by_position="vllm:spec_decode_num_accepted_tokens_per_pos_total",
    times={
        "ttft_s": "vllm:time_to_first_token_seconds",
        "step_gap_s": "vllm:inter_token_latency_seconds",
        "tpot_s": "vllm:request_time_per_output_token_seconds",
        "e2e_latency_s": "vllm:e2e_request_latency_seconds",
        "queue_s": "vllm:request_queue_time_seconds",
        "prefill_s": "vllm:request_prefill_time_seconds",
        "decode_s": "vllm:request_decode_time_seconds",
    },
)

SGLANG = EngineNames(
    engine="SGLang",
    prefix="sglang:",
    output_tokens="sglang:generation_tokens_total",
    prompt_tokens="sglang:prompt_tokens_total",
    running="sglang:num_running_reqs",
    waiting="sglang:num_queue_reqs",
    kv_cache_usage="sglang:token_usage",
    counts_as_it_goes=False,
    finished="sglang:num_requests_total",
    times={
        "ttft_s": "sglang:time_to_first_token_seconds",
        "step_gap_s": "sglang:inter_token_latency_seconds",
        "e2e_latency_s": "sglang:e2e_request_latency_seconds",
        "queue_s": "sglang:queue_time_seconds",
    },
)

LLAMA_CPP = EngineNames(
    engine="llama.cpp",
    prefix="llamacpp:",
    output_tokens="llamacpp:tokens_predicted_total",
    prompt_tokens="llamacpp:prompt_tokens_total",
    running="llamacpp:requests_processing",
    waiting="llamacpp:requests_deferred",
    kv_cache_usage="llamacpp:kv_cache_usage_ratio",
    counts_as_it_goes=False,
)

ENGINES = (VLLM, SGLANG, LLAMA_CPP)


def names_in(values: Mapping[str, float]) -> EngineNames | None:
    """The names of the engine whose series these are; None when no known one's are among them."""
    return next((names for names in ENGINES if any(name.startswith(names.prefix) for name in values)), None)
