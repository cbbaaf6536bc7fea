"""Lifecycle reports of inference-perf (0.7): `stage_N_lifecycle_metrics.json` or the summary, one run.

The file tells neither model, server nor date. Its token gaps and TPOT are made of tokens that the client counted anew, and are left
in its own words.
"""

from datetime import datetime
from typing import Any

from pydantic import Field

from loadgen.importers.foreign import ForeignRun, of_figures, scalars
from loadgen.importers.lenient import LenientPart, Number, read_leniently
from loadgen.load.shapes import OpenLoop, Wave

TOOL = "inference-perf"


class Load(LenientPart):
    count: int = Field(ge=0)
    requested_rate: Number | None = None


class Spread(LenientPart):
    """A distribution, in seconds or tokens."""

    mean: Number | None = None
    min: Number | None = None
    max: Number | None = None
    median: Number | None = None
    p50: Number | None = None
    p90: Number | None = None
    p95: Number | None = None
    p99: Number | None = None
    total: Number | None = None


class Latency(LenientPart):
    time_to_first_token: Spread | None = None


class Throughput(LenientPart):
    requests_per_sec: Number | None = None


class Successes(LenientPart):
    count: int = Field(ge=0)
    latency: Latency | None = None
    throughput: Throughput | None = None
    prompt_tokens: Spread | None = None
    output_tokens: Spread | None = None
    output_len: Spread | None = None


class Lifecycle(LenientPart):
    benchmark_time_seconds: Number | None = None
    load_summary: Load
    successes: Successes


def is_one(document: Any) -> bool:
    return isinstance(document, dict) and {"load_summary", "successes", "failures"} <= document.keys()


def read(document: Any, written_at: datetime) -> tuple[str | None, list[ForeignRun]]:
    """Its version, which the file does not tell, and the run. Raises pydantic's ValidationError."""
    report, notes = read_leniently(Lifecycle, document)
    load, ok = report.load_summary, report.successes
    shape = OpenLoop(float(load.requested_rate), "constant") if load.requested_rate else Wave(max(1, load.count))
    told = None if ok.latency is None else ok.latency.time_to_first_token
    spread = None if told is None else told.model_dump() | {"p50": told.median if told.p50 is None else told.p50}
    answers = ok.output_tokens or ok.output_len
    run = ForeignRun(
        started_at=written_at.replace(microsecond=0),
        model="not told",
        shape=shape,
        planned=load.count,
        ok=ok.count,
        elapsed_s=report.benchmark_time_seconds or 0.0,
        input_tokens=_rounded(ok.prompt_tokens),
        output_tokens=_rounded(answers) or 0,
        figures={
            "requests_per_s": ok.throughput.requests_per_sec if ok.count and ok.throughput else None,
            "ttft_from_send_s": None if spread is None else of_figures(ok.count, spread),
        },
        prompt_total=None if ok.prompt_tokens is None else ok.prompt_tokens.total,
        output_total=None if ok.output_tokens is None else ok.output_tokens.total,
        words=scalars(document),
        notes=tuple(notes),
    )
    return None, [run]


def _rounded(spread: Spread | None) -> int | None:
    return None if spread is None or spread.mean is None else round(spread.mean)
