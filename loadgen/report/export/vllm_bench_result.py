"""Runs as `vllm bench serve --save-result` (0.32) writes its own: its keys, its formulas and its units, of our records.

Over all requests from the first sent to the last ended, not over our window; latencies
count from the sending. What vllm bench knows and our records do not is null.
"""

from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from typing_extensions import TypedDict

import loadgen
from loadgen.analysis.document.run import RunDocument
from loadgen.engine.records.record import MISSING, CountedBy, Outcome, Records
from loadgen.load.shapes import ShapeDocument, shape_from_json

MADE_BY = "exported_by"  # among the result's own keys, where `--metadata` puts words of the user


class VllmRequest(TypedDict):
    """A request as vllm bench sees one. Times in seconds; of one that failed 0 where it writes 0."""

    error: str  # empty: it ended well
    start: float | None  # when it was sent
    ttft: float
    itl: list[float]
    latency: float
    tpot: float | None
    prompt_tokens: int | None
    output_tokens: int | None


Result = dict[str, object]

_PERCENTILES = (50, 90, 95, 99)
_BACKENDS = {"completions": "openai", "chat": "openai-chat"}
_KNOWN = (CountedBy.TOKEN_IDS, CountedBy.USAGE, CountedBy.TOKENIZER)


def vllm_bench_result(run: RunDocument, records: Records, detailed: bool = False) -> Result:
    """One result; `detailed` adds a value for each request, as `--save-detailed` does, but for the texts, which are not kept."""
    spec, shape = run["spec"], run["spec"]["shape"]
    ok = (records.outcome == Outcome.OK) & (np.diff(records.arrival_start) > 0)
    rows = [_request(records, row, bool(ok[row])) for row in range(len(records))]
    good = [row for row in rows if row["error"] == ""]
    sent, ended = records.sent_ns[records.sent_ns != MISSING], records.end_ns[records.end_ns != MISSING]
    duration_s = (int(ended.max()) - int(sent.min())) / 1e9 if len(sent) and len(ended) else None
    prompts, answers = _sum(good, "prompt_tokens"), _sum(good, "output_tokens")
    result: Result = {
        "date": datetime.fromisoformat(run["started_at"]).astimezone(UTC).strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": _BACKENDS[spec["endpoint"]],
        "backend": _BACKENDS[spec["endpoint"]],
        "label": None,
        "model_id": spec["model"],
        "tokenizer_id": spec.get("tokenizer"),
        "num_prompts": len(rows),
        MADE_BY: f"loadgen {loadgen.__version__}",
        "run_id": run["run_id"],
        "simulated": run["simulated"],
        **_traffic(shape),
        "duration": duration_s,
        "completed": len(good),
        "failed": len(rows) - len(good),
        "total_input_tokens": prompts,
        "total_output_tokens": answers,
        "request_throughput": _per(len(good), duration_s),
        "request_goodput": _per(_within(good, spec["slo"]), duration_s),
        "output_throughput": _per(answers, duration_s),
        "total_token_throughput": _per(None if prompts is None or answers is None else prompts + answers, duration_s),
        "latencies": [row["latency"] for row in rows],
        "queue_times": None,
        **_by_second(good),
        "rtfx": None,
    }
    if detailed:
        result |= {
            "input_lens": [row["prompt_tokens"] for row in rows],
            "output_lens": [row["output_tokens"] for row in rows],
            "ttfts": [row["ttft"] for row in rows],
            "itls": [row["itl"] for row in rows],
            "start_times": [row["start"] for row in rows],
            "generated_texts": None,
            "errors": [row["error"] for row in rows],
        }
    values: dict[str, list[float] | None] = {
        "ttft": [row["ttft"] for row in good],
        "tpot": None if answers is None else [row["tpot"] for row in good if row["tpot"] is not None],
        "itl": [gap for row in good for gap in row["itl"]],
        "e2el": [row["latency"] for row in good],
    }
    for name, each in values.items():
        result |= _statistics(name, each)
    return result


