"""Runs as they come home from a server, made without one: records of a plausible server, and the documents over them.

Everything derived is derived by the analysis itself, so that pages are tested on what they will really be given.
"""

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.analysis.checks.validity import judge
from loadgen.analysis.document.sweep import SweepStatus
from loadgen.analysis.measured import measured_of
from loadgen.analysis.outline.run_outline import outline
from loadgen.engine.records.record import ClientFacts, CountedBy, Outcome, Recording, Records, RequestRecord
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.spec import RunSpec, canonical_hash
from loadgen.report.charts.chart import Chart
from loadgen.report.charts.plots import sweep_page_charts
from loadgen.report.run_selection import OneRun, RunSelection
from loadgen.store.repository import Store
from loadgen.store.rows import ServerSample, SweepRow
from tests.analysis.summaries import summarise

Document = Any


def chart_rows(chart: Chart | None) -> list[dict[str, Any]]:
    """The data of a chart, a row for each mark."""
    assert chart is not None
    assert chart.spec is not None
    rows: list[dict[str, Any]] = chart.spec["data"]["values"]
    return rows


def outlined(document: Document, records: Records) -> Document:
    """The outline of a run, as it is stored with it."""
    names = {field.name for field in fields(RunSpec)}
    spec = RunSpec.from_json({key: value for key, value in document["spec"].items() if key in names})
    return outline(measured_of(spec, records), document)


ENVIRONMENT: Document = {
    "host": {"name": "bench-1", "system": "Linux"},
    "python": "3.12.3",
    "loadgen_version": "0.1.0",
    "git_commit": "0f3c2d91",
    "cpu_model": "AMD EPYC 9654 96-Core Processor",
    "cpu_count": 16,
    "cpu_governor": None,
    "memory_bytes": 137438953472,
    "kernel": "6.8.0-45-generic",
    "packages": {"httpx2": "2.16.2", "numpy": "2.4.6", "uvloop": "0.23.0"},
}


def server(simulated: bool = False, model: str = "mixtral-8x7b") -> Document:
    """The document's server block."""
    return {
        "url": "http://127.0.0.1:8000",
        "model": model,
        "dialect": "vllm",
        "name": "loadgen simulator" if simulated else "vLLM",
        "version": "0.22.1",
        "simulated": simulated,
        "max_model_len": 32768,
    }


def _request(
    spec: RunSpec, random: np.random.Generator, index: int, slot: int, start_ns: int, busy: float, outcome: Outcome
) -> RequestRecord:
    """One request: TTFT grows with the prompt and the load, gaps with the load."""
    assert spec.input_tokens is not None
    ttft_s = (0.018 + spec.input_tokens * 4e-5) * (1 + busy / 24) * random.lognormal(0, 0.18)
    gaps_s = 0.009 * (1 + busy / 60) * random.lognormal(0, 0.08, spec.output_tokens - 1)
    gaps_s[random.random(len(gaps_s)) < 0.004] *= 6
    shared = random.random(len(gaps_s)) < 0.005
    gaps_s[shared] = 0.0
    arrivals = start_ns + np.concatenate([[0], np.cumsum(gaps_s * 1e9)]).astype(np.int64) + int(ttft_s * 1e9)
    fields: dict[str, Any] = {
        "index": index,
        "slot": slot,
        "outcome": outcome,
        "due_ns": start_ns,
        "start_ns": start_ns,
        "sent_ns": start_ns + 20_000,
        "prompt_tokens_asked": spec.input_tokens,
        "output_tokens_asked": spec.output_tokens,
        "counted_by": CountedBy.TOKEN_IDS,
    }
    if outcome is not Outcome.OK:
        return RequestRecord(
            **fields,
            http_status=503 if outcome is Outcome.HTTP_ERROR else None,
            detail="The server answered 503: <script>alert('overloaded')</script>",
            first_byte_ns=start_ns + 5_000_000,
            end_ns=start_ns + 40_000_000,
        )
    return RequestRecord(
        **fields,
        http_status=200,
        finish_reason="length",
        first_byte_ns=int(arrivals[0]),
        end_ns=int(arrivals[-1]) + 100_000,
        prompt_tokens=spec.input_tokens,
        output_tokens=spec.output_tokens,
        arrival_ns=arrivals,
        arrival_tokens=np.ones(len(arrivals), np.int32),
        arrival_choice=np.zeros(len(shared) + 1, np.int16),
        arrival_coalesced=np.concatenate([[False], shared]),
    )


def recording(spec: RunSpec, failures: float = 0.0) -> Recording:
    """What the engine would bring home from a run of `spec`; that share of its requests fails."""
    random = np.random.default_rng(spec.seed)
    rows: list[RequestRecord] = []
    planned = spec.shape.size if isinstance(spec.shape, Wave) else spec.requests or 64
    match spec.shape:
        case OpenLoop(rate_per_s=rate_per_s):
            free_ns = [int(at * 1e9) for at in np.cumsum(random.exponential(1 / rate_per_s, planned))]
            busy = rate_per_s * 2
        case ClosedLoop(concurrency=lanes) | Wave(size=lanes):
            free_ns, busy = [0] * lanes, float(lanes)
    for index in range(planned):
        slot = index if isinstance(spec.shape, OpenLoop) else int(np.argmin(free_ns))
        outcome = Outcome.HTTP_ERROR if random.random() < failures else Outcome.OK
        row = _request(spec, random, index, slot, free_ns[slot], busy, outcome)
        rows.append(row)
        free_ns[slot] = (row.end_ns or 0) + 60_000
    records = Records.from_rows(rows)
    wall_s = float(records.end_ns.max()) / 1e9
    client = ClientFacts(
        stamp_source="kernel",
        workers=1,
        cpu_s=wall_s * 0.21,
        wall_s=wall_s,
        reads=int(len(records.arrival_ns) * 1.01),
        loop_lag_ns=np.abs(random.normal(90_000, 40_000, 2_000)).astype(np.int64),
        clock_step_ns=2_300,
        connections_opened=planned if isinstance(spec.shape, OpenLoop) else busy.__int__(),
        peak_in_flight=min(planned, int(busy)),
        peak_rss_bytes=181_403_648,
    )
    return Recording(records, client, "2026-11-23T15:29:07+00:00")


