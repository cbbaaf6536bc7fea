"""One run from its spec to its document: prepare, warm up, prepare by what the warm-up showed, send, document.

Everything slow happens before t = 0 or after the end. The sweep saves what is returned.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import numpy as np

from loadgen.analysis.figures.rate_limits import TOO_MANY_REQUESTS
from loadgen.engine.drive.driver import Progress
from loadgen.engine.measurement import Task
from loadgen.engine.records.record import MISSING, Outcome, Recording
from loadgen.engine.wire.target import Target
from loadgen.engine.workers import Workers
from loadgen.errors import EngineError, Interrupted, LoadgenError, ServerError, UsageError
from loadgen.experiments.estimate import workers_for
from loadgen.experiments.events import OnEvent, Phase, PhaseStarted, PromptsNotFitted, RunProgressed
from loadgen.experiments.interrupts import Stop
from loadgen.experiments.prompt_fitting import BoundedCounter, after_warmup
from loadgen.experiments.run_document import MeasuredRun, SentRun, SweepContext, document_of
from loadgen.experiments.server_monitor import ServerMonitor
from loadgen.experiments.sweep_record import new_id
from loadgen.load.body import RequestForm
from loadgen.load.prompts import Counts
from loadgen.load.schedule import Schedule, build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.counting import chunk_counts_to_ask
from loadgen.servers.endpoint import reset_prefix_cache
from loadgen.servers.expert_counting import ExpertWatch
from loadgen.servers.host_load import HostLoad
from loadgen.servers.proxies import DEFAULT_PORTS
from loadgen.servers.redaction import redact
from loadgen.servers.reported_tokens import token_counter
from loadgen.spec.runs import resolved_warmup_requests
from loadgen.spec.size import check_size, longest

_WARMUP_SEED = 2**32  # far from the seeds of repeats, so that a warm-up differs from its run
_SPARE_RATIO = 1.5  # requests prepared for a run by duration, over what its warm-up says it can use


@dataclass(frozen=True, slots=True)
class Sender:
    """The worker processes of a sweep, how the user stops them, and who is told of their progress."""

    workers: Workers
    stop: Stop
    on_event: OnEvent

    def send(self, task: Task, host_load: HostLoad | None = None) -> Recording:
        """Carry out `task`. A measured run has a `host_load`, which is sampled meanwhile; what it records has to be saved.

        Raises Interrupted when the user stopped the sweep before.
        """
        if self.stop.requested:
            raise Interrupted("stopped before the run began")

        def progressed(progress: Progress) -> None:
            self.stop.renew()
            if host_load is not None and progress.sent:
                host_load.sample()
            self.on_event(RunProgressed(progress))

        # In this order: an interrupt in between finds a run that sends.
        self.stop.sending, self.stop.keeping = True, host_load is not None
        try:
            return self.workers.run(task, progressed)
        finally:
            self.stop.sending = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a run: what its steps share. `position` counts the runs of the sweep from 1."""

    context: SweepContext
    sender: Sender
    run: RunSpec
    position: int
    repeat: int
    run_id: str  # new for each attempt, so that one repeated after a crash meets no prefix cached by the first

    def phase(self, name: Phase) -> None:
        self.sender.on_event(PhaseStarted(self.position, self.run, name))

    def schedule(self, run: RunSpec, requests: int, counts: Counts, *, is_warmup: bool = False) -> Schedule:
        """Build the schedule of `run`, which is the attempt's own or its warm-up."""
        context, facts = self.context, self.context.facts
        prompt_seed = f"{context.sweep_id}/{self.run.point.hash}/{self.repeat}/{self.run_id}"
        return build(
            run,
            requests,
            prompt_seed=f"{prompt_seed}/warmup" if is_warmup else prompt_seed,
            form=RequestForm(
                facts.dialect,
                chunk_counts_to_ask(facts.chunk_counts, _longest_prompt(self.run)),
                adaptation=facts.adaptation,
                prompt_ids=facts.prompt_ids,
            ),
            counts=counts,
            dataset=context.dataset,
            trace=None if is_warmup else context.trace,
        )

    def task(self, schedule: Schedule, run: RunSpec, *, keep_replies: int = 0) -> Task:
        """The work of the engine for `run`."""
        return Task(
            target=_target(self.context, run),
            schedule=schedule,
            shape=run.shape,
            duration_s=run.duration_s,
            request_timeout_s=run.request_timeout_s,
            tokenizer=run.tokenizer,
            workers=workers_for(self.run),
            limits=run.rate_limits,
            max_reply_bytes=run.max_reply_bytes,
            keep_replies=keep_replies,
        )


def measure(context: SweepContext, sender: Sender, run: RunSpec, *, position: int, repeat: int) -> MeasuredRun:
    """Carry out `run`, number `position` of its sweep.

    From its first measured request on `sender.stop.keeping` is set, for the caller to clear when the run is saved.
    Raises Interrupted when the user stopped it before its first measured request, UsageError or ServerError when no warm-up
    request succeeded, EngineError when the worker failed.
    """
    attempt = Attempt(context, sender, run, position=position, repeat=repeat, run_id=new_id("r"))
    with token_counts(attempt) as counts:
        attempt.phase("preparing")
        warmup, counts = warm_up(attempt, counts)
        task = prepare(attempt, counts, warmup)
    sent = send(attempt, task, warmup, counts)
    del task  # its temporary files are not needed any more
    return document_of(context, run, sent)


