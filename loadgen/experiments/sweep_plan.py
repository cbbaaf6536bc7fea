"""What a sweep or a group would do, and what it would take: runs, time, money and disk space. Sends and starts nothing.

A figure that is not known beforehand is None, and null in JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.cost import Price
from loadgen.errors import StoreError
from loadgen.experiments import estimate
from loadgen.experiments.sweep_request import PlannedSweep
from loadgen.load.spec import RunSpec
from loadgen.servers.launcher.variant import Variant
from loadgen.servers.profiles.checks import cannot_take, does_not_fit
from loadgen.spec.runs import grid_hash, resolve, resolved_warmup_requests
from loadgen.spec.size import body_bytes
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow

_MAX_SWEEPS_READ = 20
_MAX_SWEEPS_READ_PER_VARIANT = 100


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run. `estimated_s` excludes preparation and warm-up."""

    run: RunSpec
    estimated_s: float | None
    estimated_usd: float | None  # None also without a price
    thinking_s: float  # how long the users of each caller think in all
    limit_wait_s: float  # how long rate limits make the run last, after the runs before it

    @property
    def least_s(self) -> float:
        """The least that the run takes, whatever the server does."""
        return max(self.thinking_s, self.limit_wait_s)

    @property
    def requests(self) -> int | None:
        """Planned requests; None if the server decides how many there are."""
        return self.run.planned_requests()

    @property
    def warmup_requests(self) -> int:
        return resolved_warmup_requests(self.run)

    def to_json(self) -> dict[str, object]:
        """One entry of `runs` in a plan."""
        return self.run.to_json() | {
            "hash": self.run.hash,
            "load_label": self.run.load_label,
            "planned_requests": self.requests,
            "body_bytes": body_bytes(self.run),
            "planned_warmup_requests": self.warmup_requests,
            "estimated_s": self.estimated_s,
            "estimated_usd": self.estimated_usd,
            "estimated_spool_bytes": estimate.spool_bytes(self.run),
            "estimated_database_bytes": estimate.database_bytes(self.run),
            "thinking_s": self.thinking_s,
            "limit_wait_s": self.limit_wait_s,
        }


@dataclass(frozen=True, slots=True)
class SweepPlan:
    runs: tuple[RunPlan, ...]
    price: Price | None
    tasks: tuple[str, ...] = ()  # on which the server is evaluated, in no estimate

    @classmethod
    def of(
        cls,
        runs: Sequence[RunSpec],
        took_s: Mapping[str, float],
        price: Price | None = None,
        *,
        tasks: tuple[str, ...] = (),
    ) -> "SweepPlan":
        """Plan `runs`; `took_s` has the durations of earlier runs by point hash, `price` the price of the server."""
        return cls(
            tuple(
                _run_plan(run, wait_s, took_s, price)
                for run, wait_s in zip(runs, estimate.limit_waits_s(runs), strict=True)
            ),
            price,
            tasks,
        )

    @property
    def specs(self) -> list[RunSpec]:
        return [each.run for each in self.runs]

    @property
    def estimated_s(self) -> float | None:
        """Seconds that all runs take, without preparation and warm-ups."""
        return estimate.sum_known(each.estimated_s for each in self.runs)

    @property
    def estimated_usd(self) -> float | None:
        """Dollars that all runs cost; None also without a price."""
        return estimate.sum_known(each.estimated_usd for each in self.runs)

    @property
    def estimated_spool_bytes(self) -> int | None:
        """Temporary files of the run that needs most of them."""
        return estimate.most_spool_bytes(self.specs)

    @property
    def estimated_database_bytes(self) -> int | None:
        return estimate.sum_database_bytes(self.specs)

    def to_json(self) -> dict[str, object]:
        """The plan as `sweep --plan --json` shows it."""
        return {
            "schema_version": 1,
            "spec_hash": grid_hash(self.specs),
            "estimated_s": self.estimated_s,
            "estimated_usd": self.estimated_usd,
            "estimated_spool_bytes": self.estimated_spool_bytes,
            "estimated_database_bytes": self.estimated_database_bytes,
            "accuracy_tasks": list(self.tasks),
            "runs": [each.to_json() for each in self.runs],
        }


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """One server of a group, and the sweep on it. `start_s` is how long its last start took."""

    variant: Variant
    starts: int
    sweep: SweepPlan
    took_s: Mapping[str, float]  # durations of earlier runs on this variant, by point hash
    start_s: float | None

    @property
    def gpus(self) -> int:
        """GPUs that the server occupies; 0 for a server that loadgen does not start."""
        needs = self.variant.served.profile.needs
        return 0 if needs is None else needs.gpus

    @property
    def problem(self) -> str | None:
        """Why the server cannot start, or cannot serve the lengths of the sweep; None if no reason is known."""
        profile = self.variant.served.profile
        lengths = (run.input_tokens + run.output_tokens for run in self.sweep.specs if run.input_tokens)
        return cannot_take(profile, max(lengths, default=0)) or does_not_fit(profile)

    @property
    def estimated_s(self) -> float | None:
        """Seconds of all starts and runs, without warm-ups."""
        measuring_s = self.sweep.estimated_s
        return None if measuring_s is None or self.start_s is None else measuring_s + self.starts * self.start_s

    @property
    def gpu_hours(self) -> float | None:
        if self.gpus == 0:
            return 0.0
        return None if self.estimated_s is None else self.gpus * self.estimated_s / 3600

    @property
    def estimated_usd(self) -> float | None:
        """Dollars: starts included if the price is per GPU hour."""
        price = self.sweep.price
        if price is None:
            return None
        if price.is_by_time:
            return None if self.estimated_s is None else price.of_time_usd(self.estimated_s)
        return self.sweep.estimated_usd

    def to_json(self) -> dict[str, object]:
        """One entry of `sweeps` in the plan of a group."""
        return self.sweep.to_json() | {
            **self.variant.to_json(),
            "label": self.variant.label,
            "starts": self.starts,
            "start_s": self.start_s,
            "gpus": self.gpus,
            "problem": self.problem,
            "estimated_s": self.estimated_s,
            "gpu_hours": self.gpu_hours,
            "estimated_usd": self.estimated_usd,
        }


