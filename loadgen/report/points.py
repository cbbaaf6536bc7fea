"""Runs pooled to load points: what varies over a sweep, and each point's mean over its repeats.

An invalid run never enters a point; a doubtful one marks its point doubtful.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.stats import mean_interval
from loadgen.analysis.verdict import usable_runs
from loadgen.load.shapes import ShapeDocument, shape_class, shape_from_json, value_in_json
from loadgen.report.format import setting

_LABELS = {metric.key: metric.label for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Table:
    """Figures as text: those behind a chart, for who wants to read or copy them, or a table by itself."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something that a grid can vary: its name in prose, a short form for legends, and how to read it from a run."""

    key: str
    label: str
    short: str  # a format of one value
    read: Callable[[RunDocument], Any]

    @property
    def label_in_prose(self) -> str:
        """The label within a sentence: flags and abbreviations as they are written."""
        return self.label if self.label[1:2].isupper() else self.label[:1].lower() + self.label[1:]

    def text(self, document: RunDocument) -> str:
        value = self.read(document)
        return self.short.format(setting(value) if isinstance(value, int | float) else value)


def load_value(document: RunDocument) -> float:
    """The one number of a load shape: concurrency, wave size, or offered rate in requests per second."""
    return value_in_json(document["spec"]["shape"])


LOAD = Dimension("load", "Load", "load {}", load_value)


def load_label(runs: Iterable[RunDocument]) -> str:
    """What the load of these runs is called on an axis: as their one kind of shape is, else `Load`."""
    shapes = {shape_class(run["spec"]["shape"]) for run in runs if run["spec"].get("shape")}
    return next(iter(shapes)).axis_label if len(shapes) == 1 else LOAD.label


def _ramp(shape: ShapeDocument) -> str:
    process = shape_from_json(shape).process
    ramp = None if process is None else process.ramp
    return "" if ramp is None else f"{ramp.strategy} ramp to {ramp.to_per_s:g}/s over {ramp.over_s:g} s"


def limits_label(slo: Mapping[str, float]) -> str:
    """The limits of an SLO: `TTFT ≤ 500 ms, TPOT ≤ 50 ms`."""
    return ", ".join(f"{_LABELS.get(key, key)} ≤ {setting(limit_s * 1000)} ms" for key, limit_s in slo.items())


INPUT_TOKENS = Dimension("input_tokens", "Input tokens", "{} in", lambda run: run["spec"]["input_tokens"] or 0)
OUTPUT_TOKENS = Dimension("output_tokens", "Output tokens", "{} out", lambda run: run["spec"]["output_tokens"])
OTHERS = (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Dimension("kind", "Shape", "{}", lambda run: run["spec"]["shape"]["kind"].replace("_", " ")),
    Dimension("arrivals", "Arrivals", "{}", lambda run: run["spec"]["shape"].get("arrivals", "")),
    Dimension("ramp", "Ramp", "{}", lambda run: _ramp(run["spec"]["shape"])),
    Dimension(
        "max_in_flight",
        "max-in-flight",
        "at most {} in flight",
        lambda run: run["spec"]["shape"].get("max_in_flight", ""),
    ),
    Dimension("slo", "SLO", "{}", lambda run: limits_label(run["spec"].get("slo") or {}) or "no SLO"),
    Dimension("endpoint", "Endpoint", "{}", lambda run: run["spec"]["endpoint"]),
    Dimension("model", "Model", "{}", lambda run: run["spec"]["model"]),
    Dimension("url", "Server", "{}", lambda run: run["spec"]["url"]),
)


def varies(dimension: Dimension, runs: Sequence[RunDocument]) -> bool:
    return len({dimension.read(run) for run in runs}) > 1


@dataclass(frozen=True, slots=True)
class Axes:
    """What a sweep's charts run along, and what tells their lines apart."""

    x: Dimension
    x_label: str
    series: tuple[Dimension, ...]

    def series_text(self, document: RunDocument) -> str:
        """The line that a run belongs to, in words; empty when there is only one."""
        return " · ".join(dimension.text(document) for dimension in self.series)

    def rank(self, document: RunDocument) -> tuple[Any, ...]:
        """Where a run stands in a table: by line, then along x. Numbers come before words, which stand for no number."""
        read = [*(dimension.read(document) for dimension in self.series), self.x.read(document)]
        return tuple((isinstance(value, str), value) for value in read)

    @property
    def series_label(self) -> str:
        return ", ".join(dimension.label_in_prose for dimension in self.series)


