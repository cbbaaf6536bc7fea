"""What running a study would do and take: points, starts, memory, time and GPU hours. Starts and sends nothing.

A figure that is not known beforehand is None, and null in JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from loadgen.errors import ModelError
from loadgen.experiments.estimate import sum_known
from loadgen.experiments.study.duration import Duration, Timing, earlier
from loadgen.experiments.study.on_record import OnRecord, Recorded, on_record, repeats_of, runs_of_others
from loadgen.moe.hardware import Hardware
from loadgen.servers.profiles.checks import cannot_take, does_not_fit, resources
from loadgen.servers.profiles.memory_fit import GB, Memory
from loadgen.servers.profiles.schema import ServerProfile
from loadgen.store.repository import Store
from loadgen.study.points import Point, load_specs
from loadgen.study.study_file import StudyFile
from loadgen.study.variants import StudyVariant


@dataclass(frozen=True, slots=True)
class PointPlan:
    """One point: as many runs as it has repeats, or none because of its `problem`. `duration` is that of one run."""

    point: Point
    runs: int
    problem: str | None
    duration: Duration
    recorded: int = 0  # of the runs: those that other studies have on record

    @property
    def estimated_s(self) -> float | None:
        if not self.runs:
            return 0.0
        return None if self.duration.seconds is None else self.runs * self.duration.seconds

    def to_json(self) -> dict[str, object]:
        """One entry of `points`."""
        is_run = self.runs > 0
        return {
            "coordinates": dict(self.point.coordinates),
            "runs": self.runs,
            "runs_on_record": self.recorded,
            "problem": self.problem,
            "estimated_s": self.estimated_s if is_run else None,
            "basis": self.duration.basis if is_run else None,
            "unknown": self.duration.unknown if is_run else None,
        }


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """One server of a study. `memory` is the arithmetic of each GPU, None if it is not known; `start` that of one start."""

    variant: StudyVariant
    points: tuple[PointPlan, ...]
    memory: Memory | None
    problem: str | None  # why it cannot be started
    start: Duration

    @property
    def starts(self) -> int:
        """1, or 0 if it has nothing to run."""
        return 1 if self.runs else 0

    @property
    def runs(self) -> int:
        return sum(each.runs for each in self.points)

    @property
    def gpus(self) -> int:
        """GPUs that the server occupies; 0 on a processor, and for a server that loadgen does not start."""
        needs = self.variant.variant.served.profile.needs
        return 0 if needs is None else needs.gpus

    @property
    def longest_tokens(self) -> int:
        """Prompt and reply of the longest point, in tokens."""
        return max((_tokens(each.point) for each in self.points), default=0)

    @property
    def sequences(self) -> int | None:
        """How many of the longest requests the KV cache holds at once, over all data-parallel copies."""
        if self.memory is None or not self.longest_tokens:
            return None
        of_a_copy = max(0, self.memory.kv_cache_bytes) // (self.longest_tokens * self.memory.kv_bytes_per_token)
        return of_a_copy * self.memory.layout.parallelism.data

    @property
    def max_num_seqs(self) -> int | None:
        """How many requests the engine runs at once, over all copies; None if that is not known."""
        limit = None if self.memory is None else self.memory.layout.max_num_seqs
        return None if self.memory is None or limit is None else limit * self.memory.layout.parallelism.data

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it, or points of it, cannot run; each reason once."""
        found = [self.problem] if self.problem else [each.problem for each in self.points]
        return tuple(dict.fromkeys(problem for problem in found if problem is not None))

    @property
    def unknown(self) -> str | None:
        """Why its time is not known; None if it is."""
        return next((each.duration.unknown for each in self.points if each.runs and each.duration.unknown), None)

    @property
    def estimated_s(self) -> float | None:
        """Seconds of the start and all runs, warm-ups included."""
        return sum_known([*(each.estimated_s for each in self.points), self.start.seconds if self.starts else 0.0])

    @property
    def gpu_hours(self) -> float | None:
        return None if self.estimated_s is None else self.gpus * self.estimated_s / 3600

    @property
    def is_bound(self) -> bool:
        """Whether its time is a lower bound rather than an estimate."""
        return any(each.runs and each.duration.basis == "bound" for each in self.points)

    def to_json(self) -> dict[str, object]:
        """One entry of `servers`."""
        return {
            "label": self.variant.label,
            "profile": self.variant.variant.name,
            "coordinates": self.variant.coordinates,
            "gpus": self.gpus,
            "starts": self.starts,
            "runs": self.runs,
            "problem": self.problem,
            "memory": None if self.memory is None else _memory_json(self.memory),
            "longest_tokens": self.longest_tokens,
            "sequences": self.sequences,
            "start_s": self.start.seconds,
            "start_basis": self.start.basis,
            "estimated_s": self.estimated_s,
            "estimated_is_bound": self.is_bound,
            "gpu_hours": self.gpu_hours,
            "unknown": self.unknown,
            "points": [each.to_json() for each in self.points],
        }


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The servers of a study in order, on one kind of accelerator. A study that is arithmetic has none."""

    file: StudyFile
    hardware: Hardware
    servers: tuple[VariantPlan, ...]
    on_record: OnRecord | None = None  # what other studies have of it; None: nothing

    @property
    def starts(self) -> int:
        return sum(each.starts for each in self.servers)

    @property
    def runs(self) -> int:
        return sum(each.runs for each in self.servers)

    @property
    def is_tiny(self) -> bool:
        """Whether tiny models stand for those of the study; the hardware is then this machine's processor."""
        return any(each.variant.stands_for is not None for each in self.servers)

    @property
    def accuracy_tasks(self) -> tuple[str, ...]:
        """What each server is evaluated on; empty if none is."""
        asked = [spec.accuracy for each in self.servers for spec in load_specs(self.file, each.variant)]
        return tuple(dict.fromkeys(task for accuracy in asked if accuracy is not None for task in accuracy.tasks))

    @property
    def points(self) -> tuple[PointPlan, ...]:
        return tuple(each for server in self.servers for each in server.points)

    @property
    def known(self) -> tuple[VariantPlan, ...]:
        """The servers that run something, as far as their time is known."""
        return tuple(each for each in self.servers if each.starts and each.estimated_s is not None)

    @property
    def known_s(self) -> float | None:
        """Seconds of the servers whose time is known, without the others; None if that of no server is."""
        return sum(each.estimated_s or 0.0 for each in self.known) if self.known else None

    @property
    def known_gpu_hours(self) -> float | None:
        return sum(each.gpu_hours or 0.0 for each in self.known) if self.known else None

    @property
    def starts_left(self) -> int:
        """Starts of the servers with runs that no other study has on record."""
        return sum(1 for each in self.servers if any(point.runs > point.recorded for point in each.points))

    @property
    def is_bound(self) -> bool:
        """Whether any time in it is a lower bound."""
        return any(each.is_bound for each in self.servers)

    def to_json(self) -> dict[str, object]:
        """The plan as `study plan --json` shows it. A total is null if a part of it is not known; `known_s` is the rest."""
        return {
            "schema_version": 1,
            "study": self.file.study.name,
            "title": self.file.study.title,
            "needs_server": self.file.study.needs_server,
            "scale": "tiny" if self.is_tiny else "full",
            "hardware": None
            if self.is_tiny
            else {
                "name": self.hardware.name,
                "title": self.hardware.title,
                "memory_bytes": self.hardware.memory_bytes,
            },
            "points": len(self.points),
            "points_without_run": sum(1 for each in self.points if not each.runs),
            "points_on_record": 0 if self.on_record is None else self.on_record.recorded,
            "on_record_by": [] if self.on_record is None else list(self.on_record.by),
            "runs": self.runs,
            "runs_on_record": sum(each.recorded for each in self.points),
            "starts": self.starts,
            "estimated_s": sum_known(each.estimated_s for each in self.servers),
            "known_s": self.known_s,
            "estimated_is_bound": self.is_bound,
            "gpu_hours": sum_known(each.gpu_hours for each in self.servers),
            "known_gpu_hours": self.known_gpu_hours,
            "servers": [each.to_json() for each in self.servers],
        }


