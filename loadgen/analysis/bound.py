"""The bound of a run's load: the highest rates and the lowest latencies that the roofline of its model allows.

By the datasheet's rates, without overheads. The bound is that of the load and the hardware: all sequences decode together,
whatever the engine's own limits are, and the KV cache is large enough for them. The end-to-end latency of a wave has that of
half the wave, which its median cannot be below even if an engine serves one half after the other. TTFT of single requests and
the paper's ITL, which becomes shorter the later the last request of a wave has its first token, have none.
"""

from collections.abc import Mapping
from functools import lru_cache

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.server.served_model import ServedModel, served_model
from loadgen.load.shapes import ShapeDocument, shape_from_json
from loadgen.moe.bounds import best_wave_bound, closed_loop_cycle_bound_s

_MAX_CACHED_RATIO = 0.01  # of the prompt tokens, found in the prefix cache: more makes the prompts' work smaller


def bound_of(run: RunDocument, figure: str) -> float | None:
    """Return the bound of a figure, by its key, at the load of a run, in the figure's unit.

    None for a figure that has no bound; if the model, the accelerators or a length are unknown; for an open loop, whose
    throughput is that of its arrivals; and for a load or a server whose work is not that of independent prompts, token by token.
    """
    model, lengths = served_model(run), mean_lengths(run)
    if model is None or lengths is None or not is_plain(run, model):
        return None
    return _bounds(model, run["spec"]["shape"], *lengths).get(figure)


def mean_lengths(run: RunDocument) -> tuple[float, float] | None:
    """Return the mean tokens of a prompt and of a reply, as measured, else as asked; None if one is unknown."""
    spec, achieved = run["spec"], run.get("lengths") or {}
    prompt, reply = achieved.get("prompt_tokens"), achieved.get("output_tokens")
    input_tokens = (prompt and prompt["mean"]) or spec["input_tokens"]
    output_tokens = (reply and reply["mean"]) or spec["output_tokens"]
    return (input_tokens, output_tokens) if input_tokens and output_tokens else None


def is_plain(run: RunDocument, model: ServedModel) -> bool:
    """Whether every prompt is computed whole and every output token in a step of its own."""
    workload = run["spec"].get("workload") or {}
    cached = (run.get("server_account") or {}).get("prefix_cache_hit_ratio") or 0.0
    return (
        not model.has_draft
        and cached <= _MAX_CACHED_RATIO
        and not any(workload.get(key) for key in ("images", "sessions"))
        and (workload.get("choices") or 1) == 1
    )


def _bounds(model: ServedModel, shape: ShapeDocument, input_tokens: float, output_tokens: float) -> Mapping[str, float]:
    """Bounds by the keys of figures; empty for a shape without any."""
    load = shape_from_json(shape)
    prompt, reply = max(1, round(input_tokens)), max(1, round(output_tokens))
    if load.batch_size is not None:
        return _of_wave(model, load.batch_size, prompt, reply)
    if load.callers is not None:
        return _of_closed_loop(model, load.callers, prompt, reply)
    return {}


@lru_cache(maxsize=4096)
def _of_wave(model: ServedModel, batch: int, input_tokens: int, output_tokens: int) -> Mapping[str, float]:
    bound = best_wave_bound(model.roofline, batch, input_tokens, output_tokens)
    # The median does not wait for the rest.
    half = best_wave_bound(model.roofline, -(-batch // 2), input_tokens, output_tokens)
    return {
        **_rates(model, batch / bound.e2e_s, input_tokens, output_tokens),
        "paper.ttft_s": bound.ttft_s,
        "paper.throughput_tokens_per_s": bound.throughput_tokens_per_s,
        "e2e_latency_s": half.e2e_s,
    }


@lru_cache(maxsize=4096)
def _of_closed_loop(model: ServedModel, callers: int, input_tokens: int, output_tokens: int) -> Mapping[str, float]:
    cycle_s = closed_loop_cycle_bound_s(model.roofline, callers, input_tokens, output_tokens)
    return _rates(model, callers / cycle_s, input_tokens, output_tokens)


def _rates(model: ServedModel, requests_per_s: float, input_tokens: int, output_tokens: int) -> dict[str, float]:
    return {
        "requests_per_s": requests_per_s,
        "output_tokens_per_s": requests_per_s * output_tokens,
        "total_tokens_per_s": requests_per_s * (input_tokens + output_tokens),
        "output_tokens_per_s_per_gpu": requests_per_s * output_tokens / model.roofline.parallelism.gpus,
    }
