"""`loadgen study report` and `loadgen study plot`: what is on record of studies, as pages and as drawings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from loadgen.cli.commands.plot import drawing_format
from loadgen.cli.commands.study import StudyName
from loadgen.cli.console.output_file import write_file
from loadgen.cli.console.terminal import Terminal, show_json
from loadgen.cli.flags import options
from loadgen.cli.flags.options import argument
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import NotFoundError, UsageError, listed

if TYPE_CHECKING:
    from loadgen.report.study.record import PlannedStudy
    from loadgen.report.study.results import StudyResults
    from loadgen.study.study_file import StudyFile

_REPORT_FLAGS = (
    Flag("output", "DIR|FILE.html", "A folder of pages, or one page for one study. Default DIR: studies-report.", type=Path | None, short="-o"),
    Flag("series", "KEY,KEY", "Show these series alone, such as h200-dummy; a key that there is not lists all (default: all)."),
)  # fmt: skip
_PLOT_FLAGS = (
    Flag("output", "FILE", "What to write: .svg, .pdf or .png. Default NAME.svg.", type=Path | None, short="-o"),
    Flag("panel", "N", "Which drawing of the study, from 1.", type=int, default=1),
    Flag(
        "series",
        "KEY",
        "Draw this series, such as h200-dummy; a key that there is not lists all (default: the strongest).",
    ),
    Flag("width_px", "N", "Width of the drawing in pixels.", type=int, default=900),
)


@command(_REPORT_FLAGS)
def report_studies(
    terminal: Terminal,
    names: Annotated[list[str] | None, argument("NAME…", "Studies by name or path (default: all).")] = None,
    *,
    output: Path | None,
    series: str | None,
    as_json: options.Json = False,
) -> None:
    """Write the pages of studies, with what is on record of them; with --json, print their data.

    For example: loadgen study report fig06 -o fig06.html
    """
    from loadgen.report.study.documents import reports_document

    if as_json and output is not None:
        raise UsageError("--json prints a document, and -o names a file for pages: leave one of them out")
    path = output or Path("studies-report")
    is_file = path.suffix.lower() in (".html", ".htm")
    if is_file and len(names or ()) != 1:
        raise UsageError(f"{path} is one page: name one study, or give a folder with -o DIR")
    planned, problems = _planned(names)
    for problem in problems:
        terminal.note(f"left out: {problem}")
    others = _contradicting(planned[0].file) if is_file else ()
    results = _results(terminal, [*planned, *others])
    if series is not None:
        results = _only_series(results, series)
    chosen = results[: len(planned)]
    if as_json:
        show_json(reports_document(chosen))
    elif is_file:
        _write_page(terminal, path, results)
    else:
        _write_folder(terminal, path, chosen, problems)


def _only_series(results: "Sequence[StudyResults]", given: str) -> "list[StudyResults]":
    """The studies as the series of these keys have them. Raises UsageError for a key that no study has."""
    from loadgen.report.study.results import of_series

    keys = {key.strip() for key in given.split(",")}
    known = sorted({each.series.key for study in results for each in study.by_series})
    for key in sorted(keys.difference(known)):
        what = listed(known, "series") if known else "nothing is on record"
        raise UsageError(f"--series: no study has a series '{key}'; {what}")
    return [of_series(each, keys) for each in results]


def _write_page(terminal: Terminal, path: Path, results: "Sequence[StudyResults]") -> None:
    from loadgen.report.study.files import study_file

    write_file(path, study_file(results[0], results).encode())
    terminal.note(f"wrote {path}: {_verdicts(results[:1])}")


def _write_folder(terminal: Terminal, path: Path, chosen: "Sequence[StudyResults]", problems: Sequence[str]) -> None:
    from loadgen.report.study.files import study_folder

    _make_folder(path / "static")
    for name, text in study_folder(chosen, problems):
        write_file(path / name, text.encode())
    terminal.note(f"wrote {path / 'index.html'} and {len(chosen) + 1} more pages: {_verdicts(chosen)}")


def _verdicts(results: "Sequence[StudyResults]") -> str:
    """`20 claims: 3 holds, 7 does not hold`."""
    from loadgen.report.format import plural
    from loadgen.report.study.tally import tally

    found = tally(standing.judgement.verdict for each in results for standing in each.standing)
    return f"{plural(found.total, 'claim')}: {found.sentence}" if found.total else "no claims"


@command(_PLOT_FLAGS)
def plot_study(
    terminal: Terminal,
    name: StudyName,
    *,
    output: Path | None,
    panel: int,
    series: str | None,
    width_px: int,
) -> None:
    """Draw a figure of a study as SVG, PDF or PNG.

    For example: loadgen study plot fig06 --series h100-simulated -o fig06.pdf
    """
    from loadgen.report.charts.drawing import draw
    from loadgen.report.study.drawing import drawing, drawing_titles
    from loadgen.report.study.record import PlannedStudy
    from loadgen.study.study_file import read_study

    file = read_study(name)
    path = output or Path(f"{file.study.name}.svg")
    form = drawing_format(path)
    _check_panel(drawing_titles(file.study), panel, name)
    (results,) = _results(terminal, [PlannedStudy.of(file)])
    drawn = drawing(results, panel - 1, series, width_px)
    write_file(path, draw(drawn.chart, form, drawn.about, width_px))
    terminal.note(f"wrote {path}: {drawn.of}")


def _check_panel(titles: Sequence[str], number: int, name: str) -> None:
    if not titles:
        raise UsageError(f"{name} has no panels to draw; `loadgen study report {name}` shows what it has")
    if not 1 <= number <= len(titles):
        listed = "; ".join(f"{at} {title}" for at, title in enumerate(titles, 1))
        raise UsageError(f"--panel must be 1 to {len(titles)}, not {number}: {listed}")


def _planned(names: Sequence[str] | None) -> "tuple[Sequence[PlannedStudy], Sequence[str]]":
    """The studies of these names or paths, in the order of the pages; without names, all without a mistake."""
    from loadgen.report.study.library import planned_studies
    from loadgen.report.study.record import PlannedStudy
    from loadgen.report.study.site import in_order
    from loadgen.study.study_file import read_study, study_names

    if not names:
        return planned_studies(study_names())
    files = {file.path.resolve(): file for file in map(read_study, names)}
    return [PlannedStudy.of(file) for file in in_order(files.values())], ()


def _contradicting(file: "StudyFile") -> "Sequence[PlannedStudy]":
    """The other studies with claims that contradict those of a study."""
    from loadgen.report.study.library import planned_studies, readable_studies
    from loadgen.study.study_file import study_names

    ids = {other.id for claim in file.study.claims for other in claim.contradicts}
    others, _ = readable_studies(name for name in study_names() if name != file.study.name)
    found, _ = planned_studies(other.study.name for other in others if ids & {claim.id for claim in other.study.claims})
    return found


def _results(terminal: Terminal, planned: "Sequence[PlannedStudy]") -> "list[StudyResults]":
    """What is on record of these studies; nothing in a database that is not there yet."""
    from loadgen.report.study.record import Record
    from loadgen.report.study.results import results_of

    try:
        opened = terminal.open()
    except NotFoundError as error:
        terminal.note(f"nothing is on record: {error}")
        return [results_of(each, None) for each in planned]
    with opened as store:
        record = Record.of(store)
        return [results_of(each, record) for each in planned]


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {(error.strerror or 'refused').lower()}") from error
