"""Runs that another client measured: from what its importer read to a sweep's document of ours, marked as foreign.

Of another client's figures only those become ours which mean the same; the rest stay under
`foreign.figures`, in that client's own words and units. What its file does not tell is null.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

import numpy as np

from loadgen.analysis.checks.validity import judge_foreign
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import SweepDocument
from loadgen.analysis.figures.figure import STATISTICS
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.stats import Distribution, distribution, distribution_by, samples_needed
from loadgen.errors import UsageError
from loadgen.importers.lenient import Json
from loadgen.load.shapes import ClosedLoop, LoadShape
from loadgen.load.spec import RunSpec

ForeignFigures = dict[str, Distribution | float | None]
"""Figures of ours by key."""

NO_METHOD = 0  # the `method_version` of figures that no version of ours made
SIMULATED_MODEL = "simulated-moe"  # what the simulator calls its model unless told otherwise; files say no more of it

_ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ForeignRun:
    """One run as another client's file tells it. `figures` are metrics of ours by key, `words` its own figures as they are."""

    started_at: datetime
    model: str
    shape: LoadShape
    planned: int
    ok: int
    words: Json
    url: str | None = None
    endpoint: str = "completions"
    elapsed_s: float = 0.0
    input_tokens: int | None = None
    output_tokens: int = 0
    figures: ForeignFigures = field(default_factory=dict)
    prompt_total: float | None = None
    output_total: float | None = None
    counted_by: str | None = None
    window_rule: str = "whole_run"
    in_flight_mean: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what the file has and could not be taken


def sweep_of(
    tool: str, version: str | None, name: str, runs: Sequence[ForeignRun], *, simulated: bool = False
) -> SweepDocument:
    """The document of a sweep of these `runs`; its ids are made of its content, so that a file is imported once."""
    runs = [_without_negatives(run) for run in runs]
    content = json.dumps([run.words for run in runs], sort_keys=True).encode()
    began_at = min(run.started_at for run in runs)
    name_of_it = f"{began_at:%y%m%d-%H%M%S}-{hashlib.sha256(content).hexdigest()[:_ID_DIGITS]}"
    repeats: Counter[str] = Counter()
    simulated = simulated or any(run.model == SIMULATED_MODEL for run in runs)
    documents = []
    for number, run in enumerate(runs):
        spec = _spec(run)
        repeat = repeats[spec.hash]
        repeats[spec.hash] += 1
        document = _run(tool, version, run=run, spec=replace(spec, seed=repeat), simulated=simulated)
        documents.append(
            cast(RunDocument, {"run_id": f"r{name_of_it}-{number}", "sweep_id": f"s{name_of_it}", **document})
        )
    first = documents[0]
    spec_told: dict[str, object] = {
        "measured_by": tool,
        "version": version,
        "runs": [run["spec"]["load_label"] for run in documents],
    }
    return {
        "schema_version": 1,
        "sweep_id": f"s{name_of_it}",
        "name": name,
        "status": "finished",
        "created_at": began_at.isoformat(),
        "simulated": simulated,
        "planned_runs": len(documents),
        "spec": spec_told,
        "spec_hash": name_of_it.rpartition("-")[2],
        "server": first["server"],
        "environment": first["environment"],
        "group_id": None,
        "imported": {"tool": tool, "tool_version": version},
        "runs": documents,
    }


def unreadable_load(tool: str, load: str, lacking: str) -> UsageError:
    """What to raise where a file names a kind of load and its number cannot be read: another load would be claimed."""
    return UsageError(f"looks like a result of {tool} and has no {lacking} that can be read for its load '{load}'")


def of_values(values: Sequence[float]) -> Distribution:
    """The distribution of one value each, by our own rules."""
    return distribution(np.array(values, np.float64))


def of_figures(n: int | None, told: Mapping[str, float | None], samples: int | None = None) -> Distribution | None:
    """A distribution of another client's figures, in our unit; None where it told none.

    `told` has any of mean, min, p50, p90, p95, p99 and max. Percentiles are refused as ours are, by `n`, or by the least number of
    `samples` where nobody wrote `n` down.
    """
    known = n if n is not None else samples
    if known == 0 or all(told.get(name) is None for name in STATISTICS):
        return None

    def given(percentile: int) -> float | None:
        is_refused = percentile > 50 and (known is None or known < samples_needed(percentile))
        return None if is_refused else told.get(f"p{percentile}")

    return distribution_by(n, told.get("mean"), told.get("min"), told.get("max"), given)


