"""The figures of the MoE-Inference-Bench paper (§3.4) on one wave. Never mixed with the measures of `metrics`.

The paper times a whole batch from its submission, twice: once with an output of one token, which
is its TTFT, and once in full. Streaming tells the first apart in the same run: the batch "with one token" is over when the
last of its requests has its first token. That is an equivalent of the paper's TTFT, not the same experiment.
"""

from collections.abc import Callable
from typing import Literal

from loadgen.analysis.document.run import PaperFigures
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.measured import Measured
from loadgen.engine.records.record import MISSING


def paper_figures(measured: Measured) -> PaperFigures | None:
    """Eq. 1 and Eq. 2 with the tokens that were really read and made in place of B·In and B·Out.

    T0 is the first send and E2E the last arrival − T0. ITL = (E2E − TTFT)/(output tokens − 1);
    throughput = (prompt tokens + output tokens)/E2E, ITL None when the wave made a single token. None unless the load was a wave, every request of it ended ok with
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
    return {
        "ttft_s": ttft_s,
        "itl_s": (end_to_end_s - ttft_s) / (output_tokens - 1) if output_tokens > 1 else None,
        "throughput_tokens_per_s": (prompt_tokens + output_tokens) / end_to_end_s,
    }


def _of_paper(key: Literal["ttft_s", "itl_s", "throughput_tokens_per_s"]) -> Callable[[Measured], float | None]:
    def compute(measured: Measured) -> float | None:
        figures = paper_figures(measured)
        return None if figures is None else figures[key]

    return compute


PAPER_METRICS: tuple[Figure, ...] = (
    Figure(
        key="paper.ttft_s",
        label="TTFT of the batch (paper)",
        unit="s",
        better="lower",
        formula="last of the requests' first content arrivals − first send",
        compute=_of_paper("ttft_s"),
    ),
    Figure(
        key="paper.itl_s",
        label="ITL (paper, Eq. 1)",
        unit="s",
        better="lower",
        formula="(E2E − TTFT of the batch)/(output tokens of the wave − 1), E2E = last content arrival − first send",
        compute=_of_paper("itl_s"),
    ),
    Figure(
        key="paper.throughput_tokens_per_s",
        label="Throughput (paper, Eq. 2)",
        unit="tokens/s",
        better="higher",
        formula="(prompt tokens + output tokens of the wave)/E2E",
        compute=_of_paper("throughput_tokens_per_s"),
    ),
)
