"""S-MBU, S-MFU and the share of the bound: how much of the hardware a run used, counting the experts it needed and no others.

The first two are of MoE-CAP (Jiang et al., arXiv 2412.07067), against the datasheet's peaks. Counting every expert of a
Mixture-of-Experts model, as MBU and MFU do, gives figures above 100 %. Here the head counts too, which every token needs and
MoE-CAP's code leaves out.
"""

from loadgen.analysis.bound import bound_of, is_plain, mean_lengths
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.experts import counts_of_run
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.server.served_model import ServedModel, served_model
from loadgen.load.shapes import shape_from_json
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


def decoding_sequences(run: RunDocument) -> float | None:
    """Return how many sequences of a run decoded together, on average over the time in which any did; None if unknown.

    By Little's law: the time from first to last token, summed over requests, over the time in which it was spent. Of a wave that
    is the time from its first token to its last. At least 1.
    """
    ttft, e2e = run.get("ttft_s"), run.get("e2e_latency_s")
    if not ttft or not e2e or ttft["mean"] is None or e2e["mean"] is None:
        return None
    decoding_s = e2e["mean"] - ttft["mean"]
    batch = shape_from_json(run["spec"]["shape"]).batch_size
    if batch is None:
        in_flight = (run.get("concurrency") or {}).get("mean")
        return None if not in_flight else max(1.0, in_flight * decoding_s / e2e["mean"])
    if ttft["min"] is None or e2e["max"] is None or e2e["max"] <= ttft["min"]:
        return None
    return max(1.0, batch * decoding_s / (e2e["max"] - ttft["min"]))


def _measured_model(run: RunDocument) -> ServedModel | None:
    """The model of a run on real hardware, whose work is that of independent prompts."""
    model = None if run["simulated"] else served_model(run)
    return model if model is not None and is_plain(run, model) else None


def _s_mbu(run: RunDocument, statistic: str) -> float | None:
    model, lengths, sequences = _measured_model(run), mean_lengths(run), decoding_sequences(run)
    tpot = run.get("tpot_s")
    tpot_s = None if tpot is None else tpot["mean"]
    if model is None or lengths is None or sequences is None or not tpot_s:
        return None
    input_tokens, output_tokens = lengths
    return s_mbu(
        model.roofline.architecture,
        model.roofline.hardware,
        tpot_s=tpot_s,
        sequences=sequences,
        context_tokens=input_tokens + output_tokens / 2,
        parallelism=model.roofline.parallelism,
        precisions=model.roofline.precisions,
        distinct_experts=_distinct_experts(run, model),
    )


def _distinct_experts(run: RunDocument, model: ServedModel) -> DistinctExperts:
    """The distinct experts that were counted in the run, else those that its model is taken to have."""
    counts = counts_of_run(run)
    return model.roofline.distinct_experts if counts is None else counts.distinct_experts


def _s_mfu(run: RunDocument, statistic: str) -> float | None:
    model, lengths, requests_per_s = _measured_model(run), mean_lengths(run), run.get("requests_per_s")
    if model is None or lengths is None or not requests_per_s:
        return None
    return s_mfu(
        model.roofline.architecture,
        model.roofline.hardware,
        requests_per_s=requests_per_s,
        input_tokens=lengths[0],
        output_tokens=lengths[1],
        gpus=model.roofline.parallelism.gpus,
        precisions=model.roofline.precisions,
    )


def _of_bound(run: RunDocument, statistic: str) -> float | None:
    measured = None if run["simulated"] else run.get("output_tokens_per_s")
    bound = bound_of(run, "output_tokens_per_s") if measured else None
    return measured / bound if measured and bound else None


UTILISATION_FIGURES = (
    Figure(
        key="s_mbu_ratio",
        label="S-MBU",
        unit="ratio",
        better="higher",
        formula="(bytes of the weights that a decoding step activates + of its KV cache)/mean TPOT/bandwidth of the datasheet",
        derive=_s_mbu,
    ),
    Figure(
        key="s_mfu_ratio",
        label="S-MFU",
        unit="ratio",
        better="higher",
        formula="requests per second · FLOPs of a request of mean lengths/FLOP/s of the datasheet over all GPUs",
        derive=_s_mfu,
    ),
    Figure(
        key="bound_ratio",
        label="Share of the bound",
        unit="ratio",
        better="higher",
        formula="output throughput/output throughput that the roofline allows at this load, by the datasheet's rates",
        derive=_of_bound,
    ),
)
"""None of the simulator's runs and of predictions, which would tell of themselves only."""
