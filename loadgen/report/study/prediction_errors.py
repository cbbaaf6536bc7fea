"""How far predictions are from runs on record: each run predicted from its own record, and compared figure by figure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import cast

import numpy as np

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import FIGURES
from loadgen.analysis.server.served_gpus import gpu_names
from loadgen.analysis.summary import summarise
from loadgen.errors import ModelError, UsageError
from loadgen.load.spec import RunSpec
from loadgen.moe.hardware import hardware
from loadgen.moe.parameters import distinct_experts_of_made_up
from loadgen.servers.prediction.engine_of import NoMemoryError, UnpredictableError, deployment_of, routing_of
from loadgen.servers.prediction.fitted import OUTLIERS, Calibration, calibration_for
from loadgen.servers.prediction.predicted_run import predict_run
from loadgen.study.measured import series_of
from loadgen.study.served import served_of

FIGURES_COMPARED = ("throughput", "e2e", "ttft", "tpot")
FIGURE_NAMES = {"throughput": "throughput", "e2e": "E2E latency", "ttft": "TTFT", "tpot": "TPOT"}
OUTLIERS_TOO = "held out, with outliers"
_KEYS = {
    "throughput": "output_tokens_per_s",
    "e2e": "e2e_latency_s",
    "ttft": "ttft_s",
    "tpot": "tpot_s",
}
_OF_A_WAVE = {"throughput": "paper.throughput_tokens_per_s"}
_NAMES_OF_SPEC = ("hash", "point_hash", "load_label", "schedule_hash")  # a record's spec has these besides its own


@dataclass(frozen=True, slots=True, order=True)
class RunKind:
    """Runs that are told apart in the table. `precision` and `load` as a study names them."""

    model: str
    precision: str
    load: str
    input_tokens: int
    images: str = ""  # `an image of 384x384`; empty without


@dataclass(frozen=True, slots=True)
class RunError:
    """One run, and (predicted − measured)/measured by the names in FIGURES_COMPARED; None where either is unknown."""

    run: RunDocument
    kind: RunKind
    is_fitted: bool
    outlier: str | None  # why it is no measure of the engine
    errors: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Runs of one kind. By figure: the median and the largest of the absolute errors; None without any."""

    kind: RunKind | None  # None: all runs, fitted or held out
    is_fitted: bool
    runs: int
    median: dict[str, float | None]
    largest: dict[str, float | None]

    def to_json(self) -> dict[str, object]:
        """Plain values; without the kind for a total."""
        kind = {} if self.kind is None else asdict(self.kind)
        errors = {"runs": self.runs, "median": self.median, "largest": self.largest}
        return {**kind, "fitted": self.is_fitted, **errors}


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """`rows` by kind of run, fitted ones first; `totals` of the fitted, the held out, and the held out with outliers."""

    rows: tuple[ErrorRow, ...]
    totals: tuple[tuple[str, ErrorRow], ...]
    outliers: tuple[RunError, ...]
    left_out: tuple[tuple[str, str], ...]  # runs that cannot be predicted, and why

    def to_json(self) -> dict[str, object]:
        """Plain values. Errors are ratios."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "totals": {name: row.to_json() for name, row in self.totals},
            "outliers": {each.run["run_id"]: each.outlier for each in self.outliers},
            "left_out": dict(self.left_out),
        }


def error_table(runs: Iterable[RunDocument]) -> ErrorTable:
    """Predict every run that is not simulated and not invalid, each on the host that it was measured on, and compare."""
    found: list[RunError] = []
    left_out: dict[str, str] = {}
    for run in runs:
        try:
            error = error_of(run)
            if error is not None:
                found.append(error)
        except (UnpredictableError, NoMemoryError, ModelError, UsageError) as error:
            left_out[f"{run['server']['model']}, {run['spec']['load_label']}"] = str(error)
    usual = [each for each in found if each.outlier is None]
    kinds = dict.fromkeys((each.kind, each.is_fitted) for each in usual)
    ordered = sorted(kinds, key=lambda kind: (not kind[1], kind[0]))
    rows = tuple(_row(*kind, [each for each in usual if (each.kind, each.is_fitted) == kind]) for kind in ordered)
    held_out = [each for each in found if not each.is_fitted]
    totals = (
        ("fitted", _row(None, True, [each for each in usual if each.is_fitted])),
        ("held out", _row(None, False, [each for each in usual if not each.is_fitted])),
        (OUTLIERS_TOO, _row(None, False, held_out)),
    )
    return ErrorTable(rows, totals, tuple(each for each in found if each.outlier is not None), tuple(left_out.items()))


def error_of(run: RunDocument) -> RunError | None:
    """The error of one run; None if it is simulated or invalid. Raises as `run_error`."""
    if run["simulated"] or run["verdict"]["status"] == "invalid":
        return None
    return _known_error(_Run(run["run_id"], tuple(gpu_names(run) or ()), run))


@dataclass(frozen=True, slots=True)
class _Run:
    """A run by its id, whose document never changes."""

    run_id: str
    hardware: tuple[str, ...]
    document: RunDocument = field(compare=False)


@lru_cache(maxsize=1000)
def _known_error(run: _Run) -> RunError:
    """The same for a run that was predicted before, such as for an earlier view of a page."""
    return run_error(run.document)


def run_error(run: RunDocument, calibration: Calibration | None = None) -> RunError:
    """Predict one run from its record. Raises UnpredictableError, NoMemoryError, ModelError, UsageError."""
    served = served_of(run["server"])
    if served is None or served.architecture is None:
        raise UnpredictableError("what was served is not known")
    names = gpu_names(run)
    if not names or len(set(names)) != 1:
        raise UnpredictableError("the accelerators are not known")
    on = hardware(names[0])
    fitted = (calibration or calibration_for(on)).in_sweep(run["sweep_id"])
    launch = run["server"].get("launch") or {}
    if launch.get("plugins"):
        raise UnpredictableError("a plug-in changes vLLM, and vLLM alone is modelled")
    arguments = cast(dict[str, object], launch.get("arguments") or {})
    deployment = deployment_of(
        served.architecture,
        {key: value for key, value in arguments.items() if value is not None},  # type: ignore[misc]
        on,
        calibration=fitted,
        distinct_experts=distinct_experts_of_made_up(served.architecture)
        if series_of(run).provenance == "dummy_routed"
        else routing_of(launch.get("environment") or {}),
    )
    spec = RunSpec.from_json({key: value for key, value in run["spec"].items() if key not in _NAMES_OF_SPEC})
    predicted = cast(RunDocument, summarise(spec, predict_run(spec, deployment, run["started_at"])))
    kind = RunKind(
        model=run["server"]["model"],
        precision=str(served.coordinates["precision"]),
        load=spec.shape.kind,
        input_tokens=spec.input_tokens or 0,
        images="" if spec.workload.images is None else spec.workload.images.label,
    )
    keys = _KEYS | (_OF_A_WAVE if spec.shape.batch_size is not None else {})
    return RunError(
        run,
        kind,
        is_fitted=run["sweep_id"] in fitted.fitted_on,
        outlier=OUTLIERS.get(run["run_id"]),
        errors={name: _error(key, predicted, run) for name, key in keys.items()},
    )


def _error(key: str, predicted: RunDocument, measured: RunDocument) -> float | None:
    there, here = FIGURES[key].read(measured), FIGURES[key].read(predicted)
    return None if there is None or here is None or there <= 0 else here / there - 1


def _row(kind: RunKind | None, is_fitted: bool, errors: Sequence[RunError]) -> ErrorRow:
    known = {
        name: [abs(value) for each in errors if (value := each.errors[name]) is not None] for name in FIGURES_COMPARED
    }
    return ErrorRow(
        kind,
        is_fitted,
        runs=len(errors),
        median={name: float(np.median(values)) if values else None for name, values in known.items()},
        largest={name: max(values, default=None) for name, values in known.items()},
    )
