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
    marks, strokes = _marks(made), _strokes(made)
    return Legend(marks, strokes, made.names.common) if marks or strokes else None


def symbols(legend: Legend | None, colors: tuple[str, ...]) -> dict[str, Mark]:
    """Return the entry of each colour, by its full name."""
    return {} if legend is None else dict(zip(colors, legend.marks, strict=False))


def _marks(made: Compared) -> tuple[Mark, ...]:
    if len(made.colors) < 2:
        return ()
    return tuple(
        Mark(
            label=made.names[color],
            tooltip=made.names.tooltip(color),
            fill=palette.color(position),
            path=_PATHS[palette.shape(position)],
            is_baseline=color == made.view.baseline,
        )
        for position, color in enumerate(made.colors)
    )


def _strokes(made: Compared) -> tuple[Stroke, ...]:
    if len(made.lines) < 2:
        return ()
    return tuple(Stroke(line, " ".join(map(str, palette.dash(position)))) for position, line in enumerate(made.lines))
