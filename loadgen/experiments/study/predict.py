"""A study in virtual time: every point predicted by the roofline and the scheduler, and put on record like a measured one.

A prediction is a sweep with `simulated` set, on a server that says what it is. It claims nothing of a client.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import cast

import loadgen
from loadgen.analysis.document.run import ClientAccount
from loadgen.experiments.run_document import MeasuredRun, SentRun, SweepContext, document_of
from loadgen.experiments.sweep_record import SweepEntry, close, new_id, sweep_hash
from loadgen.load.spec import RunSpec, canonical_hash
from loadgen.moe.hardware import Hardware
from loadgen.moe.hardware import hardware as accelerator
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.state import ServerState
from loadgen.servers.prediction.engine_of import (
    Deployment,
    NoMemoryError,
    UnpredictableError,
    deployment_of_profile,
)
from loadgen.servers.prediction.fitted import SERVER_NAME, basis_of, calibration_for
from loadgen.servers.prediction.predicted_run import predict_run
from loadgen.servers.profiles.command import arguments
from loadgen.servers.redaction import shown
from loadgen.spec.sweep_spec import SweepSpec
from loadgen.store.repository import Store
from loadgen.study.points import Point, load_specs
from loadgen.study.study_file import StudyFile
from loadgen.study.variants import StudyVariant

OnPoint = Callable[[int, int], None]
"""Called with the number of points done, and of all points."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Points of one server that have no prediction, and why."""

    label: str  # the server's
    points: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a prediction put on record: `sweep_ids`, those of servers without memory included, and `runs` points in them."""

    basis: str  # what it rests on, in a sentence
    sweep_ids: tuple[str, ...]
    runs: int
    out_of_memory: tuple[LeftOut, ...]
    left_out: tuple[LeftOut, ...]


def predict(
    file: StudyFile, points: Sequence[Point], hardware: str, store: Store, on_point: OnPoint | None = None
) -> Prediction:
    """Predict `points` of a study on an accelerator, and store one sweep for each server and load of theirs.

    A server that does not fit is a sweep that did not start. A sweep that is on record already, by the same constants, is
    kept. Raises UsageError for an unknown accelerator, and StoreError.
    """
    on = accelerator(hardware)
    runs, sweep_ids = 0, list[str]()
    out_of_memory, left_out = list[LeftOut](), list[LeftOut]()
    for done, (variant, load, its_runs) in _sweeps(points):
        sweep = _Sweep(file, variant, load, runs=its_runs, hardware=on)
        try:
            sweep_ids.append(sweep.predict(store, _deployment(variant, on)))
            runs += len(its_runs)
        except UnpredictableError as error:
            left_out.append(LeftOut(variant.label, len(its_runs), str(error)))
        except NoMemoryError as error:
            out_of_memory.append(LeftOut(variant.label, len(its_runs), str(error)))
            sweep_ids.append(sweep.fail(store, error))
        if on_point is not None:
            on_point(done, len(points))
    return Prediction(basis_of(on), tuple(sweep_ids), runs, _joined(out_of_memory), _joined(left_out))


def _sweeps(points: Iterable[Point]) -> Iterator[tuple[int, tuple[StudyVariant, int, list[RunSpec]]]]:
    """Yield the points of each server and load, with how many there are up to them."""
    done = 0
    for _, group in groupby(points, key=lambda point: (id(point.variant), point.load)):
        found = list(group)
        done += len(found)
        yield done, (found[0].variant, found[0].load, [point.run for point in found])


def _joined(parts: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """One entry for each server and reason."""
    counts: dict[tuple[str, str], int] = {}
    for part in parts:
        key = part.label, part.sentence
        counts[key] = counts.get(key, 0) + part.points
    return tuple(LeftOut(label, points, sentence) for (label, sentence), points in counts.items())


def _deployment(variant: StudyVariant, on: Hardware) -> Deployment:
    """Raises UnpredictableError and NoMemoryError."""
    if variant.cannot_run is not None:
        raise UnpredictableError(variant.cannot_run)
    return deployment_of_profile(variant.variant.served.profile, variant.served.architecture, on)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """The points of one server and one load of the study."""

    file: StudyFile
    variant: StudyVariant
    load: int
    runs: Sequence[RunSpec]
    hardware: Hardware

    def predict(self, store: Store, deployment: Deployment) -> str:
        """Store the predicted runs, and return the sweep's id; that of an equal one on record if there is one."""
        entry = self._entry()
        known = store.finished(entry.spec_hash)
        if known is not None:
            return known.sweep_id
        context = self._context()
        predicted = [_predicted(context, run, deployment, repeat=0) for run in self.runs]
        entry.begin(store, context.sweep_id, context.server(self._spec.model))
        try:
            for each in predicted:
                store.add_run(context.sweep_id, each.document, each.records, outline=each.outline)
            store.set_sweep_status(context.sweep_id, "finished", len(predicted))
        except BaseException:
            close(store, context.sweep_id, "interrupted")
            raise
        return context.sweep_id

    def fail(self, store: Store, error: NoMemoryError) -> str:
        """Store a sweep without runs, as of a server that lacked memory when it started."""
        entry = self._entry()
        known = store.finished(entry.spec_hash)
        if known is not None:
            return known.sweep_id
        kind = FailureKind.KV_CACHE_TOO_SMALL if error.is_cache else FailureKind.OUT_OF_GPU_MEMORY
        server = self._context().server(self._spec.model)
        return entry.without_runs(store, server, StartFailure(kind, str(error)))

    @property
    def _spec(self) -> SweepSpec:
        return load_specs(self.file, self.variant)[self.load]

    def _entry(self) -> SweepEntry:
        """Its hash is not that of the same runs on a real server, and another with other constants."""
        by = (SERVER_NAME, self.hardware.name, repr(calibration_for(self.hardware)))
        runs_hash = sweep_hash(self.runs, self.variant.variant)
        return SweepEntry(
            spec=self._spec,
            search_terms=None,
            spec_hash=canonical_hash([*by, runs_hash]),
            planned_runs=len(self.runs),
            variant=self.variant.variant,
            member=None,
        )

    def _context(self) -> SweepContext:
        spec, profile = self._spec, self.variant.variant.served.profile
        facts = EndpointFacts(
            base_url=spec.url,
            api_url=f"{spec.url}/v1",
            dialect="vllm",
            name=SERVER_NAME,
            version=loadgen.__version__,
            models=(spec.model,),
            max_model_len=None,
            simulated=True,
            has_tokenize=False,
            has_metrics=False,
        )
        launched = ServerState(
            profile=profile.name,
            url=spec.url,
            model=spec.model,
            endpoint=spec.endpoint,
            fingerprint="",
            log=None,
            started_at=_now(),
            facts=self._launch_facts(),
        )
        return SweepContext(new_id("s"), facts, launched=launched)

    def _launch_facts(self) -> Mapping[str, object]:
        """What a launch of the same server would have put on record, with the accelerators that it is predicted for."""
        profile = self.variant.variant.served.profile
        gpus = self.variant.served.coordinates["gpus"]
        assert isinstance(gpus, int)
        return {
            "kind": "simulator",
            "argv": [],
            "arguments": shown(arguments(profile)),
            "overrides": self.variant.variant.overrides.to_json(),
            "environment": dict(shown(dict(self.variant.served.environment))),
            "gpus": [{"name": self.hardware.title, "memory_bytes": self.hardware.memory_bytes, "driver": None}] * gpus,
            "architecture": profile.architecture,
            "model_source": profile.model,
            "weights": "real",
            "installed_release": None,
            "engine_says": {"prediction": basis_of(self.hardware)},
        }


def _predicted(context: SweepContext, run: RunSpec, deployment: Deployment, *, repeat: int) -> MeasuredRun:
    """The run's document, with nothing in it that only a client could have measured."""
    recording = predict_run(run, deployment, _now())
    sent = SentRun(new_id("r"), repeat, schedule_hash=run.hash, recording=recording)
    made = document_of(context, run, sent)
    nothing: ClientAccount = {"stamp_source": None, "reads": None, "coalesced_ratio": None}
    return replace(made, document=cast(type(made.document), {**made.document, "client": nothing}))  # type: ignore[misc]


def _now() -> str:
    return datetime.now(UTC).isoformat()
