"""What a drawing is of: runs from the store, by ids of any kind, with what was kept beside them, and all of that in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.measured import measured_of
from loadgen.analysis.outline.run_outline import Outline, outline
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.errors import NotFoundError
from loadgen.load.spec import RunSpec
from loadgen.report.figures import reading_note
from loadgen.report.format import number
from loadgen.report.words.server import server_name
from loadgen.store.repository import Store
from loadgen.store.rows import AccuracyRow, ServerSample, SweepRow

_SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))


@dataclass(frozen=True, slots=True)
class OneRun:
    """A run with what was kept beside its document. `outline` is None where it was imported without one."""

    document: RunDocument
    outline: Outline | None = None
    samples: Sequence[ServerSample] = ()
    gpus: Sequence[GpuSeries] = ()


@dataclass(frozen=True, slots=True)
class RunSelection:
    """What is to be drawn: the documents of runs, the names and accuracy of their sweeps by id, and how to get at the rest of a run."""

    runs: tuple[RunDocument, ...]
    names: Mapping[str, str]
    open_run: Callable[[RunDocument], OneRun] = field(default=OneRun)
    accuracy: Mapping[str, tuple[AccuracyRow, ...]] = field(default_factory=dict)  # by sweep


def find(store: Store, found_id: str) -> tuple[SweepRow | None, list[RunDocument]]:
    """The sweep with its runs, or (None, [run]), that this id or unique beginning names. Raises `NotFoundError`."""
    try:
        sweep = store.sweep(found_id)
    except NotFoundError as no_sweep:
        try:
            return None, [store.run(found_id)]
        except NotFoundError as no_run:
            if found_id.startswith("r"):
                raise no_run from None
            raise no_sweep from None
    return sweep, store.runs(sweep.sweep_id)


def members(store: Store, given: str) -> list[str]:
    """The ids of a group's sweeps; any other id as it is."""
    return [sweep.sweep_id for sweep in store.group(given)] if given.startswith("g") else [given]


def gather(store: Store, ids: Sequence[str]) -> RunSelection:
    """The runs of these sweeps, groups and runs, each once, in this order. Raises NotFoundError."""
    runs: dict[str, RunDocument] = {}
    for given in ids:
        for each in members(store, given):
            runs |= {run["run_id"]: run for run in find(store, each)[1]}
    sweeps = [store.sweep(sweep_id) for sweep_id in dict.fromkeys(run["sweep_id"] for run in runs.values())]

    def open_run(run: RunDocument) -> OneRun:
        run_id = run["run_id"]
        return OneRun(run, outline_of(store, run), store.samples(run_id), store.gpus(run_id))

    accuracy = {sweep.sweep_id: sweep.accuracy for sweep in sweeps}
    return RunSelection(tuple(runs.values()), sweep_names(sweeps), open_run, accuracy)


def sweep_names(sweeps: Sequence[SweepRow]) -> dict[str, str]:
    """What to call each sweep among the others, by id: its name, with the id where two share one; SIMULATED beside real ones."""
    names = {sweep.sweep_id: sweep.name or sweep.sweep_id for sweep in sweeps}
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}
    mixed = len({sweep.simulated for sweep in sweeps}) > 1
    return {
        sweep.sweep_id: names[sweep.sweep_id]
        + (f" ({sweep.sweep_id})" if names[sweep.sweep_id] in shared else "")
        + (" (SIMULATED)" if mixed and sweep.simulated else "")
        for sweep in sweeps
    }


def about(selection: RunSelection, has_bars: bool = True) -> tuple[str, ...]:
    """What a drawing is of, in lines: models and servers, the run or the sweep, and how to read marks and bars of several runs.

    Several sweeps are named where their lines are.
    """
    served = dict.fromkeys(f"{run['spec']['model']} on {server_name(run['server'])}" for run in selection.runs)
    if len(selection.runs) == 1:
        (run,) = selection.runs
        spec = run["spec"]
        lengths = f"{number(spec['input_tokens'])} in · {spec['output_tokens']:,} out"
        return (*served, f"{spec['load_label']} · {lengths} · repeat {run['repeat']} · {run['run_id']}")
    swept = [f"{name} · {sweep_id}" for sweep_id, name in selection.names.items()] if len(selection.names) == 1 else []
    return ("; ".join(served), *swept, reading_note(selection.runs, selection.names) if has_bars else "")


def outline_of(store: Store, run: RunDocument) -> Outline | None:
    """The outline of a run, by its document; None where it was imported without one, since its requests stayed elsewhere."""
    stored = store.outline(run["run_id"])
    if stored is not None or run.get("imported"):
        return stored
    spec = RunSpec.from_json({key: value for key, value in run["spec"].items() if key in _SPEC_FIELDS})
    return outline(measured_of(spec, store.records(run["run_id"])), run)
