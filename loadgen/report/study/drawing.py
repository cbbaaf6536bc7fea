"""One drawing of a study, for a file: a panel by one series, or the sizes of models."""

from dataclasses import dataclass

from loadgen.errors import UsageError, listed
from loadgen.report.charts.chart import Chart
from loadgen.report.study.panels.charts import panel_drawing
from loadgen.report.study.panels.rows import PanelMark, marks_of, scales_of
from loadgen.report.study.results import StudyResults
from loadgen.report.study.sizes import sizes_charts
from loadgen.study.schema import Study

_SIZES = ("Parameters in all", "Parameters that a token uses")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart, whose points it shows in a few words, and where they come from, for under the title."""

    chart: Chart
    of: str
    about: tuple[str, ...]


def drawing_titles(study: Study) -> tuple[str, ...]:
    return tuple(panel.title for panel in study.panels) if study.needs_server else _SIZES


def drawing(results: StudyResults, at: int, series: str | None, width_px: int) -> Drawing:
    """The drawing at this place, as the series of this key has it; without one, the strongest that has any of it.

    Raises UsageError when there is nothing to draw.
    """
    study = results.file.study
    if not study.needs_server:
        return Drawing(sizes_charts(study.models)[at], "from the models' configurations", ())
    panel = study.panels[at]
    marks: dict[str, list[PanelMark]] = {}
    for each in results.by_series:
        if found := marks_of(panel, each.points):
            marks[each.series.key] = found
    if not marks:
        raise UsageError(
            f"nothing of '{panel.title}' is on record; `loadgen study run {study.name}` measures it, "
            f"`loadgen study predict {study.name}` predicts it"
        )
    key = next(iter(marks)) if series is None else series
    if key not in marks:
        raise UsageError(f"no series '{key}' has a point of '{panel.title}'; {listed(marks, 'series')}")
    scales = scales_of(panel, results.points, marks[key])
    assert scales is not None
    of = next(each for each in results.by_series if each.series.key == key)
    about = "; ".join((*of.source.servers, *of.source.gpus))
    return Drawing(panel_drawing(scales, marks[key], of.series, width_px), of.series.label, (about,))
