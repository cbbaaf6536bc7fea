"""Results of `vllm bench serve` (2024 to 0.32), with and without --save-detailed, one or several in a file.

Where it counts: from before the connection is taken to each chunk that has a choice, with text or without. For completions of
vLLM that is what ours is; in chat the first chunk carries the role alone, so that nothing which begins or ends there is taken.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from loadgen.analysis.stats import Distribution
from loadgen.importers import foreign
from loadgen.importers.lenient import Json, LenientPart, Number, read_leniently
from loadgen.load.arrivals import Ramp
from loadgen.load.file_rows import number_of
from loadgen.load.shapes import LoadShape, OpenLoop, Wave

TOOL = "vllm bench"

_METRICS = ("ttft", "tpot", "itl", "e2el")
_STATISTICS = (("mean", "mean"), ("p50", "median"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"))


class Result(LenientPart):
    """One result, as far as it is read. Lists are there with --save-detailed alone, but for `latencies`.

    Versions of 2024 and 2025 have `endpoint_type` or nothing for `backend`, no `failed`, and no `latencies`.
    """

    date: str | None = Field(default=None, pattern=r"^\d{8}-\d{6}$")
    backend: str | None = None
    endpoint_type: str | None = None
    model_id: str
    num_prompts: int = Field(ge=1)
    request_rate: Number | Literal["inf"] | None = None
    burstiness: Number | None = None
    max_concurrency: int | None = None
    ramp_up_strategy: Literal["linear", "exponential"] | None = None
    ramp_up_start_rps: Number | None = None
    ramp_up_end_rps: Number | None = None
    duration: Number
    completed: int = Field(ge=0)
    failed: int | None = None
    total_input_tokens: Number | None = None
    total_output_tokens: Number | None = None
    request_throughput: Number | None = None
    output_throughput: Number | None = None
    total_token_throughput: Number | None = None
    latencies: list[Number] | None = None
    ttfts: list[Number] | None = None
    itls: list[list[Number]] | None = None
    output_lens: list[int] | None = None
    errors: list[str] | None = None

    @property
    def is_chat(self) -> bool:
        return "chat" in (self.backend or self.endpoint_type or "")

    @property
    def failures(self) -> int:
        return max(0, self.num_prompts - self.completed) if self.failed is None else self.failed


def is_one(document: Any) -> bool:
    """Whether a document, or each of several, looks like a result of it."""
    results = document if isinstance(document, list) else [document]
    return bool(results) and all(
        isinstance(each, dict) and {"num_prompts", "completed", "request_throughput"} <= each.keys() for each in results
    )


def is_ours(document: Any) -> bool:
    """Whether loadgen wrote it in this form: then it is no other client's."""
    results = document if isinstance(document, list) else [document]
    return any(isinstance(each, dict) and str(each.get("exported_by", "")).startswith("loadgen") for each in results)


def read(document: Any, written_at: datetime) -> tuple[str | None, list[foreign.ForeignRun]]:
    """Its version, which the file does not tell, and the runs. Raises pydantic's ValidationError."""
    results = document if isinstance(document, list) else [document]
    return None, [_read(each, written_at) for each in results]


def _read(document: Any, written_at: datetime) -> foreign.ForeignRun:
    asked = document.get("request_rate")
    result, notes = read_leniently(Result, document)
    if asked is not None and result.request_rate is None:
        raise foreign.unreadable_load(TOOL, str(asked), "request rate")
    shape = _shape(result)
    prompts, answers = result.total_input_tokens, result.total_output_tokens
    figures = _figures(result, document, shape, notes) if result.completed else {}
    began_at = written_at.replace(microsecond=0)
    if result.date is not None:
        began_at = datetime.strptime(result.date, "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    return foreign.ForeignRun(
        started_at=began_at,
        model=result.model_id,
        shape=shape,
        endpoint="chat" if result.is_chat else "completions",
        planned=max(result.num_prompts, result.completed),
        ok=result.completed,
        elapsed_s=result.duration,
        input_tokens=round(prompts / result.completed) if result.completed and prompts is not None else None,
        output_tokens=round(answers / result.completed) if result.completed and answers is not None else 0,
        figures=figures,
        prompt_total=prompts,
        output_total=answers,
        words=foreign.scalars(document),
        notes=tuple(notes),
    )


