"""The state of the service in Prometheus' text format, under vLLM's names. Pure."""

from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


@dataclass(slots=True)
class Counters:
    """What only grows. Tokens are counted when they are sent, prompts when their first token is."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished_requests: int = 0
    aborted_requests: int = 0
    prefix_cache_queries_tokens: int = 0


def expose(counters: Counters, running: int, waiting: int, kv_cache_usage_ratio: float, model: str) -> str:
    """The body of GET /metrics."""
    name = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    labels = f'engine="0",model_name="{name}"'
    lines: list[str] = []

    def metric(metric_name: str, kind: str, text: str, value: float) -> None:
        lines.append(f"# HELP vllm:{metric_name} {text}\n# TYPE vllm:{metric_name} {kind}")
        lines.append(f"vllm:{metric_name}{{{labels}}} {float(value)}")

    metric("num_requests_running", "gauge", "Number of requests in model execution batches.", running)
    metric("num_requests_waiting", "gauge", "Number of requests waiting to be processed.", waiting)
    metric("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", kv_cache_usage_ratio)
    queries = counters.prefix_cache_queries_tokens
    metric(
        "prefix_cache_queries_total", "counter", "Prefix cache queries, in terms of number of queried tokens.", queries
    )
    metric("prefix_cache_hits_total", "counter", "Prefix cache hits, in terms of number of cached tokens.", 0)
    metric("prompt_tokens_total", "counter", "Number of prefill tokens processed.", counters.prompt_tokens)
    metric("generation_tokens_total", "counter", "Number of generation tokens processed.", counters.generation_tokens)
    lines.append("# HELP vllm:request_success_total Count of successfully processed requests.")
    lines.append("# TYPE vllm:request_success_total counter")
    ends = {"stop": 0, "length": counters.finished_requests, "abort": counters.aborted_requests, "error": 0}
    for reason, count in ends.items():
        series = f'engine="0",finished_reason="{reason}",model_name="{name}"'
        lines.append(f"vllm:request_success_total{{{series}}} {float(count)}")
    return "\n".join(lines) + "\n"
