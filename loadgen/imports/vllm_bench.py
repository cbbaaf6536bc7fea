"""Results of `vllm bench serve` (0.32), with and without --save-detailed, one or several in a file. Imports errors, load and this room.

Where it counts: from before the connection is taken to each chunk that has a choice, with text or without. For completions of
vLLM that is what ours is; in chat the first chunk carries the role alone, so that nothing which begins or ends there is taken.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from loadgen.imports.foreign import ForeignRun, closed_loop, of_figures, of_values, scalars, since_intended
from loadgen.imports.words import Number, Part
from loadgen.load.spec import LoadShape, OpenLoop, Ramp, Wave

Document = dict[str, Any]
TOOL = "vllm bench"

_METRICS = ("ttft", "tpot", "itl", "e2el")
_STATISTICS = (("mean", "mean"), ("p50", "median"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"))


class Result(Part):
    """One result, as far as it is read. Lists are there with --save-detailed alone, but for `latencies`."""

    date: str = Field(pattern=r"^\d{8}-\d{6}$")
    backend: str
    model_id: str
    num_prompts: int = Field(ge=1)
    request_rate: Number | Literal["inf"]
    burstiness: Number = 1.0
    max_concurrency: int | None = None
    ramp_up_strategy: Literal["linear", "exponential"] | None = None
    ramp_up_start_rps: Number | None = None
    ramp_up_end_rps: Number | None = None
    duration: Number
    completed: int = Field(ge=0)
    failed: int = 0
    total_input_tokens: Number
    total_output_tokens: Number
    request_throughput: Number
    output_throughput: Number
    total_token_throughput: Number
    latencies: list[Number] | None = None
    ttfts: list[Number] | None = None
    itls: list[list[Number]] | None = None
    output_lens: list[int] | None = None
    errors: list[str] | None = None


def is_one(document: Any) -> bool:
    """Whether a document, or each of several, looks like a result of it."""
    results = document if isinstance(document, list) else [document]
    return bool(results) and all(
        isinstance(each, dict) and {"num_prompts", "request_rate", "total_token_throughput"} <= each.keys()
        for each in results
    )


def is_ours(document: Any) -> bool:
    """Whether loadgen wrote it in this form: then it is no other client's."""
    results = document if isinstance(document, list) else [document]
    return any(isinstance(each, dict) and str(each.get("exported_by", "")).startswith("loadgen") for each in results)


def read(document: Any, written_at: datetime) -> tuple[str | None, list[ForeignRun]]:
    """Its version, which the file does not tell, and the runs. Raises pydantic's ValidationError."""
    results = document if isinstance(document, list) else [document]
    return None, [_run(each, Result.model_validate(each)) for each in results]


def _run(document: Document, result: Result) -> ForeignRun:
    shape = _shape(result)
    return ForeignRun(
        started_at=datetime.strptime(result.date, "%Y%m%d-%H%M%S").replace(tzinfo=UTC),
        model=result.model_id,
        shape=shape,
        endpoint="chat" if "chat" in result.backend else "completions",
        planned=max(result.num_prompts, result.completed),
        ok=result.completed,
        elapsed_s=result.duration,
        input_tokens=round(result.total_input_tokens / result.completed) if result.completed else None,
        output_tokens=round(result.total_output_tokens / result.completed) if result.completed else 0,
        figures=_figures(result, document, shape) if result.completed else {},
        prompt_total=result.total_input_tokens,
        output_total=result.total_output_tokens,
        words=scalars(document),
    )


def _shape(result: Result) -> LoadShape:
    if result.ramp_up_strategy and result.ramp_up_start_rps and result.ramp_up_end_rps:
        ramp = Ramp(result.ramp_up_end_rps, result.duration, result.ramp_up_strategy)
        return OpenLoop(result.ramp_up_start_rps, ramp=ramp)
    if result.request_rate != "inf":
        poisson = result.burstiness == 1
        rate = float(result.request_rate)
        return OpenLoop(rate) if poisson else OpenLoop(rate, "gamma", burstiness=float(result.burstiness))
    if result.max_concurrency:
        return closed_loop(result.max_concurrency)
    return Wave(result.num_prompts)


def _figures(result: Result, document: Document, shape: LoadShape) -> Document:
    rates = {
        "output_tokens_per_s": result.output_throughput,
        "total_tokens_per_s": result.total_token_throughput,
        "requests_per_s": result.request_throughput,
    }
    if "chat" in result.backend:
        return rates
    ttft, tpot, gap, e2e = _of_requests(result) or (_told(result, document, name) for name in _METRICS)
    if e2e is None and result.latencies and not result.failed:
        e2e = of_values(result.latencies)
    return {
        **rates,
        "ttft_s": since_intended(shape, ttft),
        "ttft_from_send_s": ttft,
        "chunk_gap_s": gap,
        "tpot_s": tpot,
        "e2e_latency_s": since_intended(shape, e2e),
    }


def _of_requests(result: Result) -> tuple[Document, Document, Document, Document] | None:
    """TTFT, TPOT, chunk gap and end-to-end latency by our own rules, of its lists; None where there are none."""
    ttfts, itls, latencies = result.ttfts, result.itls, result.latencies
    lengths, errors = result.output_lens, result.errors
    if ttfts is None or itls is None or latencies is None or lengths is None or errors is None:
        return None
    if len({len(each) for each in (ttfts, itls, latencies, lengths, errors)}) != 1:
        return None
    ok = [number for number, error in enumerate(errors) if not error and lengths[number]]
    several = [number for number in ok if lengths[number] > 1 and itls[number]]
    return (
        of_values([ttfts[number] for number in ok]),
        of_values([(latencies[number] - ttfts[number]) / (lengths[number] - 1) for number in several]),
        of_values([gap for number in ok for gap in itls[number]]),
        of_values([latencies[number] for number in ok]),
    )


def _told(result: Result, document: Document, name: str) -> Document | None:
    """A metric as the plain file tells it, in seconds. How many gaps there were it does not say; at least one a request."""
    told = {}
    for ours, theirs in _STATISTICS:
        value = document.get(f"{theirs}_{name}_ms")
        told[ours] = value / 1e3 if isinstance(value, int | float) and not isinstance(value, bool) else None
    return of_figures(None if name in ("itl", "tpot") else result.completed, told, samples=result.completed)
