"""What a server costs by its price, and with it a run and a million output tokens. US dollars.

By tokens: what the server's usage tells of every ok request of the run, whether or not the
window has it, as a provider would charge it. By time: the run's whole duration; a million tokens at the throughput of the window.
"""

from dataclasses import asdict, dataclass
from typing import cast

import numpy as np

from loadgen.analysis.document.run import CostDocument, PriceDocument, Summary
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.measured import totalled
from loadgen.engine.records.record import MISSING, Outcome, Recording, Records
from loadgen.engine.records.record_parts import pieces

_MILLION = 1_000_000
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars. Either per million tokens, of which an unnamed side is free, or per hour of each of `gpus` GPUs."""

    usd_per_million_input_tokens: float | None = None
    usd_per_million_output_tokens: float | None = None
    usd_per_gpu_hour: float | None = None
    gpus: int = 1

    @property
    def is_by_time(self) -> bool:
        """Whether time is paid, whatever is asked in it."""
        return self.usd_per_gpu_hour is not None

    def of_tokens_usd(self, input_tokens: float, output_tokens: float) -> float:
        per_input, per_output = self.usd_per_million_input_tokens, self.usd_per_million_output_tokens
        return ((per_input or 0.0) * input_tokens + (per_output or 0.0) * output_tokens) / _MILLION

    def of_time_usd(self, duration_s: float) -> float:
        return (self.usd_per_gpu_hour or 0.0) * self.gpus * duration_s / _HOUR_S

    def to_json(self) -> dict[str, object]:
        """What was given; the number of GPUs only where they are paid."""
        document = {key: value for key, value in asdict(self).items() if value is not None}
        if not self.is_by_time:
            del document["gpus"]
        return document


def cost_of(
    price: Price | None, summary: Summary, recording: Recording, warmup: Recording | None
) -> CostDocument | None:
    """The `cost` of a run document; None without a price.

    `usd` is that of the run, `warmup_usd` of its warm-up, which is paid too; None where the tokens are not known.
    `uncounted_requests` were sent and not answered in full, and what they cost only the provider's bill can tell.
    """
    if price is None:
        return None
    input_tokens, output_tokens, uncounted = _paid_tokens(recording.records)
    if price.is_by_time:
        usd: float | None = price.of_time_usd(recording.client.wall_s)
        warmup_usd: float | None = 0.0 if warmup is None else price.of_time_usd(warmup.client.wall_s)
        output_per_s = summary["output_tokens_per_s"]
        per_million = price.of_time_usd(1.0) / output_per_s * _MILLION if output_per_s else None
    else:
        usd = _usd(price, input_tokens, output_tokens)
        warmup_usd = 0.0 if warmup is None else _usd(price, *_paid_tokens(warmup.records)[:2])
        per_million = usd / output_tokens * _MILLION if usd is not None and output_tokens else None
    return {
        "price": cast(PriceDocument, price.to_json()),
        "usd": usd,
        "warmup_usd": warmup_usd,
        "usd_per_million_output_tokens": per_million,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "uncounted_requests": uncounted,
    }


def _usd(price: Price, input_tokens: int | None, output_tokens: int | None) -> float | None:
    """None where a side that is paid is not known."""
    paid = (
        (price.usd_per_million_input_tokens, input_tokens),
        (price.usd_per_million_output_tokens, output_tokens),
    )
    if any(each and tokens is None for each, tokens in paid):
        return None
    return price.of_tokens_usd(input_tokens or 0, output_tokens or 0)


def _paid_tokens(records: Records) -> tuple[int | None, int | None, int]:
    """(prompt tokens, output tokens, requests of which nobody told): sums over the ok requests, None where one is not known."""
    input_tokens = output_tokens = uncounted = 0
    inputs_told = outputs_told = True
    for piece in pieces(records):
        ok = piece.outcome == Outcome.OK
        told = totalled(piece)
        inputs, outputs = piece.prompt_tokens[ok], piece.output_tokens[ok]
        inputs_told &= not (inputs < 0).any()
        outputs_told &= bool(told[ok].all())
        input_tokens += int(inputs.sum(dtype=np.int64))
        output_tokens += int(outputs.sum(dtype=np.int64))
        uncounted += int(np.count_nonzero(~ok & (piece.sent_ns != MISSING) & (piece.outcome != Outcome.HTTP_ERROR)))
    return input_tokens if inputs_told else None, output_tokens if outputs_told else None, uncounted


COST_FIGURES = (
    Figure(
        key="usd_per_million_output_tokens",
        label="Cost per million output tokens",
        unit="$",
        better="lower",
        formula="by the price that was given",
        path="cost.usd_per_million_output_tokens",
    ),
)
