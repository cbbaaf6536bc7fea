"""One run from its spec to its document: prepare, warm up, measure, summarise, judge. Saving is the sweep's affair.

Everything slow or parsed happens before t = 0 or after the end.
"""

from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np

from loadgen.analysis.figures.rate_limits import TOO_MANY_REQUESTS
from loadgen.engine.drive.driver import Progress
from loadgen.engine.measurement import Task
from loadgen.engine.records.record import MISSING, Outcome, Recording
from loadgen.engine.wire.target import Target
from loadgen.errors import EngineError, Interrupted, LoadgenError, ServerError, UsageError
from loadgen.experiments.context import MeasuredRun, SweepContext
from loadgen.experiments.estimate import workers_for
from loadgen.experiments.events import Phase, PhaseStarted, PromptsNotFitted, RunProgressed
from loadgen.experiments.prompt_fitting import BoundedCounter, after_warmup
from loadgen.experiments.run_document import Sent, describe
from loadgen.experiments.server_monitor import ServerMonitor
from loadgen.experiments.sweep_record import new_id
from loadgen.load.prompts import Counts
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.counting import chunk_counts_to_ask
from loadgen.servers.endpoint import TokenCounter
from loadgen.servers.host_load import HostLoad
from loadgen.servers.prefix_cache import reset_prefix_cache
from loadgen.servers.secrets import redact
from loadgen.spec.runs import resolved_warmup_requests
from loadgen.spec.size import check_size, longest

_WARMUP_SEED = 2**32  # far from the seeds of repeats: what warms a run up is drawn otherwise than the run itself
_SPARE_RATIO = 1.5  # requests prepared for a run by duration, over what its warm-up says it can use


def measure(bench: SweepContext, run: RunSpec, position: int, repeat: int) -> MeasuredRun:
    """Carry out `run`, number `position` of its sweep.

    From its first measured request on `bench.stop.keeping` is set, for the caller to clear when the run is saved.
    Raises Interrupted when the user stopped it before its first measured request, UsageError or ServerError when no warm-up
    request succeeded, EngineError when the worker failed.
    """

    def phase(name: Phase) -> None:
        bench.on_event(PhaseStarted(position, run, name))

    run_id = new_id("r")
    workers = workers_for(run)
    # The id is new for each attempt, so that a run which is repeated after a crash meets no prefix cached by its first attempt.
    prompt_seed = f"{bench.sweep_id}/{run.point.hash}/{repeat}/{run_id}"
    chunk_counts = chunk_counts_to_ask(bench.facts.chunk_counts, _longest_prompt(run))
    with ExitStack() as stack:
        counts: Counts = bench.length_fit
        if bench.facts.has_tokenize:
            counter = stack.enter_context(
                TokenCounter(bench.facts, run.model, run.endpoint, bench.headers, route=bench.route)
            )
            counts = BoundedCounter(counter, lambda: bench.on_event(PromptsNotFitted(run)))
        phase("preparing")
        warmup: Recording | None = None
        if resolved_warmup_requests(run) > 0:
            callers = min(resolved_warmup_requests(run), run.concurrency or resolved_warmup_requests(run))
            warmup_run = replace(
                run,
                shape=ClosedLoop(callers),
                requests=resolved_warmup_requests(run),
                duration_s=None,
                seed=run.seed + _WARMUP_SEED,
                workload=replace(run.workload, sessions=None),
            )
            schedule = build(
                warmup_run,
                resolved_warmup_requests(run),
                f"{prompt_seed}/warmup",
                bench.facts.dialect,
                counts,
                chunk_counts,
                bench.dataset,
                adaptation=bench.facts.adaptation,
            )
            phase("warming up")
            warmup = _send(
                bench,
                Task(
                    _target(bench, run),
                    schedule,
                    warmup_run.shape,
                    None,
                    run.request_timeout_s,
                    workers=workers,
                    limits=run.rate_limits,
                    max_reply_bytes=run.max_reply_bytes,
                ),
            )
            _check_warmup(bench, warmup)
            if run.workload.images is None:
                counts = after_warmup(counts, schedule, warmup.records)
            phase("preparing")
        requests = run.planned_requests()
        if requests is None:
            requests = _requests_for_duration(run, warmup)
        schedule = build(
            run,
            requests,
            prompt_seed,
            bench.facts.dialect,
            counts,
            chunk_counts,
            bench.dataset,
            bench.trace,
            bench.facts.adaptation,
        )
        schedule_hash = schedule.hash
    # After the warm-up, whose prompts would else be in it, and those of the run before.
    prefix_cache_reset = reset_prefix_cache(bench.facts, bench.headers, bench.route)
    phase("measuring")
    host_load = HostLoad(bench.facts.base_url)
    with ServerMonitor(bench.facts, bench.headers, bench.route) as watching:
        task = Task(
            _target(bench, run),
            schedule,
            run.shape,
            run.duration_s,
            run.request_timeout_s,
            run.tokenizer,
            workers,
            run.rate_limits,
            max_reply_bytes=run.max_reply_bytes,
            keep_replies=bench.keep_replies,
        )
        recording = _send(bench, task, host_load)
        phase("reading the records")
    del task, schedule  # whose files are not needed any more
    return describe(
        bench,
        run,
        Sent(run_id, repeat, schedule_hash, recording, warmup, counts, prefix_cache_reset, watching, host_load),
    )


