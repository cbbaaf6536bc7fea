"""What has been measured of a study: runs on record, matched to its points by what they served and how they were loaded.

Who asked for a run does not matter, nor when: an imported result counts like one that `loadgen study run` measured. Runs of
different hardware, of made-up weights or of the simulator are different series, and are never mixed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import EnvironmentDocument, GpuAccount, ServerDocument
from loadgen.analysis.server.served_gpus import gpu_names
from loadgen.load.shapes import Wave
from loadgen.moe.hardware import known_hardware
from loadgen.servers.prediction.fitted import OUTLIERS, SERVER_NAME
from loadgen.servers.profiles.layout import UNIFORM_ROUTING
from loadgen.store.rows import AccuracyRow
from loadgen.study.accuracy import ACCURACY, STUDY_FIGURES, MeanAccuracy, mean_accuracies
from loadgen.study.claims import Value
from loadgen.study.estimate import SHORT_WAVE_S, Estimate, estimate, single_run_ratio
from loadgen.study.points import Point, load_coordinates, load_coordinates_of, telling_apart
from loadgen.study.served import Served, served_of
from loadgen.study.tiny import has_tiny_model
from loadgen.study.variants import StudyVariant

Provenance = Literal["measured", "dummy", "dummy_routed", "simulated", "tiny"]
"""Where a point comes from: a server with real weights; one with made-up weights whose experts are drawn at random, or chosen by
made-up routers, which may send all tokens to the same few; a prediction; or a tiny model in its place."""

PROVENANCE_LABELS: Mapping[Provenance, str] = {
    "measured": "measured",
    "dummy": "measured, dummy weights",
    "dummy_routed": "measured, dummy weights and routers",
    "simulated": "SIMULATED",
    "tiny": "tiny model",
}
_OF_PROVENANCE = {"load-format"}  # an argument that tells where a point comes from, not which it is
_VENDORS = re.compile(r"^(nvidia|amd|intel|cerebras)\s+(instinct\s+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """Points that may be compared with each other: of the same hardware and of the same provenance."""

    hardware: str  # `H200`, `H100 PCIe`, or the processor's name
    provenance: Provenance

    @property
    def label(self) -> str:
        """`H200, measured, dummy weights`."""
        return f"{self.hardware}, {PROVENANCE_LABELS[self.provenance]}"

    @property
    def key(self) -> str:
        """For addresses and file names: `h200-dummy`."""
        return re.sub(r"[^a-z0-9.]+", "-", f"{self.hardware}-{self.provenance}".lower()).strip("-")


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """A point of a study with the runs of one series that measured it, invalid ones left out."""

    point: Point
    series: Series
    runs: tuple[RunDocument, ...]
    distinguished_by: frozenset[str] = (
        frozenset()
    )  # coordinates of its server that tell it from other points of the study
    accuracy: MeanAccuracy | None = None  # of its server

    @property
    def coordinates(self) -> dict[str, Value]:
        return {**self.point.coordinates, "hardware": self.series.hardware}

    @property
    def wave_s(self) -> float | None:
        """Seconds that its only wave took; None if its load is no wave, or there are several runs or none."""
        if self.coordinates.get("load") != Wave.kind or len(self.runs) != 1:
            return None
        return self.runs[0]["elapsed_s"]

    @property
    def is_short_wave(self) -> bool:
        """Whether it is one wave so short that its value alone says little; a prediction has no such doubt."""
        return self.wave_s is not None and self.wave_s < SHORT_WAVE_S and self.series.provenance != "simulated"

    def values(self, figure: str, statistic: str = "p50") -> list[float]:
        found = (STUDY_FIGURES[figure].read(run, statistic) for run in self.runs)
        return [value for value in found if value is not None]

    def estimate(self, figure: str, statistic: str = "p50") -> Estimate | None:
        """A figure's value with its interval; None if it is not known."""
        if figure == ACCURACY.key:
            return None if self.accuracy is None else _estimate_of(self.accuracy)
        return estimate(
            self.values(figure, statistic),
            is_simulated=self.series.provenance == "simulated",
            single_ratio=single_run_ratio(figure, self.wave_s),
        )

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why its runs may show something other than the server, in a few words each; empty if all are valid."""
        return tuple(dict.fromkeys(doubt for run in self.runs for doubt in _doubts(run)))


def _doubts(run: RunDocument) -> Iterator[str]:
    if run["run_id"] in OUTLIERS:
        yield OUTLIERS[run["run_id"]]
    if run["verdict"]["status"] == "valid":
        return
    codes = [each["code"] for each in run["verdict"]["findings"] if each.get("severity", "doubtful") == "doubtful"]
    yield ", ".join(codes or ["doubtful"]).replace("_", " ")


class PlannedPoint(MeasuredPoint):
    """A point in the place of a measured one, to count what a claim is about. Its value says nothing."""

    __slots__ = ()

    def values(self, figure: str, statistic: str = "p50") -> list[float]:
        return [1.0]

    def estimate(self, figure: str, statistic: str = "p50") -> Estimate | None:
        return estimate([1.0])


def _estimate_of(accuracy: MeanAccuracy) -> Estimate | None:
    """An accuracy of 0 has no ratio to another; without standard errors the interval is assumed."""
    if accuracy.value <= 0:
        return None
    if accuracy.low is None or accuracy.high is None:
        return estimate([accuracy.value])
    return Estimate(accuracy.value, max(accuracy.low, accuracy.value / 100), accuracy.high)


def with_accuracy(
    points: Iterable[MeasuredPoint], evaluated: Mapping[str, Sequence[AccuracyRow]]
) -> list[MeasuredPoint]:
    """Give points of one series the accuracy of their servers, by the evaluations of the sweeps that their runs are of."""
    given = list(points)
    theirs = {
        point.point.variant.label: [
            row
            for sweep_id in dict.fromkeys(run["sweep_id"] for run in point.runs)
            for row in evaluated.get(sweep_id, ())
        ]
        for point in given
    }
    found = mean_accuracies(theirs)
    return [replace(point, accuracy=found.get(point.point.variant.label)) for point in given]


@dataclass(frozen=True, slots=True)
class FailedVariant:
    """A server of the study that did not start, by its newest attempt. `is_memory`: the model did not fit."""

    point: Point  # the first of its points
    series: Series
    is_memory: bool
    sentence: str


def series_of(run: RunDocument) -> Series:
    return series_on(run["server"], run["environment"], is_simulated=run["simulated"], gpu=run.get("gpu"))


def series_on(
    server: ServerDocument, environment: EnvironmentDocument, *, is_simulated: bool, gpu: GpuAccount | None = None
) -> Series:
    """Which series a server makes, as it is on record; `gpu` tells its own GPUs from others in the machine."""
    launch = server.get("launch") or {}
    on = hardware_label(gpu_names({"server": server, "gpu": gpu}) or (), environment.get("cpu_model"))
    if is_simulated:
        return Series(on, "simulated")
    if has_tiny_model(server):
        return Series(on, "tiny")
    is_dummy = "dummy" in (launch.get("weights"), (launch.get("arguments") or {}).get("load-format"))
    return Series(on, _by_weights(is_dummy=is_dummy, environment=launch.get("environment") or {}))


def hardware_label(gpus: Sequence[str], cpu_model: str | None) -> str:
    """Return the hardware of a series: the accelerators, or without GPUs the processor."""
    if gpus:
        return " + ".join(sorted({_short(name) for name in gpus}))
    return cpu_model or "unknown hardware"


def planned_provenance(variant: StudyVariant) -> Provenance:
    """Return the provenance that the points of a server have once it is measured."""
    profile = variant.variant.served.profile
    if profile.launcher == "simulator":
        return "simulated"
    if variant.stands_for is not None:
        return "tiny"
    is_dummy = variant.served.arguments.get("load-format") == "dummy"
    return _by_weights(is_dummy=is_dummy, environment=profile.environment)


def _by_weights(*, is_dummy: bool, environment: Mapping[str, object]) -> Provenance:
    if not is_dummy:
        return "measured"
    return "dummy" if UNIFORM_ROUTING.items() <= environment.items() else "dummy_routed"


def measured_points(points: Sequence[Point], runs: Iterable[RunDocument]) -> tuple[MeasuredPoint, ...]:
    """Match runs to points, by series and then in the order of the points.

    Invalid runs count for nothing, and of several predictions of a point the newest alone: they differ by their constants.
    """
    named = _arguments_of_the_study(points)
    by_key = {_key(point.variant.served, load_coordinates(point.run), named): point for point in points}
    found: dict[tuple[Series, int], list[RunDocument]] = {}
    places = {id(point): at for at, point in enumerate(points)}
    served_by_sweep: dict[str, Served | None] = {}  # all runs of a sweep are on one server
    for run in runs:
        if run["verdict"]["status"] == "invalid":
            continue
        if run["sweep_id"] not in served_by_sweep:
            served_by_sweep[run["sweep_id"]] = served_of(run["server"])
        served = served_by_sweep[run["sweep_id"]]
        if served is None:
            continue
        measured = by_key.get(_key(served, load_coordinates_of(run["spec"]), named))
        if measured is not None:
            found.setdefault((series_of(run), places[id(measured)]), []).append(run)
    placed, distinguished_by = sorted(found.items(), key=lambda entry: entry[0]), _distinguished_by(points, found)
    return tuple(
        MeasuredPoint(points[at], series, _repeats(runs), distinguished_by[series]) for (series, at), runs in placed
    )


def _distinguished_by(points: Sequence[Point], found: Iterable[tuple[Series, int]]) -> dict[Series, frozenset[str]]:
    """What tells the servers of a series apart: their GPUs too, where one was measured on one GPU and on those planned."""
    distinguished_by = telling_apart(point for point in points if point.variant.planned_gpus is None)
    spread: dict[Series, dict[str, set[int | None]]] = {}
    for series, at in found:
        variant = points[at].variant
        spread.setdefault(series, {}).setdefault(variant.label, set()).add(variant.planned_gpus)
    return {
        series: distinguished_by | {"gpus"} if any(len(each) > 1 for each in labels.values()) else distinguished_by
        for series, labels in spread.items()
    }


def _arguments_of_the_study(points: Iterable[Point]) -> Mapping[object, frozenset[str]]:
    """The arguments in which servers of the study differ that are of one identity, by that identity.

    Another value of those in which they agree is no other point.
    """
    servers: dict[object, dict[int, Served]] = {}
    for point in points:
        served = point.variant.served
        servers.setdefault(served.identity, {})[id(served)] = served
    found: dict[object, frozenset[str]] = {}
    for identity, members in servers.items():
        planned = [served.arguments for served in members.values()]
        names = {name for arguments in planned for name in arguments} - _OF_PROVENANCE
        found[identity] = frozenset(
            name for name in names if any(each.get(name) != planned[0].get(name) for each in planned)
        )
    return found


def _repeats(runs: Sequence[RunDocument]) -> tuple[RunDocument, ...]:
    predicted = [run for run in runs if run["server"]["name"] == SERVER_NAME]
    newest = max(predicted, key=lambda run: run["started_at"], default=None)
    return tuple(run for run in runs if run is newest or run["server"]["name"] != SERVER_NAME)


def _key(served: Served, load: Mapping[str, Value], named: Mapping[object, frozenset[str]]) -> object:
    """By what a run is recognised as one of a point: what was served and sent, not what it stands for."""
    return served.identity_by(named.get(served.identity, frozenset())), tuple(sorted(load.items()))


@cache
def _short(name: str) -> str:
    """Return `H100` for a name of the accelerator that loadgen knows so, else the name without its vendor: `H100 PCIe`."""
    known = known_hardware(name)
    return (_VENDORS.sub("", name).strip() or name) if known is None else known.label


def without_outliers(points: Iterable[MeasuredPoint]) -> Iterator[MeasuredPoint]:
    """Yield the points to judge claims by: with the runs that show the server, and only if there are any."""
    for point in points:
        runs = tuple(run for run in point.runs if run["run_id"] not in OUTLIERS)
        if runs:
            yield point if len(runs) == len(point.runs) else replace(point, runs=runs)


def as_planned(points: Sequence[Point], series: Series) -> tuple[PlannedPoint, ...]:
    """The points of servers that can be started, each as if the series had it."""
    distinguished_by = telling_apart(points)
    return tuple(
        PlannedPoint(point, series, (), distinguished_by) for point in points if point.variant.cannot_run is None
    )
