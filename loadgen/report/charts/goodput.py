"""Goodput along the load: the requests that met every limit of the SLO, beside all that were completed.

Runs without an SLO take no part.
"""

from collections.abc import Mapping, Sequence

from loadgen.analysis.document.run import RunDocument
from loadgen.report.charts.chart import Chart
from loadgen.report.charts.load_charts import load_chart, load_rows
from loadgen.report.figures import GOODPUT, REQUESTS_PER_S
from loadgen.report.labels import limits_label
from loadgen.report.points import axes, points

GOOD, COMPLETED = "within the SLO", "completed"


def goodput_chart(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> Chart | None:
    """None where no run has a goodput. Where the two lines part, requests were answered too late to count."""
    judged = [run for run in runs if GOODPUT.read(run) is not None]
    along = axes(judged, names) if judged else None
    if along is None:
        return None
    drawn = points(judged, along)
    rows = load_rows(drawn, GOOD, GOODPUT.read)
    rows += load_rows(drawn, COMPLETED, REQUESTS_PER_S.read)
    limits = {limits_label(run["spec"]["slo"]) for run in judged}
    words = [f"SLO: {limits.pop()}."] if len(limits) == 1 else ["Each line by the SLO of its runs."]
    words.append("Where the lines part, answers came too late to count.")
    return load_chart(GOODPUT, rows, along=along, notes=words)