def _longest_prompt(run: RunSpec) -> int | None:
    """The most tokens that a prompt of the run may have; None with images and with a dataset, where nobody can tell."""
    return None if run.input_tokens is None or run.workload.images is not None else longest(run)[0]


def _target(bench: SweepContext, run: RunSpec) -> Target:
    parts = urlsplit(bench.facts.completions_url(run.endpoint))
    assert parts.hostname is not None
    return Target(
        scheme="https" if parts.scheme == "https" else "http",
        host=parts.hostname,
        port=parts.port or (443 if parts.scheme == "https" else 80),
        path=parts.path,
        headers=bench.headers,
        route=bench.route,
    )


def _send(bench: SweepContext, task: Task, host_load: HostLoad | None = None) -> Recording:
    """Carry out `task`. A measured run has a `host_load`, which is sampled while it sends, and is to be kept."""
    if bench.stop.requested:
        raise Interrupted("stopped before the run began")

    def progressed(progress: Progress) -> None:
        bench.stop.renew()
        if host_load is not None and progress.sent:
            host_load.sample()
        bench.on_event(RunProgressed(progress))

    bench.stop.sending, bench.stop.keeping = (
        True,
        host_load is not None,
    )  # in this order: an interrupt in between finds a run that sends
    try:
        return bench.workers.run(task, progressed)
    finally:
        bench.stop.sending = False


def _check_warmup(bench: SweepContext, recording: Recording) -> None:
    """Stop early, with the server's own words, when it can answer none of our requests."""
    if bench.stop.requested:
        raise Interrupted("stopped while warming up")
    if recording.refusal is not None:
        raise ServerError(f"stopped while warming up: {recording.refusal}")
    if recording.failure is not None:
        raise EngineError(f"stopped while warming up: {recording.failure}")
    records = recording.records
    if len(records) == 0 or np.any(records.outcome == Outcome.OK):
        return
    first = records[0]
    said = redact(first.detail or "", (*bench.headers, *bench.route.secrets)) or first.outcome.label.replace("_", " ")
    message = f"{bench.facts.base_url} answered none of the {len(records)} warm-up requests: {said}"
    if first.http_status == TOO_MANY_REQUESTS:
        message += "; give --requests-per-minute or --tokens-per-minute a little below its limit"
    refused = first.http_status is not None and 300 <= first.http_status < 500
    error: LoadgenError = UsageError(message) if refused else ServerError(message)
    raise error


def _requests_for_duration(run: RunSpec, warmup: Recording | None) -> int:
    """How many requests to prepare for a closed loop of `duration_s`, by the fastest answer of its warm-up.

    Raises UsageError when they are too many to be prepared.
    """
    assert run.duration_s is not None
    assert run.concurrency is not None
    assert warmup is not None, "a spec with a duration and no warm-up is refused"
    records = warmup.records
    answered = (records.outcome == Outcome.OK) & (records.sent_ns != MISSING) & (records.end_ns != MISSING)
    fastest_s = max(1e-6, float((records.end_ns - records.sent_ns)[answered].min()) / 1e9)
    sessions, turns = run.workload.sessions, run.workload.turns
    thought_s = 0.0 if sessions is None else (turns - 1) * sessions.think_time_s
    conversations = int(run.concurrency / (turns * fastest_s + thought_s) * run.duration_s * _SPARE_RATIO)
    requests = (conversations + run.concurrency) * turns
    check_size(run, requests)
    return requests
