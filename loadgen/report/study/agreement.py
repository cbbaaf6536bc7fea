"""What predictions are worth: how far off those of a study's measured runs are, by series, and which points have none."""

from dataclasses import dataclass
from itertools import groupby

from loadgen.moe.hardware import hardware, known_hardware
from loadgen.report.study.prediction_errors import ErrorTable, error_table
from loadgen.report.study.results import StudyResults
from loadgen.servers.prediction.engine_of import NoMemoryError, UnpredictableError, deployment_of_profile
from loadgen.servers.prediction.predicted_run import check_load
from loadgen.study.measured import Provenance, Series
from loadgen.study.points import Point

_MEASURED: tuple[Provenance, ...] = ("measured", "dummy", "dummy_routed")
_PAPERS = "h100"  # if nothing is predicted yet: reasons are those of the server and the load on any accelerator


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


def unpredictable(results: StudyResults) -> tuple[tuple[str, str], ...]:
    """The servers that can be started and have a load that `loadgen study predict` leaves out, each with the reason."""
    simulated = (each.series.hardware for each in results.by_series if each.series.provenance == "simulated")
    on = next(
        (name for name in simulated if known_hardware(name) is not None), _PAPERS
    )  # the simulator runs on any host
    found: dict[tuple[str, str], None] = {}
    for _, group in groupby(results.points, key=lambda point: (id(point.variant), point.load)):
        point = next(group)
        if point.variant.cannot_run is None and (reason := _why_unpredictable(point, on)):
            found[point.variant.label, reason] = None
    return tuple(found)


def _why_unpredictable(point: Point, hardware_name: str) -> str:
    """Empty if it can be predicted, or would be if it had the memory."""
    served = point.variant.variant.served
    try:
        deployment = deployment_of_profile(served.profile, point.variant.served.architecture, hardware(hardware_name))
        check_load(point.run, deployment)
    except UnpredictableError as error:
        return str(error)
    except NoMemoryError:
        pass
    return ""
