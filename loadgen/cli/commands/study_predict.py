"""`loadgen study predict`: studies in virtual time, without a server; and how far predictions are from measured runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from loadgen.cli.commands.study import ONLY, chosen_points, gpus, where
from loadgen.cli.console.terminal import Terminal, show, show_json
from loadgen.cli.flags import options
from loadgen.cli.flags.options import argument
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import ServerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.cli.tables.study_prediction import PredictedStudy
    from loadgen.study.claims import Where
    from loadgen.study.points import Point
    from loadgen.study.study_file import StudyFile

_FLAGS = (
    Flag("hardware", "NAME,NAME", "Accelerators to predict for: a100, h100 (the paper's), h200, mi300x.", default="h100"),
    ONLY,
    Flag("check", "", "Predict the runs in result files and show the errors, without saving anything.", type=bool, default=False),
)  # fmt: skip


@command(_FLAGS)
def predict_studies(
    terminal: Terminal,
    names: Annotated[
        list[str], argument("NAME…", "Studies by name, or the paths of their files; with --check, result files.")
    ],
    *,
    hardware: str,
    check: bool,
    as_json: options.Json = False,
    **flags: Any,
) -> None:
    """Predict the points of studies without a GPU, and save them, marked SIMULATED.

    For example: loadgen study predict fig06 --hardware h100,h200
    """
    from loadgen.cli.progress.live_line import CountProgress
    from loadgen.cli.tables.study_prediction import PredictedStudy
    from loadgen.experiments.study.predict import predict

    only = where(flags.get("only"))
    if check:
        if only:
            raise UsageError("--check compares every run in the files; leave --only out")
        _check(names, as_json=as_json)
        return
    asked = [_points(name, only) for name in dict.fromkeys(names)]
    accelerators = list(dict.fromkeys(gpus(name.strip()) for name in hardware.split(",")))
    done = []
    with terminal.open_to_write() as store:
        for file, points in asked:
            for on in accelerators:
                with CountProgress(
                    terminal, f"predicting {file.study.name} on {on.title}", len(points), "points"
                ) as progress:
                    prediction = predict(file, points, on.name, store, progress)
                has_accuracy = file.study.accuracy is not None
                done.append(PredictedStudy(file.study.name, on, len(points), prediction, has_accuracy=has_accuracy))
                terminal.announce()
    _show(terminal, done, as_json=as_json)


def _points(name: str, only: "Where") -> "tuple[StudyFile, Sequence[Point]]":
    from loadgen.study.study_file import read_study
    from loadgen.study.variants import variants_of

    file = read_study(name)
    if not file.study.needs_server:
        raise UsageError(
            f"the study {file.study.name} is arithmetic, with nothing to predict; "
            f"`loadgen study report {file.study.name}` shows it"
        )
    try:
        return file, chosen_points(file, variants_of(file), only)
    except UsageError as error:
        raise UsageError(f"{file.study.name}: {error}") from None


def _show(terminal: Terminal, done: "Sequence[PredictedStudy]", *, as_json: bool) -> None:
    """Show what was predicted. Raises ServerError if nothing was for lack of memory, and UsageError for other reasons."""
    from loadgen.cli.tables.study_prediction import predictions_table

    if as_json:
        show_json({"schema_version": 1, "predictions": [each.to_json() for each in done]})
    else:
        show(predictions_table(done))
    if any(each.prediction.runs for each in done):
        names = list(dict.fromkeys(each.study for each in done if each.prediction.runs))
        output = f"{names[0]}.html" if len(names) == 1 else "studies-report"
        terminal.note(f"draw them with: loadgen study report {' '.join(names)} -o {output}{terminal.db_flag}")
        return
    if any(each.prediction.out_of_memory for each in done):
        titles = " and ".join(dict.fromkeys(each.hardware.title for each in done))
        raise ServerError(f"nothing was predicted: no server fits the memory of {titles}; name another with --hardware")
    raise UsageError("nothing was predicted, for the reasons that are given with each study")


def _check(paths: list[str], *, as_json: bool) -> None:
    """Show the errors of the prediction of every run in the files. Raises UsageError for a file without results."""
    from loadgen.cli.console.terminal import stdout
    from loadgen.cli.tables.study_prediction import error_tables
    from loadgen.importers.importing import read_sweeps
    from loadgen.report.study.prediction_errors import error_table
    from loadgen.study.study_file import study_names

    study = next((path for path in paths if path in study_names()), None)
    if study is not None:
        raise UsageError(f"--check takes result files, and {study} is a study; for example: --check results/*.json")
    table = error_table([run for path in paths for found in read_sweeps(Path(path)) for run in found.runs])
    if as_json:
        show_json({"schema_version": 1, **table.to_json()})
        return
    for each in error_tables(table):
        stdout().print(each)
