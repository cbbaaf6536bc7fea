"""The figures of the MoE-Inference-Bench paper (§3.4) on one wave. Never mixed with the measures of `metrics`.

The paper times a whole batch from its submission, twice: once with an output of one token, which
is its TTFT, and once in full. Streaming tells the first apart in the same run: the batch "with one token" is over when the
last of its requests has its first token. That is an equivalent of the paper's TTFT, not the same experiment.
"""

from dataclasses import dataclass

from loadgen.analysis.measured import Measured
from loadgen.engine.records.record import MISSING


@dataclass(frozen=True, slots=True)
class PaperFigures:
    """TTFT and ITL in seconds, throughput in prompt and output tokens per second, of one wave."""

    ttft_s: float
    itl_s: float | None  # None when the whole wave made a single token
    throughput_tokens_per_s: float


def paper_figures(measured: Measured) -> PaperFigures | None:
    """Eq. 1 and Eq. 2 with the tokens that were really read and made in place of B·In and B·Out.

    T0 is the first send and E2E the last arrival − T0. ITL = (E2E − TTFT)/(output tokens − 1);
    throughput = (prompt tokens + output tokens)/E2E. None unless the load was a wave, every request of it ended ok with
    content, and the tokens of each are known.
    """
    records = measured.records
    if measured.spec.shape.batch_size is None or len(records) == 0 or not measured.answered.all():
        return None
    if not measured.totals_known or (records.prompt_tokens < 0).any():
        return None
    prompt_tokens, output_tokens = int(records.prompt_tokens.sum()), int(measured.seen_tokens.sum())
    start_ns = int(records.sent_ns.min())
    if start_ns == MISSING:
        return None
    ttft_s = (int(measured.first_ns.max()) - start_ns) / 1e9
    end_to_end_s = (int(measured.last_ns.max()) - start_ns) / 1e9
    if end_to_end_s <= 0:
        return None
    return PaperFigures(
        ttft_s=ttft_s,
        itl_s=(end_to_end_s - ttft_s) / (output_tokens - 1) if output_tokens > 1 else None,
        throughput_tokens_per_s=(prompt_tokens + output_tokens) / end_to_end_s,
    )