def scalars(document: Json, depth: int = 3) -> Json:
    """What is no list, as it is: numbers, words and nulls, `depth` objects deep."""
    kept: Json = {}
    for key, value in document.items():
        if isinstance(value, dict):
            if depth and (inner := scalars(value, depth - 1)):
                kept[key] = inner
        elif not isinstance(value, list):
            kept[key] = value
    return kept


def since_intended(run_shape: LoadShape, from_send: Distribution | None) -> Distribution | None:
    """What was counted from the sending, where that is when ours counts from too: not in an open loop, which counts from due."""
    return None if run_shape.latency_start == "due" else from_send


def _without_negatives(run: ForeignRun) -> ForeignRun:
    """The run with null for each figure below 0, which no time, rate or count is, and a note of it."""
    notes: list[str] = []

    def checked(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: checked(f"{name}.{key}", inner) for key, inner in value.items()}
        if isinstance(value, int | float) and value < 0:
            notes.append(f"{name} is {value:g}, less than 0, and is null")
            return None
        return value

    figures = checked("figures", run.figures)
    cleaned = replace(
        run,
        figures=figures,
        elapsed_s=checked("elapsed_s", run.elapsed_s) or 0.0,
        input_tokens=checked("input_tokens", run.input_tokens),
        output_tokens=checked("output_tokens", run.output_tokens) or 0,
        prompt_total=checked("tokens.prompt", run.prompt_total),
        output_total=checked("tokens.output", run.output_total),
        in_flight_mean=checked("concurrency.mean", run.in_flight_mean),
    )
    return replace(cleaned, notes=(*run.notes, *(note.removeprefix("figures.") for note in notes)))


def _spec(run: ForeignRun) -> RunSpec:
    return RunSpec(
        url=run.url,  # type: ignore[arg-type]  # null where the file does not tell it; nothing is sent to it
        model=run.model,
        shape=run.shape,
        input_tokens=run.input_tokens,
        output_tokens=run.output_tokens,
        endpoint="chat" if run.endpoint == "chat" else "completions",
        requests=None if run.shape.batch_size is not None else run.planned,
    )


def _run(tool: str, version: str | None, run: ForeignRun, spec: RunSpec, simulated: bool) -> dict[str, object]:
    figures: ForeignFigures = {}
    for metric in METRICS:
        place, _, name = metric.key.rpartition(".")
        if not place:
            figures[name] = run.figures.get(name)
        else:
            figures[place] = None
    outcomes = {"planned": max(run.planned, run.ok), "ok": run.ok}
    if (failed := run.planned - run.ok) > 0:
        outcomes["failed"] = failed
    return {
        "schema_version": 1,
        "repeat": spec.seed,
        "started_at": run.started_at.isoformat(),
        "elapsed_s": run.elapsed_s,
        "simulated": simulated,
        "interrupted": False,
        "server_died": False,
        "method_version": NO_METHOD,
        "foreign": {"tool": tool, "version": version, "figures": run.words, "notes": list(run.notes)},
        "spec": {
            **spec.to_json(),
            "hash": spec.hash,
            "point_hash": spec.point.hash,
            "load_label": spec.load_label,
        },
        "server": {"url": run.url, "model": run.model, "name": None, "version": None, "simulated": simulated},
        "environment": {"host": {}, **run.environment},
        "outcomes": outcomes,
        "failures": [],
        **figures,
        "by_turn": None,
        "tokens": {"prompt": run.prompt_total, "output": run.output_total, "counted_by": run.counted_by},
        "window": {"rule": run.window_rule, "start_s": None, "end_s": None, "requests": run.ok},
        "concurrency": {"asked": spec.concurrency, "mean": run.in_flight_mean, "peak": None},
        "rates": {
            "offered_per_s": run.shape.offered_per_s,
            "sent_per_s": None,
            "completed_per_s": run.figures.get("requests_per_s"),
        },
        "lengths": None,
        "client": {"stamp_source": None, "reads": None, "coalesced_ratio": None},
        "verdict": judge_foreign(tool, version, spec, outcomes),
    }


def closed_loop(concurrency: int) -> ClosedLoop:
    """So many callers; a client that keeps that many requests in flight is one."""
    return ClosedLoop(max(1, concurrency))
