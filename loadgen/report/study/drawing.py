"""A panel of a study as one drawing, for a file."""

from loadgen.errors import UsageError
from loadgen.report.charts.chart import Chart
from loadgen.report.study.panels.charts import panel_drawing
from loadgen.report.study.panels.rows import PanelMark, marks_of, scales_of
from loadgen.report.study.results import SeriesResults, StudyResults


def drawn_panel(results: StudyResults, at: int, series: str | None, width_px: int) -> tuple[SeriesResults, Chart]:
    """The panel at this place, as the series of this key has it; without one, the strongest that has any of it.

    Raises UsageError when there is nothing to draw.
    """
    study = results.file.study
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
        raise UsageError(f"no series '{key}' has a point of '{panel.title}'; there are {', '.join(marks)}")
    scales = scales_of(panel, results.points, marks[key])
    assert scales is not None
    of_series = next(each for each in results.by_series if each.series.key == key)
    return of_series, panel_drawing(scales, marks[key], of_series.series, width_px)


def about_series(of: SeriesResults) -> tuple[str, ...]:
    """Where the points come from, for under the title."""
    source = of.source
    return ("; ".join(filter(None, (*source.servers, *source.gpus))),)
