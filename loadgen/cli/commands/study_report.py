"""`loadgen study report` and `loadgen study plot`: what is on record of studies, as pages and as drawings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.cli.commands.plot import drawing_format
from loadgen.cli.console.output_file import write_file
from loadgen.cli.console.terminal import Terminal
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from loadgen.report.study.library import Shelf
    from loadgen.report.study.results import StudyResults
    from loadgen.study.schema import Panel

_REPORT_FLAGS = (
    Flag("output", "DIR|FILE.html", "A folder of pages, or one page for one study. Default DIR: studies-report.", type=Path, default=Path("studies-report"), short="-o"),
)  # fmt: skip
_PLOT_FLAGS = (
    Flag("output", "FILE", "What to write: .svg, .pdf or .png. Default NAME.svg.", type=Path | None, short="-o"),
    Flag("panel", "N", "Which drawing of the study, from 1 (default: 1).", type=int, default=1),
    Flag("series", "KEY", "Whose points, such as h200-dummy (default: the strongest that has any)."),
    Flag("width_px", "N", "How wide it is drawn, in pixels.", type=int, default=900),
)


@command(_REPORT_FLAGS)
def report_studies(
    terminal: Terminal,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Studies by name or path (default: all).", show_default=False),
    ] = None,
    *,
    output: Path,
) -> None:
    """Write what is on record of studies as pages that need no network.

    For example: loadgen study report fig06 -o fig06.html
    """
    from loadgen.report.study.files import study_file, study_folder

    is_file = output.suffix.lower() in (".html", ".htm")
    if is_file and len(names or ()) != 1:
        raise UsageError(f"{output} is one page: name one study, or give a folder with -o DIR")
    shelf = _shelf(terminal)
    chosen = _chosen(terminal, shelf, names or [])
    for problem in shelf.problems if not names else ():
        terminal.note(f"left out: {problem}")
    if is_file:
        write_file(output, study_file(chosen[0], [*shelf.studies, *chosen]).encode())
        terminal.note(f"wrote {output}")
        return
    _make_folder(output / "static")
    for path, text in study_folder(chosen, shelf.problems if not names else ()):
        write_file(output / path, text.encode())
    terminal.note(f"wrote {output / 'index.html'} and {len(chosen) + 1} more pages")


@command(_PLOT_FLAGS)
def plot_study(
    terminal: Terminal,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A study by name, or the path of its file.", show_default=False)
    ],
    *,
    output: Path | None,
    panel: int,
    series: str | None,
    width_px: int,
) -> None:
    """Draw a figure of a study as SVG, PDF or PNG, without a network.

    For example: loadgen study plot fig06 --series h100-simulated -o fig06.pdf
    """
    from loadgen.report.charts.drawing import draw
    from loadgen.report.study.drawing import about_series, drawn_panel
    from loadgen.report.study.record import PlannedStudy, Record
    from loadgen.report.study.results import results_of
    from loadgen.study.study_file import read_study

    file = read_study(name)
    path = output or Path(f"{file.study.name}.svg")
    form = drawing_format(path)
    _check_panel(file.study.panels, panel, name)
    planned = PlannedStudy.of(file)
    with terminal.open() as store:
        results = results_of(planned, Record.of(store))
    of_series, chart = drawn_panel(results, panel - 1, series, width_px)
    write_file(path, draw(chart, form, about_series(of_series), width_px))
    terminal.note(f"wrote {path}: {of_series.series.label}")


def _check_panel(panels: "Sequence[Panel]", number: int, name: str) -> None:
    if not panels:
        raise UsageError(f"{name} has no panels to draw; `loadgen study report {name}` shows what it has")
    if not 1 <= number <= len(panels):
        listed = "; ".join(f"{at} {panel.title}" for at, panel in enumerate(panels, 1))
        raise UsageError(f"--panel must be 1 to {len(panels)}, not {number}: {listed}")


def _shelf(terminal: Terminal) -> "Shelf":
    """All studies with what is on record of them; a database that is not there yet has nothing."""
    from loadgen.report.study.library import StudyLibrary

    try:
        opened = terminal.open()
    except NotFoundError:
        terminal.note(f"nothing is measured yet: there is no {terminal.shown_db}")
        return StudyLibrary().shelf(None)
    with opened as store:
        return StudyLibrary().shelf(store)


def _chosen(terminal: Terminal, shelf: "Shelf", names: Sequence[str]) -> "list[StudyResults]":
    """The studies of these names or paths, in the order of the pages; all without names."""
    from loadgen.report.study.record import PlannedStudy, Record
    from loadgen.report.study.results import results_of
    from loadgen.study.study_file import read_study

    if not names:
        return list(shelf.studies)
    known = {each.file.path.resolve(): each for each in shelf.studies}
    files = {file.path.resolve(): file for file in map(read_study, names)}
    for path in files.keys() - known.keys():  # a file of somewhere else
        planned = PlannedStudy.of(files[path])
        if not terminal.has_database:
            known[path] = results_of(planned, None)
            continue
        with terminal.open() as store:
            known[path] = results_of(planned, Record.of(store))
    return [each for path, each in known.items() if path in files]


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {(error.strerror or 'refused').lower()}") from error
