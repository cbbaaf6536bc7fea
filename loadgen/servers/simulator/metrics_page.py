"""The state of the service in Prometheus' text format, under vLLM's names and with its buckets. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

# vLLM 0.32's (v1/metrics/buckets.py), in seconds.
_FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
_STEP_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
_REQUEST_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0),
    *(40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)


class Histogram:
    """Counts by bucket: a value belongs to the first bound that is not below it."""

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe_ns(self, value_ns: int, times: int = 1) -> None:
        """Take up a duration, as often as `times` says."""
        value_s = value_ns / 1e9
        self.counts[bisect_left(self.bounds_s, value_s)] += times
        self.sum_s += value_s * times


@dataclass(slots=True)
class Counters:
    """What only grows. Tokens are counted when they are sent, prompts when their first token is."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished_requests: int = 0
    aborted_requests: int = 0
    prefix_cache_queries_tokens: int = 0
    preemptions: int = 0
    first_token: Histogram = field(default_factory=lambda: Histogram(_FIRST_TOKEN_S))
    step: Histogram = field(default_factory=lambda: Histogram(_STEP_S))
    per_output_token: Histogram = field(default_factory=lambda: Histogram(_STEP_S))
    whole_request: Histogram = field(default_factory=lambda: Histogram(_REQUEST_S))
    queue: Histogram = field(default_factory=lambda: Histogram(_REQUEST_S))
    prefill: Histogram = field(default_factory=lambda: Histogram(_REQUEST_S))
    decode: Histogram = field(default_factory=lambda: Histogram(_REQUEST_S))


def expose(counters: Counters, running: int, waiting: int, kv_cache_usage_ratio: float, model: str) -> str:
    name = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    labels = f'engine="0",model_name="{name}"'
    lines: list[str] = []

    def heading(metric_name: str, kind: str, text: str) -> None:
        lines.append(f"# HELP vllm:{metric_name} {text}\n# TYPE vllm:{metric_name} {kind}")

    def metric(metric_name: str, kind: str, text: str, value: float) -> None:
        heading(metric_name, kind, text)
        lines.append(f"vllm:{metric_name}{{{labels}}} {float(value)}")

    def histogram(metric_name: str, text: str, told: Histogram) -> None:
        heading(metric_name, "histogram", text)
        seen = 0
        for bound, count in zip((*told.bounds_s, "+Inf"), told.counts, strict=True):
            seen += count
            lines.append(f'vllm:{metric_name}_bucket{{engine="0",le="{bound}",model_name="{name}"}} {float(seen)}')
        lines.append(f"vllm:{metric_name}_count{{{labels}}} {float(seen)}")
        lines.append(f"vllm:{metric_name}_sum{{{labels}}} {told.sum_s}")

    metric("num_requests_running", "gauge", "Number of requests in model execution batches.", running)
    metric("num_requests_waiting", "gauge", "Number of requests waiting to be processed.", waiting)
    metric("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", kv_cache_usage_ratio)
    queries = counters.prefix_cache_queries_tokens
    metric(
        "prefix_cache_queries_total", "counter", "Prefix cache queries, in terms of number of queried tokens.", queries
    )
    metric("prefix_cache_hits_total", "counter", "Prefix cache hits, in terms of number of cached tokens.", 0)
    preempted = "Cumulative number of preemption from the engine."
    metric("num_preemptions_total", "counter", preempted, counters.preemptions)
    metric("prompt_tokens_total", "counter", "Number of prefill tokens processed.", counters.prompt_tokens)
    metric("generation_tokens_total", "counter", "Number of generation tokens processed.", counters.generation_tokens)
    heading("request_success_total", "counter", "Count of successfully processed requests.")
    ends = {"stop": 0, "length": counters.finished_requests, "abort": counters.aborted_requests, "error": 0}
    for reason, count in ends.items():
        series = f'engine="0",finished_reason="{reason}",model_name="{name}"'
        lines.append(f"vllm:request_success_total{{{series}}} {float(count)}")
    histogram("time_to_first_token_seconds", "Histogram of time to first token in seconds.", counters.first_token)
    histogram("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", counters.step)
    histogram(
        "request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        counters.per_output_token,
    )
    histogram("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", counters.whole_request)
    histogram("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", counters.queue)
    histogram("request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", counters.prefill)
    histogram("request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", counters.decode)
    return "\n".join(lines) + "\n"
