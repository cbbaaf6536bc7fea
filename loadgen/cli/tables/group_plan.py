"""`sweep --plan` over server profiles: which are started how often, for about how long, at what cost. Starts and sends nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from loadgen.analysis.figures.cost import Price
from loadgen.cli.tables.plan import plan_document, plan_table, total_s
from loadgen.cli.tables.sweep import plain_table
from loadgen.errors import StoreError
from loadgen.experiments.estimate import estimated_usd, most_spool_bytes, sum_database_bytes
from loadgen.experiments.sweep_request import PlannedSweep
from loadgen.load.spec import RunSpec
from loadgen.report.format import MISSING_FIGURE, dollars, number, plural, seconds
from loadgen.servers.launcher.variant import Variant
from loadgen.servers.profiles.checks import cannot_take, does_not_fit
from loadgen.spec.runs import resolve

_SWEEPS_LOOKED_THROUGH = 100


@dataclass(frozen=True, slots=True)
class PlannedVariant:
    """One server and what is measured on it. `took_s` are earlier durations by point hash, `start_s` is how long a start took."""

    variant: Variant
    starts: int
    runs: tuple[RunSpec, ...]
    took_s: dict[str, float]
    start_s: float | None
    price: Price | None

    @property
    def gpus(self) -> int:
        """How many it takes for as long as it runs; 0 where they are not ours."""
        needs = self.variant.served.profile.needs
        return 0 if needs is None else needs.gpus

    @property
    def problem(self) -> str | None:
        """Why the server cannot start, or cannot take the lengths that are asked; None where that is not known."""
        profile = self.variant.served.profile
        asked = max((run.input_tokens + run.output_tokens for run in self.runs if run.input_tokens), default=0)
        return cannot_take(profile, asked) or does_not_fit(profile)

    @property
    def estimated_s(self) -> float | None:
        """Starts and runs, without warm-ups; None where no run like these is on record and none states its duration."""
        measuring_s = total_s(self.runs, self.took_s)
        return None if measuring_s is None or self.start_s is None else measuring_s + self.starts * self.start_s

    @property
    def gpu_hours(self) -> float | None:
        """GPUs × time; None where the time is not known."""
        if self.gpus == 0:
            return 0.0
        return None if self.estimated_s is None else self.gpus * self.estimated_s / 3600

    @property
    def estimated_usd(self) -> float | None:
        """By the hour of a GPU, starts included, or by tokens; None without a price, or where what is paid is not known."""
        if self.price is None:
            return None
        if self.price.is_by_time:
            return None if self.estimated_s is None else self.price.of_time_usd(self.estimated_s)
        return _sum(estimated_usd(run, self.price, None) for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """The plan of its sweep, and what its server takes."""
        return plan_document(self.runs, self.took_s, self.price) | {
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


def group_plan(db: str, parts: Sequence[PlannedSweep], *, interleave: bool) -> list[PlannedVariant]:
    """What is to happen on each server."""
    planned = []
    for part in parts:
        assert part.serving is not None, "a plan over profiles"
        variant, runs = part.serving.variant, tuple(resolve(part.spec))
        took_s, start_s = _earlier(db, variant, runs)
        starts = part.spec.repeats if interleave else 1
        planned.append(PlannedVariant(variant, starts, runs, took_s, start_s, part.spec.price_list))
    return planned


def group_plan_document(planned: Sequence[PlannedVariant]) -> dict[str, Any]:
    """The plan as JSON: that of each sweep, and sums, null where a part of one is not known."""
    return {
        "schema_version": 1,
        "starts": sum(each.starts for each in planned),
        "estimated_s": _sum(each.estimated_s for each in planned),
        "gpu_hours": _sum(each.gpu_hours for each in planned),
        "estimated_usd": _sum(each.estimated_usd for each in planned),
        "estimated_spool_bytes": most_spool_bytes([run for each in planned for run in each.runs]),
        "estimated_database_bytes": sum_database_bytes([run for each in planned for run in each.runs]),
        "sweeps": [each.to_json() for each in planned],
    }


def group_plan_table(planned: Sequence[PlannedVariant]) -> RenderableType:
    """The plan for people: the servers, and the runs on each where they are not the same on all."""
    table = plain_table()
    table.add_column("server")
    priced = any(each.price is not None for each in planned)
    for header in ("starts", "runs", "GPUs", "about", "GPU-hours", *(["cost"] if priced else [])):
        table.add_column(header, justify="right", no_wrap=True)
    for each in planned:
        table.add_row(
            each.variant.label,
            str(each.starts),
            str(len(each.runs)),
            str(each.gpus),
            _time(each.estimated_s),
            number(each.gpu_hours),
            *([dollars(each.estimated_usd)] if priced else []),
        )
    total = group_plan_document(planned)
    parts = [plural(total["starts"], "start"), plural(sum(len(each.runs) for each in planned), "run")]
    if total["estimated_s"] is None:
        parts.append("how long depends on the servers: not all of them are on record with starts and runs like these")
    else:
        parts.append(f"about {_time(total['estimated_s'])} and the warm-ups, {number(total['gpu_hours'])} GPU-hours")
    if total["estimated_usd"] is not None:
        parts.append(f"about {dollars(total['estimated_usd'])}")
    shown = [planned[0]] if _same_runs(planned) else planned
    grids = [Group(Text(_of(each, planned)), plan_table(each.runs, each.took_s, each.price)) for each in shown]
    problems = [Text(f"{each.variant.label}: {each.problem}", style="yellow") for each in planned if each.problem]
    told = Text(f"{'; '.join(parts)}. Nothing was started or sent.")
    return Group(table, *problems, *([Text()] if problems else []), told, Text(), *grids)


def _of(each: PlannedVariant, planned: Sequence[PlannedVariant]) -> str:
    return "on each of them:" if len(planned) > 1 and _same_runs(planned) else f"on {each.variant.label}:"


def _same_runs(planned: Sequence[PlannedVariant]) -> bool:
    """Whether one table tells the runs on all servers: the same, and as long as far as anybody knows."""
    first = planned[0]
    return all(_points(each) == _points(first) and each.took_s == first.took_s for each in planned)


def _points(each: PlannedVariant) -> list[tuple[object, ...]]:
    return [(run.load_label, run.input_tokens, run.output_tokens, run.seed) for run in each.runs]


def _earlier(db: str, variant: Variant, runs: Sequence[RunSpec]) -> tuple[dict[str, float], float | None]:
    """How long the newest run of each load point took on this variant, by point hash, and how long its last start took."""
    from loadgen.store.repository import Store

    wanted = {run.point.hash for run in runs}
    took_s: dict[str, float] = {}
    start_s: float | None = 0.0 if variant.profile.launcher == "external" else None
    try:
        with Store.open(db, read_only=True) as store:
            for sweep in store.sweeps()[:_SWEEPS_LOOKED_THROUGH]:
                if (
                    sweep.server.get("profile") != variant.name
                    or sweep.spec.get("overrides", {}) != variant.overrides.to_json()
                ):
                    continue
                start_s = start_s if start_s is not None else sweep.server["launch"].get("startup_s")
                for document in store.runs(sweep.sweep_id):
                    if document["spec"]["point_hash"] in wanted and not document["interrupted"]:
                        took_s.setdefault(document["spec"]["point_hash"], document["elapsed_s"])
    except StoreError:
        return {}, start_s
    return took_s, start_s


def _sum(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _time(duration_s: float | None) -> str:
    return MISSING_FIGURE if duration_s is None else seconds(round(duration_s))
