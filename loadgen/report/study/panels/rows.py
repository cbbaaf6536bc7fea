"""The marks of a panel: what one series shows of it, with the scales that all series share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from loadgen.analysis.bound import bound_of
from loadgen.analysis.figures.figure import Figure
from loadgen.report.format import is_number, shown_factor
from loadgen.report.points import Pooled, pool
from loadgen.study.accuracy import ACCURACY, STUDY_FIGURES
from loadgen.study.claims import Value, name_words
from loadgen.study.measured import MeasuredPoint
from loadgen.study.points import Point, is_at
from loadgen.study.schema import Panel

_TITLES: Mapping[str, str] = {
    "batch": "Batch size",
    "length": "Tokens in, and tokens out",
    "input_tokens": "Input tokens",
    "output_tokens": "Output tokens",
    "top_k": "Active experts",
    "experts": "Experts",
    "ffn_size": "FFN size of an expert",
    "gpus": "GPUs",
    "model": "Model",
    "draft_tokens": "Draft tokens",
    "acceptance_length": "Tokens accepted a step, as stated",
}
_LENGTHS = {"length", "input_tokens", "output_tokens"}
_OF_ANY = ("model", "load", "batch", "length", "input_tokens", "output_tokens", "gpus")
_SHORT: Mapping[str, str] = {
    "length": "{} in and out",
    "top_k": "top-{}",
    "experts": "{} experts",
    "ffn_size": "FFN {}",
}

_FARTHEST_BOUND = 1.25  # times the highest mark, which a bound may stretch the scale to
_LONGEST_BAR = 1.6  # times the highest mark, likewise


@dataclass(frozen=True, slots=True)
class PanelMark:
    """One point of a panel. Values are in the figure's own unit; `bound` None: not known."""

    x: Value
    colour: Value | None
    facet: Value | None
    pooled: Pooled
    status: Literal["valid", "doubtful"]
    bound: float | None
    point: MeasuredPoint
    rest: str = ""  # what tells it from another mark at the same place


@dataclass(frozen=True, slots=True)
class Ends:
    """Of a figure's scale, in its unit. `highest_bar` is the upper end of the longest bar."""

    lowest: float
    highest: float
    highest_bar: float
    highest_bound: float | None


@dataclass(frozen=True, slots=True)
class PanelScales:
    """What all charts of a panel share: the values along each axis in order, and the ends of the figure's scale.

    A facet has ends of its own if the facets are models, which differ by much; else all facets have the same.
    `palette` is all colours that the study plans, in order, so that one value has one colour in all panels of a page.
    """

    panel: Panel
    figure: Figure
    xs: tuple[Value, ...]
    colours: tuple[Value, ...]
    palette: tuple[Value, ...]
    facets: tuple[Value, ...]
    by_facet: Mapping[Value | None, Ends]

    @property
    def is_bar(self) -> bool:
        """Whether the marks stand next to names, not along numbers."""
        return self.panel.kind == "bar" or (self.panel.kind == "line" and not all(map(is_number, self.xs)))

    @property
    def is_line(self) -> bool:
        """Whether the marks stand along numbers."""
        return self.panel.kind == "line" and not self.is_bar

    @property
    def title(self) -> str:
        """What is drawn, with its statistic."""
        return self.figure.name(self.panel.statistic)


def bound_percent(scales: PanelScales, mark: PanelMark) -> float | None:
    """How much of the roofline bound a mark reaches: of a duration, the bound over the value."""
    if mark.bound is None:
        return None
    return 100 * (mark.pooled.mean / mark.bound if scales.figure.better == "higher" else mark.bound / mark.pooled.mean)


def ends_of(scales: PanelScales, marks: Sequence[PanelMark]) -> tuple[bool, float, float]:
    """Whether the scale of the figure is logarithmic, and its ends, in the unit that is shown.

    The marks fill it: a bound that lies far beyond them leaves the chart.
    """
    factor, ends = shown_factor(scales.figure.unit), scales.by_facet[marks[0].facet]
    low, high = ends.lowest * factor, (ends.highest or 1.0) * factor
    high = max(high, min(ends.highest_bar * factor, high * _LONGEST_BAR))
    if ends.highest_bound is not None:
        high = max(high, min(ends.highest_bound, ends.highest * _FARTHEST_BOUND) * factor)
    if scales.panel.log_y and low > 0:
        return True, low / 1.5, high * 1.5
    return False, 0.0, high * 1.1


def axis_title(key: str) -> str:
    """`Batch size`: a coordinate as the title of an axis."""
    return _TITLES.get(key, key.replace("_", " ").capitalize())


def label(key: str, value: Value) -> str:
    """`128 in and out`: the value of a coordinate by itself, as in a legend."""
    text = text_of(value)
    if key in _SHORT:
        return _SHORT[key].format(text)
    return text if isinstance(value, str) else f"{name_words(key)} {text}"


