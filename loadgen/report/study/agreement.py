"""Predictions next to measurements: how far off the predictions of a study's measured runs are, by series."""

from dataclasses import dataclass

from loadgen.report.study.prediction_errors import ErrorTable, error_table
from loadgen.report.study.results import StudyResults
from loadgen.study.measured import Provenance, Series

_MEASURED: tuple[Provenance, ...] = ("measured", "dummy", "dummy_routed")


@dataclass(frozen=True, slots=True)
class Agreement:
    """A measured series, and the errors of the predictions of its runs."""

    measured: Series
    errors: ErrorTable


def agreements(results: StudyResults) -> tuple[Agreement, ...]:
    """One for each series of hardware that the study was predicted for too; none if nothing of it can be predicted.

    The errors are those that `loadgen study predict --check` prints of the same runs: each is predicted on its own host, while
    the predicted points of a study are those of the fastest host.
    """
    predicted = {each.series.hardware for each in results.by_series if each.series.provenance == "simulated"}
    found = []
    for each in results.by_series:
        if each.series.provenance not in _MEASURED or each.series.hardware not in predicted:
            continue
        runs = {run["run_id"]: run for point in each.points for run in point.runs}
        errors = error_table(runs.values())
        if errors.rows or errors.outliers:
            found.append(Agreement(each.series, errors))
    return tuple(found)