def measured_run(
    spec: RunSpec, sweep_id: str, simulated: bool = False, failures: float = 0.0, status: str | None = None
) -> tuple[Document, Records]:
    """A run's document and records. `status` overrules the analysis' verdict, for pages that must show each."""
    return deepcopy(_measured_run(spec, sweep_id, simulated, failures, status))


@cache
def _measured_run(
    spec: RunSpec, sweep_id: str, simulated: bool, failures: float, status: str | None
) -> tuple[Document, Records]:
    brought = recording(spec, failures)
    summary = summarise(spec, brought)
    verdict: Any = judge(spec, summary)
    if status is not None:
        finding = {"code": "for_the_test", "message": f"Made {status} by hand.", "hint": "Nothing to do."}
        verdict = {"status": status, "findings": [] if status == "valid" else [finding]}
    run_id = "r261123-152907-" + hashlib.sha256(f"{sweep_id}{spec.hash}".encode()).hexdigest()[:4]
    document = {
        "schema_version": 1,
        "run_id": run_id,
        "sweep_id": sweep_id,
        "repeat": spec.seed,
        "started_at": brought.origin_at,
        "elapsed_s": brought.client.wall_s + 0.4,
        "simulated": simulated,
        "spec": {
            **spec.to_json(),
            "hash": spec.hash,
            "point_hash": spec.point.hash,
            "load_label": spec.load_label,
        },
        "environment": ENVIRONMENT,
        **summary,
        "server": server(simulated, spec.model),
        "verdict": verdict,
    }
    return document, brought.records


def specs(
    shapes: Sequence[LoadShape],
    input_tokens: Sequence[int] = (128,),
    output_tokens: int = 32,
    repeats: int = 1,
    requests_per_slot: int = 8,
    model: str = "mixtral-8x7b",
) -> list[RunSpec]:
    """A grid, repeats interleaved."""
    return [
        RunSpec(
            url="http://127.0.0.1:8000",
            model=model,
            shape=shape,
            input_tokens=length,
            output_tokens=output_tokens,
            requests=None
            if isinstance(shape, Wave)
            else max(32, requests_per_slot * (shape.concurrency if isinstance(shape, ClosedLoop) else 32)),
            seed=repeat,
        )
        for repeat in range(repeats)
        for length in input_tokens
        for shape in shapes
    ]


def sweep_row(
    sweep_id: str, planned: Sequence[RunSpec], name: str = "", status: SweepStatus = "finished", simulated: bool = False
) -> SweepRow:
    """The sweep of those specs, as it is added before its first run."""
    return SweepRow(
        sweep_id=sweep_id,
        name=name,
        spec={"url": planned[0].url, "model": planned[0].model, "runs": len(planned), "repeats": 1},
        spec_hash=canonical_hash([spec.to_json() for spec in planned]),
        planned_runs=len(planned),
        status=status,
        simulated=simulated,
        created_at="2026-11-23T15:29:01+00:00",
        environment=ENVIRONMENT,
        server=server(simulated, planned[0].model),
    )


def fill(
    path: Path,
    sweep: SweepRow,
    planned: Sequence[RunSpec],
    failures: float = 0.0,
    statuses: Sequence[str | None] = (),
    replies: Sequence[str] = (),
) -> list[Document]:
    """Write a sweep with all its runs to the database at `path`; `statuses` overrule the first verdicts.

    `replies` are the texts that each run has kept.
    """
    documents = []
    with Store.open(f"sqlite:///{path}") as store:
        store.add_sweep(replace(sweep, status="running"))
        for number, spec in enumerate(planned):
            status = statuses[number] if number < len(statuses) else None
            document, records = measured_run(spec, sweep.sweep_id, sweep.simulated, failures, status)
            samples = [ServerSample(0, {"vllm:num_requests_running": 3.0})]
            if replies:
                document["replies"] = [
                    {"index": index, "outcome": "ok", "finish_reason": "stop", "text": text, "characters": len(text)}
                    for index, text in enumerate(replies)
                ]
            store.add_run(sweep.sweep_id, document, records, samples, outline=outlined(document, records))
            documents.append(document)
        store.set_sweep_status(sweep.sweep_id, sweep.status)
    return documents


def page_charts(runs: Sequence[Document], outlines: Mapping[str, Document] | None = None) -> tuple[Chart, ...]:
    """The charts of a sweep's page, with the outlines of its runs by id."""
    known = outlines or {}
    return sweep_page_charts(RunSelection(tuple(runs), {}, lambda run: OneRun(run, known.get(run["run_id"]))))