def text_of(value: Value) -> str:
    """`1,024`, `yes`, `fp8`: the value of a coordinate under its name."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:,}"


def marks_of(panel: Panel, points: Iterable[MeasuredPoint]) -> list[PanelMark]:
    """The points of one series that the panel shows, in the order of the study."""
    figure = STUDY_FIGURES[panel.y]
    found = []
    for point in points:
        at = point.coordinates
        if panel.x not in at or not is_at(at, panel.where):
            continue
        pooled = _pooled(figure, panel.statistic, point)
        if pooled is None:
            continue
        is_doubtful = bool(point.doubts) and figure is not ACCURACY  # which is of the server, not of its runs
        status: Literal["valid", "doubtful"] = "doubtful" if is_doubtful else "valid"
        colour = None if panel.colour is None else at.get(panel.colour)
        facet = None if panel.facet is None else at.get(panel.facet)
        bound = bound_of(point.runs[0], panel.y)
        found.append(PanelMark(at[panel.x], colour, facet, pooled, status, bound, point))
    return _distinguished(found, {panel.x, panel.colour, panel.facet})


def _pooled(figure: Figure, statistic: str, point: MeasuredPoint) -> Pooled | None:
    """The figure over the repeats; the accuracy of the server with the interval of its tasks."""
    if figure is not ACCURACY:
        return pool([figure.read(run, statistic) for run in point.runs])
    accuracy = point.accuracy
    return None if accuracy is None else Pooled(accuracy.value, accuracy.low, accuracy.high, len(point.runs))


def _distinguished(marks: list[PanelMark], shown: set[str | None]) -> list[PanelMark]:
    """The marks, each with what its panel does not show and others at its place differ in."""
    places: dict[tuple[object, ...], list[PanelMark]] = {}
    for mark in marks:
        places.setdefault((mark.x, mark.colour, mark.facet), []).append(mark)
    keys = dict.fromkeys(
        key
        for together in places.values()
        for key in _differing([mark.point for mark in together])
        if key not in shown and not (key in _LENGTHS and shown & _LENGTHS)
    )
    if "length" in keys:
        keys = dict.fromkeys(key for key in keys if key == "length" or key not in _LENGTHS)
    return [replace(mark, rest=_rest(mark.point, keys)) for mark in marks] if keys else marks


def _differing(points: Sequence[MeasuredPoint]) -> list[str]:
    """The coordinates of the load, the model and the study's settings in which points differ."""
    keys = dict.fromkeys((*(key for point in points for key in point.point.variant.settings), *_OF_ANY))
    return [key for key in keys if len({point.coordinates.get(key) for point in points}) > 1]


def _rest(point: MeasuredPoint, keys: Iterable[str]) -> str:
    at = point.coordinates
    return ", ".join(label(key, at[key]) for key in keys if key in at)


def stand_ins(marks: Iterable[PanelMark]) -> str:
    """The tiny models that were served in the place of others, by name; empty if none was."""
    variants = (mark.point.point.variant for mark in marks)
    names = dict.fromkeys(each.variant.served.profile.request_model for each in variants if each.stands_for is not None)
    return ", ".join(names)


def scales_of(panel: Panel, planned: Iterable[Point], marks: Sequence[PanelMark]) -> PanelScales | None:
    """The scales that these marks, of all series, share; None without marks."""
    if not marks:
        return None
    coordinates = [point.coordinates for point in planned]
    shown = [at for at in coordinates if is_at(at, panel.where)]
    found = [mark.colour for mark in marks]
    every = [] if panel.colour is None else [at[panel.colour] for at in coordinates if panel.colour in at]
    return PanelScales(
        panel,
        STUDY_FIGURES[panel.y],
        xs=_values(panel.x, shown, [mark.x for mark in marks]),
        colours=_values(panel.colour, shown, found),
        palette=_values(panel.colour, coordinates, [*every, *found]),
        facets=_values(panel.facet, shown, [mark.facet for mark in marks]),
        by_facet={
            facet: _ends([mark for mark in marks if panel.facet != "model" or mark.facet == facet])
            for facet in {mark.facet for mark in marks}
        },
    )


def _ends(marks: Sequence[PanelMark]) -> Ends:
    means = [mark.pooled.mean for mark in marks]
    return Ends(
        min(means),
        max(means),
        highest_bar=max(mark.pooled.high or mark.pooled.mean for mark in marks),
        highest_bound=max((mark.bound for mark in marks if mark.bound is not None), default=None),
    )


def _values(
    key: str | None, planned: Iterable[Mapping[str, Value]], found: Iterable[Value | None]
) -> tuple[Value, ...]:
    """The values of a coordinate: numbers ascending, names in the order of the study."""
    if key is None:
        return ()
    order = dict.fromkeys(each[key] for each in planned if key in each)
    order |= dict.fromkeys(value for value in found if value is not None)
    there = set(found)
    values = [value for value in order if value in there]
    return tuple(sorted(values)) if all(map(is_number, values)) else tuple(values)