def axes(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> Axes:
    """The load along x when it varies, else a length; whatever else varies makes the lines.

    `names` are those of sweeps by id. Where the runs are of several, each has lines of its own, and what is one and the same
    throughout each sweep, such as its model, is left to the name.
    """
    x = next((dimension for dimension in (LOAD, INPUT_TOKENS, OUTPUT_TOKENS) if varies(dimension, runs)), LOAD)
    label = load_label(runs) if x is LOAD else x.label
    lines = tuple(dimension for dimension in OTHERS if dimension is not x and varies(dimension, runs))
    sweep_ids = dict.fromkeys(run["sweep_id"] for run in runs)
    if len(sweep_ids) > 1:
        sweep = Dimension("sweep", "Sweep", "{}", lambda run: (names or {}).get(run["sweep_id"], run["sweep_id"]))
        sweeps = [[run for run in runs if run["sweep_id"] == sweep_id] for sweep_id in sweep_ids]
        lines = (sweep, *(each for each in lines if any(varies(each, of_one) for of_one in sweeps)))
    return Axes(x, label, lines)


MIN_FOR_INTERVAL = 3  # with two, Student's t is 12.7: the interval says nothing and covers the whole chart


@dataclass(frozen=True, slots=True)
class Pooled:
    """A figure over the repeats of a point: their mean, and `low` to `high` around it.

    That is the mean's 95 % interval from three repeats on, the least and greatest of two, None for one.
    """

    mean: float
    low: float | None
    high: float | None
    runs: int

    @property
    def half_spread(self) -> float | None:
        """Half the distance from `low` to `high`; None for one repeat."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def pool(values: Sequence[float | None]) -> Pooled | None:
    """Pool what there is; None when no repeat has the figure."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = None, None
    if len(known) >= MIN_FOR_INTERVAL:
        low, high = mean_interval(known) or (None, None)
    elif len(known) > 1:
        low, high = min(known), max(known)
    return Pooled(sum(known) / len(known), low, high, len(known))


def spread_label(repeats: Iterable[int]) -> str:
    """What `low` to `high` is called over points of so many repeats: the interval, the range, or each where it holds."""
    counts = [count for count in repeats if count > 1]
    if all(count >= MIN_FOR_INTERVAL for count in counts):
        return "95 % interval"
    if all(count < MIN_FOR_INTERVAL for count in counts):
        return "range of repeats"
    return f"95 % interval (range under {MIN_FOR_INTERVAL} runs)"


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """A load point with its repeats, in the order in which they ran."""

    x: float
    series: str
    runs: tuple[RunDocument, ...]

    @property
    def status(self) -> Literal["valid", "doubtful"]:
        """Doubtful as soon as one of its repeats is not valid."""
        return "valid" if all(run["verdict"]["status"] == "valid" for run in self.runs) else "doubtful"

    def pooled(self, read: Callable[[RunDocument], float | None]) -> Pooled | None:
        return pool([read(run) for run in self.runs])


def points(runs: Sequence[RunDocument], along: Axes) -> list[LoadPoint]:
    """The points of a sweep without its invalid runs, by series and x, series in order of their values."""
    return load_points(usable_runs(runs), along)


def load_points(runs: Sequence[RunDocument], along: Axes) -> list[LoadPoint]:
    """Return the points of these runs, invalid ones included, in the order of `points`."""
    groups: dict[tuple[str, str], list[RunDocument]] = {}
    for run in runs:
        groups.setdefault((along.series_text(run), run["spec"]["point_hash"]), []).append(run)

    return [
        LoadPoint(float(along.x.read(group[0])), along.series_text(group[0]), tuple(group))
        for group in sorted(groups.values(), key=lambda group: along.rank(group[0]))
    ]