def _request(records: Records, row: int, is_ok: bool) -> VllmRequest:
    """A request as vllm bench sees one; of one that failed only its error, and 0 where it writes 0."""
    record = records[row]
    arrivals_s, start_s = record.arrival_ns / 1e9, None if record.sent_ns is None else record.sent_ns / 1e9
    known = record.counted_by in _KNOWN and record.output_tokens is not None
    if not is_ok or start_s is None:
        error = record.detail or record.outcome.label.replace("_", " ")
        return {
            "error": error,
            "ttft": 0.0,
            "itl": [],
            "latency": 0.0,
            "tpot": None,
            "start": start_s,
            "prompt_tokens": record.prompt_tokens_asked,
            "output_tokens": 0,
        }
    ttft, latency = float(arrivals_s[0]) - start_s, float(arrivals_s[-1]) - start_s
    tokens = record.output_tokens if known else None
    return {
        "error": "",
        "start": start_s,
        "ttft": ttft,
        "itl": np.diff(arrivals_s).tolist(),
        "latency": latency,
        "prompt_tokens": record.prompt_tokens if record.prompt_tokens is not None else record.prompt_tokens_asked,
        "output_tokens": tokens,
        "tpot": (latency - ttft) / (tokens - 1) if tokens is not None and tokens > 1 else None,
    }


def _traffic(shape: ShapeDocument) -> Result:
    """The load in its words. A burstiness of constant arrivals is without bound, which no number says."""
    asked = shape_from_json(shape)
    process = asked.process
    if process is None:
        limit = asked.callers if asked.batch_size is None else None
        return {"request_rate": "inf", "burstiness": 1.0, "max_concurrency": limit}
    burstiness = {"poisson": 1.0, "gamma": process.burstiness}.get(process.arrivals)
    traffic: Result = {"request_rate": process.rate_per_s, "burstiness": burstiness, "max_concurrency": None}
    if process.ramp is not None:
        traffic |= {
            "request_rate": "inf",
            "ramp_up_strategy": process.ramp.strategy,
            "ramp_up_start_rps": process.rate_per_s,
            "ramp_up_end_rps": process.ramp.to_per_s,
        }
    return traffic


def _within(good: list[VllmRequest], slo: dict[str, float]) -> int | None:
    """Requests within every limit, from the sending and with a TPOT of 0 for a single token; None without limits."""
    if not slo or ("tpot_s" in slo and any(row["output_tokens"] is None for row in good)):
        return None
    return sum(all(_limited_s(row)[key] <= limit_s for key, limit_s in slo.items()) for row in good)


def _limited_s(row: VllmRequest) -> dict[str, float]:
    return {"ttft_s": row["ttft"], "tpot_s": row["tpot"] or 0.0, "e2e_latency_s": row["latency"]}


def _by_second(good: list[VllmRequest]) -> Result:
    """Its peaks: chunks, which it calls tokens, and whoever was there at all, in seconds from the first start."""
    if not good:
        return {"max_output_tokens_per_s": 0.0, "max_concurrent_requests": 0}
    starts = [row["start"] or 0.0 for row in good]  # one that ended well was sent
    first = min(starts)
    seconds = int(np.ceil(max(start + row["latency"] for start, row in zip(starts, good, strict=True)) - first)) + 1
    chunks, there = np.zeros(seconds), np.zeros(seconds + 1, np.int64)
    for start, row in zip(starts, good, strict=True):
        begin = start - first
        moments = begin + row["ttft"] + np.concatenate([[0.0], np.cumsum(row["itl"])])
        np.add.at(chunks, np.minimum(moments.astype(np.int64), seconds - 1), 1)
        there[int(begin) : int(begin + row["latency"]) + 1] += 1
    return {"max_output_tokens_per_s": float(chunks.max()), "max_concurrent_requests": int(there.max())}


def _statistics(name: str, values: list[float] | None) -> Result:
    """Mean, median, deviation and percentiles in milliseconds; null where there is no value, for which it writes 0."""
    keys = [f"mean_{name}_ms", f"median_{name}_ms", f"std_{name}_ms", *(f"p{p}_{name}_ms" for p in _PERCENTILES)]
    if not values:
        return dict.fromkeys(keys)
    taken = np.array(values) * 1e3
    figures: list[Any] = [taken.mean(), np.median(taken), taken.std(), *np.percentile(taken, _PERCENTILES)]
    return {key: float(figure) for key, figure in zip(keys, figures, strict=True)}


def _sum(rows: list[VllmRequest], key: Literal["prompt_tokens", "output_tokens"]) -> int | None:
    """Of the requests that ended well; None when one of them is not known."""
    values = [value for row in rows if (value := row[key]) is not None]
    return None if len(values) < len(rows) else sum(values)


def _per(count: float | None, duration_s: float | None) -> float | None:
    return None if count is None or not duration_s else count / duration_s
