"""Bounds of a load point on the roofline: the lowest possible latencies, the highest possible throughput.

They hold for a Roofline with a datasheet's rates and the ideal Efficiency; with others they are estimates. Routing is that of
its `distinct_experts`: a less even router reads fewer experts, and can beat the bound of decoding. The KV cache is assumed to
be large enough.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from loadgen.moe.roofline import Roofline
from loadgen.moe.step import PrefillChunk, Step

_PROMPT_STEPS_PER_STAGE = 4


@dataclass(frozen=True, slots=True)
class WaveBound:
    """Bounds of one wave: all requests sent at once, equally long. Latencies count from the send."""

    ttft_s: float  # until every request has its first token: the paper's TTFT, of the whole batch
    mean_ttft_s: float
    e2e_s: float  # until the last token of the last request
    output_tokens_per_s: float
    throughput_tokens_per_s: float  # the paper's Eq. 2: input and output tokens


def decode_step_bound_s(roofline: Roofline, sequences: int, context_tokens: float) -> float:
    """Return the time in which each sequence gets one more token, all with `context_tokens` before and including it.

    Pipeline stages have a share of the sequences each, in turn: a sequence's next token waits for its last one.
    """
    in_flight = min(roofline.parallelism.pipeline, sequences)
    share = sequences / in_flight
    time = roofline.step_time(Step(share, share * context_tokens))
    return max(time.total_s, in_flight * time.interval_s)


def wave_bound(
    roofline: Roofline,
    batch: int,
    input_tokens: int,
    output_tokens: int,
    *,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
) -> WaveBound:
    """Return the bounds of a wave of `batch` requests.

    The prompts take their steps first come, first served, and then all sequences decode together. Requests beyond
    `max_num_seqs` wait for the round before them. Data-parallel copies share the batch evenly.

    Where the prompts of a round take n steps, its first sequences have decoded n − 1 tokens by then and end as many steps
    before its last ones. So the whole round counts in output − n steps; the n − 1 after those count with the last step's
    prompts alone, and not at all if another round follows, which can share them.
    """
    copies = roofline.parallelism.data
    per_copy = math.ceil(batch / copies)
    at_once = min(per_copy, max_num_seqs or per_copy)
    elapsed_s, waited_s, ttft_s = 0.0, 0.0, 0.0
    for first in range(0, per_copy, at_once):
        sequences = min(at_once, per_copy - first)
        prefill = _prefill(roofline, sequences, input_tokens, max_num_batched_tokens)
        ttft_s = elapsed_s + prefill.total_s
        waited_s += sequences * elapsed_s + prefill.summed_s
        elapsed_s = ttft_s
        together = max(0, output_tokens - prefill.steps)
        elapsed_s += together * _mean_decode_s(roofline, sequences, input_tokens, together)
        if first + sequences == per_copy:
            apart = output_tokens - 1 - together
            elapsed_s += apart * _mean_decode_s(roofline, prefill.last_prompts, input_tokens + together, apart)
    return WaveBound(
        ttft_s=ttft_s,
        mean_ttft_s=waited_s / per_copy,
        e2e_s=elapsed_s,
        output_tokens_per_s=batch * output_tokens / elapsed_s,
        throughput_tokens_per_s=batch * (input_tokens + output_tokens) / elapsed_s,
    )


def best_wave_bound(roofline: Roofline, batch: int, input_tokens: int, output_tokens: int) -> WaveBound:
    """Return the bounds of a wave however its prompts are put into steps: each figure by the number of equal steps best for it.

    Several steps keep more pipeline stages at work, and let the first sequences end before the last ones.
    """
    tokens = math.ceil(batch / roofline.parallelism.data) * input_tokens
    most = _PROMPT_STEPS_PER_STAGE * roofline.parallelism.pipeline
    limits = {math.ceil(tokens / steps) for steps in range(1, most + 1)}
    found = [wave_bound(roofline, batch, input_tokens, output_tokens, max_num_batched_tokens=each) for each in limits]
    e2e_s = min(bound.e2e_s for bound in found)
    return WaveBound(
        ttft_s=min(bound.ttft_s for bound in found),
        mean_ttft_s=min(bound.mean_ttft_s for bound in found),
        e2e_s=e2e_s,
        output_tokens_per_s=batch * output_tokens / e2e_s,
        throughput_tokens_per_s=batch * (input_tokens + output_tokens) / e2e_s,
    )


def closed_loop_cycle_bound_s(roofline: Roofline, callers: int, input_tokens: int, output_tokens: int) -> float:
    """Return the shortest time in which each of `callers` has one request answered, in a steady state.

    Prompts are computed along with the tokens that others decode. Each kind of layer then takes the longer of the sums of its
    memory and its compute time over the steps of the cycle: one for all prompts, and output − 1 in which all sequences decode.
    No request takes less than it does alone. Data-parallel copies share the callers evenly, and pipeline stages the work.
    """
    copies, stages = roofline.parallelism.data, roofline.parallelism.pipeline
    per_copy, decoded = math.ceil(callers / copies), output_tokens - 1
    alone_s = best_wave_bound(roofline, copies, input_tokens, output_tokens).e2e_s
    in_flight = min(stages, per_copy)
    share = per_copy / in_flight
    prompts = roofline.step_time(Step(chunks=(PrefillChunk(input_tokens),) * per_copy))
    token = roofline.step_time(Step(share, share * (input_tokens + output_tokens / 2)))
    tokens = decoded * in_flight
    of_token = {part.kind: part for part in token.parts}
    together_s = prompts.communication_s + tokens * token.communication_s
    together_s += prompts.overhead_s + tokens * token.overhead_s
    for prompt in prompts.parts:
        part = of_token[prompt.kind]
        together_s += max(prompt.memory_s + tokens * part.memory_s, prompt.compute_s + tokens * part.compute_s)
    return max(alone_s, together_s / stages)


def prefill_steps(prompts: int, input_tokens: int, max_num_batched_tokens: int | None = None) -> Iterator[Step]:
    """Yield the steps that compute some prompts, first come, first served, each as full as it may be."""
    room = limit = max_num_batched_tokens or prompts * input_tokens
    chunks: list[PrefillChunk] = []
    for _ in range(prompts):
        start = 0
        while start < input_tokens:
            tokens = min(room, input_tokens - start)
            chunks.append(PrefillChunk(tokens, start, last=start + tokens == input_tokens))
            start, room = start + tokens, room - tokens
            if not room:
                yield Step(chunks=tuple(chunks))
                chunks, room = [], limit
    if chunks:
        yield Step(chunks=tuple(chunks))


@dataclass(frozen=True, slots=True)
class _Prefill:
    steps: int
    total_s: float
    summed_s: float  # the times to a first token, over the prompts
    last_prompts: int  # that end in the last step


def _prefill(roofline: Roofline, prompts: int, input_tokens: int, max_num_batched_tokens: int | None) -> _Prefill:
    steps, started_s, done_s, summed_s, last_prompts = 0, 0.0, 0.0, 0.0, 0
    for step in prefill_steps(prompts, input_tokens, max_num_batched_tokens):
        time = roofline.step_time(step)
        # Pipeline stages work at several steps: one follows the other after the slowest stage.
        done_s = max(started_s + time.total_s, done_s)
        started_s += time.interval_s
        last_prompts = sum(chunk.last for chunk in step.chunks)
        summed_s += last_prompts * done_s
        steps += 1
    return _Prefill(steps, done_s, summed_s, last_prompts)


def _mean_decode_s(roofline: Roofline, sequences: int, start_tokens: int, steps: int) -> float:
    """The mean over steps in which the context grows from `start_tokens` by one each.

    At the mean context: the time of a step is a convex function of it, so the mean time is at least that.
    """
    return decode_step_bound_s(roofline, sequences, start_tokens + (steps + 1) / 2) if steps else 0.0