def _shape(result: Result) -> LoadShape:
    if result.ramp_up_strategy and result.ramp_up_start_rps and result.ramp_up_end_rps:
        ramp = Ramp(result.ramp_up_end_rps, result.duration, result.ramp_up_strategy)
        return OpenLoop(result.ramp_up_start_rps, ramp=ramp)
    if result.request_rate not in ("inf", None):
        poisson = result.burstiness in (1, None)
        rate = float(result.request_rate)
        return OpenLoop(rate) if poisson else OpenLoop(rate, "gamma", burstiness=float(result.burstiness or 1))
    if result.max_concurrency:
        return foreign.closed_loop(result.max_concurrency)
    return Wave(result.num_prompts)


def _figures(result: Result, document: Json, shape: LoadShape, notes: list[str]) -> foreign.ForeignFigures:
    total = result.total_token_throughput
    if total is None and result.total_input_tokens is not None and result.total_output_tokens is not None:
        total = (result.total_input_tokens + result.total_output_tokens) / result.duration if result.duration else None
    rates: foreign.ForeignFigures = {
        "output_tokens_per_s": result.output_throughput,
        "total_tokens_per_s": total,
        "requests_per_s": result.request_throughput,
    }
    if result.is_chat:
        notes.append("its latencies of a chat count from a first chunk without content, and are kept in its own words")
        return rates
    by_request = _of_requests(result)
    ttft, tpot, gap, e2e = by_request or (_stated(result, document, name, notes) for name in _METRICS)
    if e2e is None and result.latencies and not result.failures:
        e2e = foreign.of_values(result.latencies)
    return {
        **rates,
        "ttft_s": foreign.since_intended(shape, ttft),
        "ttft_from_send_s": ttft,
        "chunk_gap_s": gap,
        "tpot_s": tpot,
        "e2e_latency_s": foreign.since_intended(shape, e2e),
    }


def _of_requests(result: Result) -> tuple[Distribution, Distribution, Distribution, Distribution] | None:
    """TTFT, TPOT, chunk gap and end-to-end latency by our own rules, of its lists; None where there are none."""
    ttfts, itls, latencies = result.ttfts, result.itls, result.latencies
    lengths, errors = result.output_lens, result.errors
    if ttfts is None or itls is None or lengths is None or errors is None:
        return None
    if latencies is None and len(ttfts) == len(itls):
        latencies = [first + sum(gaps) for first, gaps in zip(ttfts, itls, strict=True)]
    if latencies is None:
        return None
    if len({len(each) for each in (ttfts, itls, latencies, lengths, errors)}) != 1:
        return None
    ok = [number for number, error in enumerate(errors) if not error and lengths[number]]
    several = [number for number in ok if lengths[number] > 1 and itls[number]]
    return (
        foreign.of_values([ttfts[number] for number in ok]),
        foreign.of_values([(latencies[number] - ttfts[number]) / (lengths[number] - 1) for number in several]),
        foreign.of_values([gap for number in ok for gap in itls[number]]),
        foreign.of_values([latencies[number] for number in ok]),
    )


def _stated(result: Result, document: Json, name: str, notes: list[str]) -> Distribution | None:
    """A metric as the plain file tells it, in seconds. How many gaps there were it does not say; at least one a request."""
    told = {}
    for ours, theirs in _STATISTICS:
        key = f"{theirs}_{name}_ms"
        value = number_of(document.get(key))
        told[ours] = None if value is None else value / 1e3
        if value is None and document.get(key) is not None:
            notes.append(f"{key} could not be read and is left out")
    return foreign.of_figures(None if name in ("itl", "tpot") else result.completed, told, samples=result.completed)