@dataclass(frozen=True, slots=True)
class GroupPlan:
    servers: tuple[ServerPlan, ...]

    @property
    def starts(self) -> int:
        return sum(each.starts for each in self.servers)

    @property
    def estimated_s(self) -> float | None:
        """Seconds of all starts and runs, without warm-ups."""
        return estimate.sum_known(each.estimated_s for each in self.servers)

    @property
    def gpu_hours(self) -> float | None:
        return estimate.sum_known(each.gpu_hours for each in self.servers)

    @property
    def estimated_usd(self) -> float | None:
        return estimate.sum_known(each.estimated_usd for each in self.servers)

    def to_json(self) -> dict[str, object]:
        """The plan as `sweep --plan --json` shows it over profiles."""
        specs = [run for each in self.servers for run in each.sweep.specs]
        return {
            "schema_version": 1,
            "starts": self.starts,
            "estimated_s": self.estimated_s,
            "gpu_hours": self.gpu_hours,
            "estimated_usd": self.estimated_usd,
            "estimated_spool_bytes": estimate.most_spool_bytes(specs),
            "estimated_database_bytes": estimate.sum_database_bytes(specs),
            "sweeps": [each.to_json() for each in self.servers],
        }


def plan_sweep(
    db: str, runs: Sequence[RunSpec], price: Price | None = None, *, tasks: tuple[str, ...] = ()
) -> SweepPlan:
    """Plan `runs`, with the durations of runs like them in the database at `db`. `tasks` are those that the server is evaluated on."""
    return SweepPlan.of(runs, _earlier(db, runs, None)[0], price, tasks=tasks)


def plan_group(db: str, sweeps: Sequence[PlannedSweep], *, interleave: bool) -> GroupPlan:
    """Plan `sweeps`, each on the profile that it names, with the durations of runs like them on the same variants."""
    servers = []
    for sweep in sweeps:
        assert sweep.variant is not None, "a group runs on profiles"
        variant, runs = sweep.variant, resolve(sweep.spec)
        took_s, start_s = _earlier(db, runs, variant)
        accuracy = sweep.spec.accuracy
        tasks = () if accuracy is None else tuple(accuracy.tasks)
        plan = SweepPlan.of(runs, took_s, sweep.spec.price_list, tasks=tasks)
        starts = sweep.spec.repeats if interleave else 1
        servers.append(ServerPlan(variant, starts, sweep=plan, took_s=took_s, start_s=start_s))
    return GroupPlan(tuple(servers))


def _run_plan(run: RunSpec, wait_s: float, took_s: Mapping[str, float], price: Price | None) -> RunPlan:
    stated = estimate.stated_s(run)
    known_s = stated if stated is not None else took_s.get(run.point.hash)
    estimated_s = None if known_s is None else max(known_s, wait_s)
    usd = None if price is None else estimate.estimated_usd(run, price, estimated_s)
    return RunPlan(run, estimated_s, estimated_usd=usd, thinking_s=estimate.thinking_s(run), limit_wait_s=wait_s)


def _earlier(db: str, runs: Sequence[RunSpec], variant: Variant | None) -> tuple[dict[str, float], float | None]:
    """The seconds that the newest stored run of each load point took, by point hash, and those of the last start of `variant`.

    Only runs on `variant` count, if it is given; nothing is known without a database.
    """
    took_s: dict[str, float] = {}
    start_s: float | None = 0.0 if variant is not None and variant.profile.launcher == "external" else None
    most = _MAX_SWEEPS_READ if variant is None else _MAX_SWEEPS_READ_PER_VARIANT
    try:
        with Store.open(db, read_only=True) as store:
            for sweep in store.sweeps()[:most]:
                # Without a variant: the durations of another machine say nothing of this one.
                if sweep.imported is None if variant is None else _is_on(sweep, variant):
                    if start_s is None:
                        start_s = (sweep.server.get("launch") or {}).get("startup_s")
                    _add_durations(took_s, store, sweep, runs)
    except StoreError:
        return {}, start_s
    return took_s, start_s


def _is_on(sweep: SweepRow, variant: Variant) -> bool:
    same_overrides = sweep.spec.get("overrides", {}) == variant.overrides.to_json()
    return bool(sweep.server.get("profile") == variant.name and same_overrides)


def _add_durations(took_s: dict[str, float], store: Store, sweep: SweepRow, runs: Sequence[RunSpec]) -> None:
    """Add the durations of the sweep's runs at the points of `runs`, unless `took_s` has newer ones."""
    points = {run.point.hash for run in runs}
    documents: list[RunDocument] = store.runs(sweep.sweep_id)
    for document in documents:
        if document["spec"]["point_hash"] in points and not document["interrupted"]:
            took_s.setdefault(document["spec"]["point_hash"], document["elapsed_s"])
