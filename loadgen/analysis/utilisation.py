"""S-MBU and S-MFU: how much of the hardware's bandwidth and FLOP/s a run used, counting the experts it needed and no others.

Both are of MoE-CAP (Jiang et al., arXiv 2412.07067), against the datasheet's peaks. Counting every expert of a
Mixture-of-Experts model, as MBU and MFU do, gives figures above 100 %. Here the head counts too, which every token needs and
MoE-CAP's code leaves out.
"""

from loadgen.moe.architecture import Architecture
from loadgen.moe.hardware import Hardware
from loadgen.moe.parameters import expected_distinct_experts
from loadgen.moe.placement import Parallelism
from loadgen.moe.step import PrefillChunk, Step
from loadgen.moe.step_work import DistinctExperts, Precisions, Work, stage_works


def s_mbu(
    architecture: Architecture,
    hardware: Hardware,
    *,
    tpot_s: float,
    sequences: float,
    context_tokens: float,
    parallelism: Parallelism | None = None,
    precisions: Precisions | None = None,
    distinct_experts: DistinctExperts = expected_distinct_experts,
) -> float:
    """Return the sparse memory bandwidth utilisation of decoding, between 0 and 1.

    S-MBU = (S_activated + S_KV) / TPOT / peak bandwidth: the bytes of all weights outside of routed experts, of the
    *distinct* routed experts that the step's tokens choose, and of the cache that the sequences attend to.

    `sequences` is the mean number that decode together over all copies of the model, `context_tokens` the mean context of
    one, half of its output included. Bytes are those of a GPU, so what tensor parallelism repeats counts as often as it is
    read. Pipeline stages have a share of the sequences each in turn, and read their weights for each share. The number of
    distinct experts is that of uniform routing unless the run's own is known; with a skewed router the figure is too high.
    """
    over = parallelism or Parallelism()
    of_copy = sequences / over.data
    in_flight = min(over.pipeline, max(1.0, of_copy))
    step = Step(of_copy / in_flight, of_copy / in_flight * context_tokens)
    works = _works(architecture, over, precisions or Precisions(), step, distinct_experts)
    read_bytes = in_flight * sum(work.weight_bytes + work.cache_bytes for work in works) / over.pipeline
    return read_bytes / tpot_s / hardware.datasheet.memory_bytes_per_s


def s_mfu(
    architecture: Architecture,
    hardware: Hardware,
    *,
    requests_per_s: float,
    input_tokens: float,
    output_tokens: float,
    gpus: int = 1,
    precisions: Precisions | None = None,
) -> float:
    """Return the sparse FLOP/s utilisation of a run, prompts included, between 0 and 1.

    S-MFU = tokens/s · FLOPs of a token / peak FLOP/s, where a token passes attention, router, shared experts and its top-k
    of the routed experts: 2 FLOPs for each of these parameters, and those of attention, which grow with the context.

    Computed for whole requests of mean length. The peak is fp8's for fp8 weights where the hardware has it, else bf16's.
    """
    layout = precisions or Precisions()
    prompt = Step(chunks=(PrefillChunk(max(1, round(input_tokens))),))
    decoded = max(0.0, output_tokens - 1)  # the prompt's step gives the first output token
    token = Step(1, input_tokens + output_tokens / 2)
    of_prompt, of_token = (
        sum(work.flops for work in _works(architecture, Parallelism(), layout, step, expected_distinct_experts))
        for step in (prompt, token)
    )
    fp8 = hardware.datasheet.fp8_flops_per_s if layout.weights == "fp8" else None
    peak = (fp8 or hardware.datasheet.bf16_flops_per_s) * gpus
    return requests_per_s * (of_prompt + decoded * of_token) / peak


def _works(
    architecture: Architecture,
    parallelism: Parallelism,
    precisions: Precisions,
    step: Step,
    distinct_experts: DistinctExperts,
) -> list[Work]:
    stages = stage_works(architecture, parallelism, precisions, distinct_experts)
    return [work for stage in stages for work in stage.work(step)]
