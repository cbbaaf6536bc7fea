"""A measured run, and its document from what it recorded, wherever the records come from.

A run that was measured is never lost: a part that cannot be made is left unknown, and a finding of the run names it.
"""

from dataclasses import dataclass, field
from typing import cast

from loadgen.analysis.checks.validity import judge
from loadgen.analysis.document.run import DoctorNote, LengthFigures, RunDocument, Summary, VerdictDocument
from loadgen.analysis.document.server import EnvironmentDocument, ServerDocument
from loadgen.analysis.document.spec import SpecDocument
from loadgen.analysis.figures.cost import Price, cost_of
from loadgen.analysis.measured import Measured, measured_of
from loadgen.analysis.outline.run_outline import Outline, outline
from loadgen.analysis.server.account import server_account
from loadgen.analysis.server.gpu import GpuSeries, gpu_account
from loadgen.analysis.server.readings import readings_document
from loadgen.analysis.stages import Stages
from loadgen.analysis.summary import summarise, unknown
from loadgen.analysis.verdict import made, with_finding
from loadgen.engine.records.record import Recording, Records
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.experiments.prompt_fitting import fitted_by
from loadgen.experiments.server_monitor import ServerMonitor, ServerObservations
from loadgen.load.dataset import Dataset
from loadgen.load.length_fit import LengthFit
from loadgen.load.prompts import Counts
from loadgen.load.spec import RunSpec
from loadgen.load.trace import Trace
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.environment import environment
from loadgen.servers.expert_counting import ExpertCounter, ExpertWatch
from loadgen.servers.host_load import HostLoad
from loadgen.servers.http_client import Headers
from loadgen.servers.launcher.state import ServerState
from loadgen.store.rows import ServerSample

_NOTHING_SEEN = ServerObservations(samples=(), readings=(), gpus=(), gpu_source=None, gpus_chosen_by=None)


@dataclass(frozen=True, slots=True)
class SweepContext:
    """What the runs of one sweep share: the server as it was found, and what their requests and documents are made from."""

    sweep_id: str
    facts: EndpointFacts
    headers: Headers = ()
    route: Route = DIRECT
    launched: ServerState | None = None  # None: loadgen did not start the server
    dataset: Dataset | None = None
    trace: Trace | None = None
    length_fit: LengthFit | None = None  # makes texts of a stated length where the server has no /tokenize
    price: Price | None = None
    doctor: DoctorNote | None = None  # the last result of `loadgen doctor` on this host, as runs keep it
    keep_replies: int = 0  # replies of each run that are kept with their text
    expert_counter: ExpertCounter | None = None  # None: experts are not counted

    def server(self, model: str) -> ServerDocument:
        """The run document's `server`: what it says of itself, and how it was started where that was loadgen's doing."""
        launched = self.launched
        launch = {} if launched is None else {"profile": launched.profile, "launch": launched.facts}
        return cast(ServerDocument, self.facts.to_json(model) | launch)


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    document: RunDocument
    records: Records
    outline: Outline | None
    samples: tuple[ServerSample, ...]
    gpus: tuple[GpuSeries, ...]
    failure: str | None  # why the client cut it short
    refusal: str | None  # why the server cut it short


@dataclass(frozen=True, slots=True)
class SentRun:
    """A run that has been sent, and what was noted around it; without a `monitor`, nothing was seen of the server."""

    run_id: str
    repeat: int
    schedule_hash: str
    recording: Recording
    warmup: Recording | None = None
    counts: Counts = None
    prefix_cache_reset: bool | None = None
    monitor: ServerMonitor | None = None
    experts: ExpertWatch | None = None
    host_load: HostLoad = field(default_factory=HostLoad)

    def seen(self, model: str) -> ServerObservations:
        """What was seen of the server and of `model` on it. Raises what went wrong at the end of watching it."""
        return _NOTHING_SEEN if self.monitor is None else self.monitor.seen(self.recording.origin_at, model)