def plan_study(file: StudyFile, points: Sequence[Point], on: Hardware, store: Store | None = None) -> StudyPlan:
    """Plan `points` of a study on an accelerator, with the durations of runs like them in `store`. Raises StoreError."""
    known = earlier(points, store, on)
    recorded = Recorded() if store is None else _recorded(file, points, on, store)
    servers = []
    for _, group in groupby(points, key=lambda point: id(point.variant)):
        its_points = tuple(group)
        variant = its_points[0].variant
        profile = with_memory_of(variant.variant.served.profile, on)
        problem = variant.cannot_run or does_not_fit(profile)
        timing = Timing.of(variant, known, on)
        plans = (_point_plan(file, point, profile, problem=problem, timing=timing) for point in its_points)
        of_others = tuple(_with_recorded(plan, recorded) for plan in plans)
        servers.append(VariantPlan(variant, of_others, _memory(profile), problem, start=known.start_of(variant)))
    counted = [
        (plan.point.variant, repeats_of(plan.point.run, plan.runs))
        for each in servers
        for plan in each.points
        if plan.runs
    ]
    return StudyPlan(file, on, tuple(servers), on_record(recorded, counted))


def _recorded(file: StudyFile, points: Sequence[Point], on: Hardware, store: Store) -> Recorded:
    variants = list({id(point.variant): point.variant for point in points}.values())
    return runs_of_others(file.study.name, variants, store, {each.label: gpus_on(each, on) for each in variants})


