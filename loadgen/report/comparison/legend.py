"""The one legend of a comparison: colours with their shapes, and the dashes that tell lines of one colour apart.

The shapes are those that Vega draws, as paths in a square from -1 to 1.
"""

from dataclasses import dataclass

from loadgen.report.charts import palette
from loadgen.report.comparison.compared import Compared

_PATHS = {
    "circle": "M-.8 0A.8 .8 0 1 1 .8 0A.8 .8 0 1 1-.8 0Z",
    "square": "M-.7-.7H.7V.7H-.7Z",
    "triangle-up": "M0-.8L.9 .7H-.9Z",
    "triangle-down": "M0 .8L.9-.7H-.9Z",
    "triangle-right": "M.8 0L-.7 .9V-.9Z",
    "triangle-left": "M-.8 0L.7 .9V-.9Z",
    "diamond": "M0-1L.75 0L0 1L-.75 0Z",
    "cross": "M-.9-.3H-.3V-.9H.3V-.3H.9V.3H.3V.9H-.3V.3H-.9Z",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A colour's entry: its short name, the full one if it was cut, and its symbol."""

    label: str
    tooltip: str
    fill: str
    path: str
    is_baseline: bool


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line's entry: what tells it from others of its colour, and its dashes."""

    label: str
    dashes: str


@dataclass(frozen=True, slots=True)
class Legend:
    """What the charts leave out. `common` is what the names have in common, empty if they are whole."""

    marks: tuple[Mark, ...]
    strokes: tuple[Stroke, ...]
    common: str


def legend_of(made: Compared) -> Legend | None:
    """Return the legend of all charts; None if there is one line only."""
    marks = [_mark(made, color, position) for position, color in enumerate(made.colors)]
    strokes = [Stroke(line, " ".join(map(str, palette.dash(at)))) for at, line in enumerate(made.lines)]
    if len(marks) < 2 and len(strokes) < 2:
        return None
    several = tuple(marks if len(marks) > 1 else ()), tuple(strokes if len(strokes) > 1 else ())
    return Legend(*several, made.names.common)


def symbols(legend: Legend | None, colors: tuple[str, ...]) -> dict[str, Mark]:
    """Return the entry of each colour, by its full name."""
    return {} if legend is None else dict(zip(colors, legend.marks, strict=False))


def _mark(made: Compared, color: str, position: int) -> Mark:
    return Mark(
        label=made.names[color],
        tooltip=made.names.tooltip(color),
        fill=palette.color(position),
        path=_PATHS[palette.shape(position)],
        is_baseline=color == made.view.baseline,
    )
