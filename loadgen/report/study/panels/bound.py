"""The roofline's bound at a measured point, for figures that it bounds: the line above, or below, which no server comes.

Known of waves alone, for a model and an accelerator that are known here; by the datasheet's rates, as `moe.bounds` has it.
Experts are taken to be used evenly. Routers with made-up weights may send all tokens to the same experts: there, only those
of one token are read.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from loadgen.errors import LoadgenError
from loadgen.moe.architecture import Architecture
from loadgen.moe.bounds import WaveBound, wave_bound
from loadgen.moe.hardware import hardware
from loadgen.moe.parameters import expected_distinct_experts
from loadgen.moe.placement import Parallelism
from loadgen.moe.roofline import Roofline
from loadgen.moe.step_work import Precisions
from loadgen.servers.profiles.command import arguments
from loadgen.servers.profiles.layout import layout
from loadgen.study.measured import MeasuredPoint

_READ: Mapping[str, Callable[[WaveBound], float]] = {
    "paper.throughput_tokens_per_s": lambda bound: bound.throughput_tokens_per_s,
    "output_tokens_per_s": lambda bound: bound.output_tokens_per_s,
    "e2e_latency_s": lambda bound: bound.e2e_s,
    "paper.ttft_s": lambda bound: bound.ttft_s,
}


def bound_of(point: MeasuredPoint, figure: str) -> float | None:
    """The bound of a figure at this point, in its own unit; None if it is not known."""
    run = point.point.run
    is_wave = point.coordinates["load"] == "wave"
    if figure not in _READ or not is_wave or run.input_tokens is None or run.workload.to_json():
        return None
    variant, tiny = point.point.variant, point.series.provenance == "tiny"
    if tiny or variant.served.architecture is None or variant.cannot_run is not None:
        return None
    over = layout(arguments(variant.variant.served.profile))
    if over.precision is None or over.draft_model is not None:
        return None
    precisions = Precisions(weights=over.precision, kv_cache=over.kv_precision)
    bound = _wave(
        variant.served.architecture,
        point.series.hardware,
        over.parallelism,
        precisions,
        (int(point.coordinates["batch"]), run.input_tokens, run.output_tokens, over.max_num_seqs),
        is_even=point.series.provenance != "dummy_routed",
    )
    return None if bound is None else _READ[figure](bound)


@lru_cache(maxsize=4096)  # a panel for each figure, and a page for each study, ask for the same points
def _wave(
    model: Architecture,
    hardware_name: str,
    parallelism: Parallelism,
    precisions: Precisions,
    load: tuple[int, int, int, int | None],
    *,
    is_even: bool,
) -> WaveBound | None:
    batch, input_tokens, output_tokens, max_num_seqs = load
    try:
        distinct = expected_distinct_experts if is_even else _fewest
        roofline = Roofline(model, hardware(hardware_name), parallelism, precisions, distinct_experts=distinct)
        return wave_bound(roofline, batch, input_tokens, output_tokens, max_num_seqs=max_num_seqs)
    except LoadgenError:  # an accelerator that is not known, a layout that cannot be
        return None


def _fewest(experts: int, top_k: int, tokens: float) -> float:
    """As many experts as one token passes."""
    return float(min(experts, top_k))