@contextmanager
def token_counts(attempt: Attempt) -> Iterator[Counts]:
    """What tells the tokens of a text: the server's tokenizer for a bounded time, else the fit of the sweep."""
    context, run = attempt.context, attempt.run
    if not context.facts.has_tokenize:
        yield context.length_fit
        return
    with token_counter(context.facts, run.model, run.endpoint, context.headers, route=context.route) as counter:
        yield BoundedCounter(counter, lambda: attempt.sender.on_event(PromptsNotFitted(run)))


def warm_up(attempt: Attempt, counts: Counts) -> tuple[Recording | None, Counts]:
    """Send the warm-up, if the run has one; return what it recorded, and `counts` corrected by it.

    Raises Interrupted, ServerError, UsageError or EngineError when the run must not follow.
    """
    run, requests = attempt.run, resolved_warmup_requests(attempt.run)
    if requests == 0:
        return None, counts
    warmup_run = replace(
        run,
        shape=ClosedLoop(min(requests, run.concurrency or requests)),
        requests=requests,
        duration_s=None,
        seed=run.seed + _WARMUP_SEED,
        tokenizer=None,
        workload=replace(run.workload, sessions=None),
    )
    schedule = attempt.schedule(warmup_run, requests, counts, is_warmup=True)
    attempt.phase("warming up")
    recording = attempt.sender.send(attempt.task(schedule, warmup_run))
    _check_warmup(attempt, recording)
    if run.workload.images is None:
        counts = after_warmup(counts, schedule, recording.records)
    attempt.phase("preparing")
    return recording, counts


def prepare(attempt: Attempt, counts: Counts, warmup: Recording | None) -> Task:
    """Make the requests of the run. Raises UsageError when they are too many, or the disk has no room for them."""
    run, requests = attempt.run, attempt.run.planned_requests()
    if requests is None:
        requests = requests_for_duration(run, warmup)
    schedule = attempt.schedule(run, requests, counts)
    return attempt.task(schedule, run, keep_replies=attempt.context.keep_replies)


def send(attempt: Attempt, task: Task, warmup: Recording | None, counts: Counts) -> SentRun:
    """Send the requests, and watch the server and this host meanwhile. `counts`: the prompts were made by it."""
    context = attempt.context
    schedule_hash = task.schedule.hash
    # After the warm-up, whose prompts would else be in it, and those of the run before.
    prefix_cache_reset = reset_prefix_cache(context.facts, context.headers, context.route)
    attempt.phase("measuring")
    host_load = HostLoad(context.facts.base_url)
    monitor = ServerMonitor(context.facts, context.headers, context.route)
    with ExpertWatch(context.expert_counter, attempt.run.model) as experts, monitor:
        recording = attempt.sender.send(task, host_load)
        attempt.phase("reading the records")
    return SentRun(
        run_id=attempt.run_id,
        repeat=attempt.repeat,
        schedule_hash=schedule_hash,
        recording=recording,
        warmup=warmup,
        counts=counts,
        prefix_cache_reset=prefix_cache_reset,
        monitor=monitor,
        experts=experts,
        host_load=host_load,
    )


def requests_for_duration(run: RunSpec, warmup: Recording | None) -> int:
    """Return how many requests to prepare for a closed loop of `duration_s`, by the fastest response of its warm-up.

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


def _longest_prompt(run: RunSpec) -> int | None:
    """The most tokens that a prompt of the run may have; None with images and with a dataset, whose lengths are unknown."""
    return None if run.input_tokens is None or run.workload.images is not None else longest(run)[0]


def _target(context: SweepContext, run: RunSpec) -> Target:
    parts = urlsplit(context.facts.completions_url(run.endpoint))
    assert parts.hostname is not None
    return Target(
        scheme="https" if parts.scheme == "https" else "http",
        host=parts.hostname,
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        path=parts.path,
        headers=context.headers,
        route=context.route,
    )


def _check_warmup(attempt: Attempt, recording: Recording) -> None:
    """Raise, with the server's own words, when the run must not follow: it was stopped, or every request failed."""
    context = attempt.context
    if attempt.sender.stop.requested:
        raise Interrupted("stopped while warming up")
    if recording.refusal is not None:
        raise ServerError(f"stopped while warming up: {recording.refusal}")
    if recording.failure is not None:
        raise EngineError(f"stopped while warming up: {recording.failure}")
    records = recording.records
    if len(records) == 0 or np.any(records.outcome == Outcome.OK):
        return
    first = records[0]
    said = redact(first.detail or "", (*context.headers, *context.route.secrets)) or first.outcome.label.replace(
        "_", " "
    )
    message = f"{context.facts.base_url} answered none of the {len(records)} warm-up requests: {said}"
    if first.http_status == TOO_MANY_REQUESTS:
        message += "; give --requests-per-minute or --tokens-per-minute a little below its limit"
    refused = first.http_status is not None and 300 <= first.http_status < 500
    error: LoadgenError = UsageError(message) if refused else ServerError(message)
    raise error