def gpus_on(variant: StudyVariant, on: Hardware) -> tuple[str, ...]:
    """Return the GPUs of a server on an accelerator; none of one that runs on a processor."""
    needs = variant.variant.served.profile.needs
    return (on.title,) if needs is not None and needs.gpus else ()


def _with_recorded(plan: PointPlan, recorded: Recorded) -> PointPlan:
    runs = repeats_of(plan.point.run, plan.runs)
    return replace(plan, recorded=sum(1 for run in runs if recorded.study_of(plan.point.variant, run) is not None))


def with_memory_of(profile: ServerProfile, on: Hardware) -> ServerProfile:
    """Return the profile as it would be on GPUs with the memory of `on`; one without GPUs as it is."""
    if profile.needs is None or not profile.needs.gpus:
        return profile
    needs = profile.needs.model_copy(update={"gpu_memory_gb": on.memory_bytes / GB})
    return profile.model_copy(update={"needs": needs})


def _point_plan(
    file: StudyFile, point: Point, profile: ServerProfile, *, problem: str | None, timing: Timing
) -> PointPlan:
    why = problem or cannot_take(profile, _tokens(point))
    repeats = int(file.study.loads[point.load].get("repeats", file.study.repeats))
    if why is not None:
        return PointPlan(point, 0, why, Duration(None))
    return PointPlan(point, repeats, None, timing.of_run(point))


def _tokens(point: Point) -> int:
    return (point.run.input_tokens or 0) + point.run.output_tokens


def _memory(profile: ServerProfile) -> Memory | None:
    try:
        return resources(profile, None)
    except ModelError:  # `does_not_fit` says so
        return None


def _memory_json(memory: Memory) -> dict[str, int]:
    """Bytes of each GPU, the fullest if they differ."""
    return {
        "usable_bytes": memory.usable_bytes,
        "weights_bytes": memory.weights_bytes,
        "draft_weights_bytes": memory.draft_weights_bytes,
        "reserve_bytes": memory.reserve_bytes,
        "kv_cache_bytes": memory.kv_cache_bytes,
        "kv_bytes_per_token": memory.kv_bytes_per_token,
    }
