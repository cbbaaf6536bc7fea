"""A small picture of a study for the index: the lines or bars of one panel, without axes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadgen.report.charts import palette
from loadgen.report.study.panels.rows import PanelMark, PanelScales, marks_of, scales_of
from loadgen.report.study.results import SeriesResults, StudyResults
from loadgen.report.study.sizes import agreements, experts_share
from loadgen.study.claims import Value

WIDTH, HEIGHT = 240, 96
_EDGE = 8


@dataclass(frozen=True, slots=True)
class ThumbnailStroke:
    path: str
    colour: str
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The picture, and what it is of; without strokes, there is nothing to draw yet."""

    strokes: tuple[ThumbnailStroke, ...]
    of: str


NOTHING = Thumbnail((), "")


def thumbnail(results: StudyResults) -> Thumbnail:
    """The picture of a study: of its strongest series, the first panel with more than single marks, else the first with any."""
    if not results.file.study.needs_server:
        return _sizes(results)
    first = NOTHING
    for each in _pictures(results):
        if any(stroke.is_filled or "L" in stroke.path for stroke in each.strokes):
            return each
        first = first if first.strokes else each
    return first


def _pictures(results: StudyResults) -> Iterator[Thumbnail]:
    for series in results.by_series:
        for panel in results.file.study.panels:
            marks = marks_of(panel, series.points)
            scales = scales_of(panel, results.points, marks)
            if scales is not None:
                yield _drawn(scales, marks, series)


def _drawn(scales: PanelScales, marks: Sequence[PanelMark], series: SeriesResults) -> Thumbnail:
    facet = scales.facets[0] if scales.facets else None
    shown = [mark for mark in marks if mark.facet == facet]
    highest = max(mark.pooled.mean for mark in shown) or 1.0
    strokes = (
        _lines(scales, shown, highest) if scales.is_line else _bars([(mark.pooled.mean / highest,) for mark in shown])
    )
    return Thumbnail(strokes, series.series.label)


def _lines(scales: PanelScales, marks: Sequence[PanelMark], highest: float) -> tuple[ThumbnailStroke, ...]:
    xs = [float(x) for x in scales.xs]
    place = math.log if scales.panel.log_x and min(xs) > 0 else float
    low, high = place(min(xs)), place(max(xs))
    place_of: dict[Value | None, int] = {value: at for at, value in enumerate(scales.palette)}
    strokes = []
    for colour in scales.colours or (None,):
        of_colour = sorted((mark for mark in marks if mark.colour == colour), key=lambda mark: float(mark.x))
        of_colour = [mark for mark in of_colour if mark.rest == of_colour[0].rest]
        points = [(_between(place(float(mark.x)), low, high), 1 - mark.pooled.mean / highest) for mark in of_colour]
        if points:
            path = "M" + "L".join(f"{_x(x):.1f} {_y(y):.1f}" for x, y in points)
            path += "m-3 0h6" if len(points) == 1 else ""
            strokes.append(ThumbnailStroke(path, palette.color(place_of.get(colour, 0))))
    return tuple(strokes)


def _bars(rows: Sequence[tuple[float, ...]]) -> tuple[ThumbnailStroke, ...]:
    """Horizontal bars, each row a share of the width and, paler, further shares over it."""
    each = (HEIGHT - 2 * _EDGE) / max(1, len(rows))
    strokes = []
    for at, shares in enumerate(rows):
        thick = 0.72 * each / len(shares)
        for part, share in enumerate(shares):
            top = _EDGE + at * each + part * thick
            path = f"M{_EDGE} {top:.1f}h{share * (WIDTH - 2 * _EDGE):.1f}v{thick:.1f}H{_EDGE}Z"
            strokes.append(ThumbnailStroke(path, palette.SERIES[part], is_filled=True))
    return tuple(strokes)


def _sizes(results: StudyResults) -> Thumbnail:
    study = results.file.study
    if study.name != "table1":
        return Thumbnail(_bars([experts_share(name) for name in study.models]), "share of the experts")
    found = agreements(study.models)
    strokes = []
    for row, cells in enumerate(found):
        for column, agrees in enumerate(cells):
            x = _x((column + 0.5) / len(cells))
            y = _y((row + 0.5) / len(found))
            colour = palette.NEUTRAL if agrees is None else palette.SERIES[2 if agrees else 1]
            strokes.append(ThumbnailStroke(f"M{x - 9:.1f} {y - 2.5:.1f}h18v5h-18Z", colour, is_filled=True))
    return Thumbnail(tuple(strokes), "what agrees and what differs")


def _between(value: float, low: float, high: float) -> float:
    return 0.5 if high == low else (value - low) / (high - low)


def _x(share: float) -> float:
    return _EDGE + share * (WIDTH - 2 * _EDGE)


def _y(share: float) -> float:
    return _EDGE + share * (HEIGHT - 2 * _EDGE)