def document_of(context: SweepContext, run: RunSpec, sent: SentRun) -> MeasuredRun:
    """Return the run as it is stored, with a finding for each part that could not be made."""
    stages, recording = Stages(), sent.recording
    seen = stages.make("server", lambda: sent.seen(run.model), _NOTHING_SEEN)
    summary = stages.make("figures", lambda: summarise(run, recording, stages), unknown(run, recording))
    measured = stages.make("measured", lambda: measured_of(run, recording.records), None)
    stages.make("client", lambda: _add_client(summary, context, sent), None)
    stages.make("lengths", lambda: _add_lengths(summary, run, context=context, sent=sent), None)
    summary["cost"] = stages.make("cost", lambda: cost_of(context.price, summary, recording, sent.warmup), None)
    _add_server(summary, seen, measured=measured, stages=stages)
    summary["replies"] = None
    if context.keep_replies:
        summary["replies"] = stages.make("replies", lambda: [reply.to_json() for reply in recording.replies], [])
    if context.expert_counter is not None and sent.experts is not None:
        counts = sent.experts.counts
        summary["experts"] = None if counts is None else counts.to_json()
        summary["experts_failure"] = sent.experts.failure
    summary["prefix_cache_reset"] = sent.prefix_cache_reset
    server = context.server(run.model)
    # Without checks nothing speaks against the figures but that they were not judged, which the finding says.
    unjudged: VerdictDocument = {"status": "doubtful", "findings": []}
    verdict = stages.make("verdict", lambda: judge(run, {**summary, "server": server}, stages), unjudged)
    drawn = None if measured is None else stages.make("outline", lambda: outline(measured, summary), None)
    nothing: EnvironmentDocument = {"host": {}}
    surroundings = stages.make("environment", lambda: cast(EnvironmentDocument, environment()), nothing)
    found = stages.finding  # after all stages
    document = {
        "schema_version": 1,
        "run_id": sent.run_id,
        "sweep_id": context.sweep_id,
        "repeat": sent.repeat,
        "started_at": recording.origin_at,
        "elapsed_s": recording.client.wall_s,
        "simulated": context.facts.simulated,
        "spec": _spec_document(run, sent.schedule_hash),
        "server": server,
        "environment": surroundings,
        **summary,
        "verdict": verdict if found is None else with_finding(verdict, found),
        "server_died": False,  # as far as is known before it is asked
    }
    return MeasuredRun(
        document=cast(RunDocument, document),
        records=recording.records,
        outline=drawn,
        samples=seen.samples,
        gpus=seen.gpus,
        failure=recording.failure,
        refusal=recording.refusal,
    )


def _spec_document(run: RunSpec, schedule_hash: str) -> SpecDocument:
    """The spec, and the names by which it and its load point are found."""
    names = {"hash": run.hash, "point_hash": run.point.hash, "load_label": run.load_label}
    return cast(SpecDocument, run.to_json() | names | {"schedule_hash": schedule_hash})


def _add_client(summary: Summary, context: SweepContext, sent: SentRun) -> None:
    by_tls = context.facts.api_url.startswith("https:")
    summary["client"] |= {
        "failure": sent.recording.failure,
        "doctor": context.doctor,
        "host_busy_ratio": sent.host_load.busy_ratio,
        "server_on_host": sent.host_load.server_on_host,
        "others_busy_ratio": sent.host_load.others_busy_ratio,
        "proxy": context.route.proxy is not None,
        "tls": None if not by_tls else "unverified" if context.route.insecure else "verified",
    }


def _add_lengths(summary: Summary, run: RunSpec, *, context: SweepContext, sent: SentRun) -> None:
    lengths = made(summary["lengths"])
    lengths["output_tokens"]["can_be_asked"] = context.facts.takes_lengths
    lengths["prompt_tokens"].update(cast(LengthFigures, fitted_by(sent.counts, run, context.facts)))


def _add_server(summary: Summary, seen: ServerObservations, *, measured: Measured | None, stages: Stages) -> None:
    """Add what was seen of the server itself; nothing if the records could not be laid out."""
    if measured is None:
        summary |= {"server_account": None, "server_readings": None, "gpu": None}
        return
    summary["server_account"] = stages.make("server_account", lambda: server_account(seen.readings, measured), None)
    summary["server_readings"] = stages.make(
        "server_readings", lambda: readings_document(seen.readings, measured, seen.has_page), None
    )
    summary["gpu"] = stages.make(
        "gpu", lambda: gpu_account(seen.gpus, measured, seen.gpu_source, seen.gpus_chosen_by), None
    )
