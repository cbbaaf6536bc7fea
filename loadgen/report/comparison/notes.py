"""What must be known of a comparison's charts and answers, in sentences."""

from loadgen.analysis.compare import is_one_figure, unlike
from loadgen.report.comparison.compared import Compared
from loadgen.report.comparison.matrix import is_comparable
from loadgen.report.comparison.selection import Selection
from loadgen.report.comparison.view import View
from loadgen.report.format import plural


def notes(view: View, selection: Selection, made: Compared) -> tuple[str, ...]:
    notes = []
    invalid = sum(run["verdict"]["status"] == "invalid" for run in selection.runs)
    if invalid:
        is_are = "is" if invalid == 1 else "are"
        notes.append(
            f"{plural(invalid, 'invalid run')} {is_are} {'drawn as crosses' if view.all else 'left out of the charts, and struck out in the tables'}."
        )
    if any(run["verdict"]["status"] == "doubtful" for run in selection.runs):
        notes.append("Hollow marks are doubtful; point at one, or at its verdict in the table, for the reason.")
    marks = {bool(run["simulated"]) for run in selection.runs}
    if marks == {True, False}:
        notes.append("Simulated runs are compared with real ones: their figures say nothing about a server.")
    if made.axes.remainder:
        differ = ", ".join(each.label_in_prose for each in made.axes.remainder)
        notes.append(f"Lines of one colour differ in {differ}.")
    notes += _pooled_notes(made)
    if view.baseline:
        notes += _unlike_notes(view.baseline, selection, made)
        if not any(cell.against_baseline for _, found in made.figures for cell in found):
            notes.append(
                f"No point stands where {view.baseline} has one, at the same load, lengths and the rest: there is nothing to compare."
            )
    if selection.left_out:
        notes.append(f"{selection.left_out:,} older sweeps that fit the filters are not shown: filter further.")
    return tuple(notes)


def _pooled_notes(made: Compared) -> list[str]:
    """That points hold the runs of several sweeps as if they were repeats of one, and what of theirs is taken together so."""
    found = [cell.runs for cell in made.figures[0][1] if len({run["sweep_id"] for run in cell.runs}) > 1]
    if not found:
        return []
    names = {"url": "addresses of servers", "client_host": "clients", "day": "days"}
    differ = [
        name
        for key, name in names.items()
        if any(len({made.known[key].text(run) for run in runs}) > 1 for runs in found)
    ]
    of_several = f", and of different {', '.join(differ)}" if differ else ""
    return [f"Points take the runs of several sweeps together{of_several}; choose sweep as colour to see them apart."]


def _unlike_notes(baseline: str, selection: Selection, made: Compared) -> list[str]:
    """Return in what the baseline's runs differ from those that are compared with them all the same."""
    chosen = (made.axes.x, made.axes.color, made.axes.facet, *made.axes.remainder)
    known = {each.key.removeprefix("asked.") for each in chosen if each is not None}
    bases = {
        (cell.place.x, cell.place.facet, cell.place.remainder): cell
        for _, found in made.figures[:1]
        for cell in found
        if cell.place.color == baseline
    }
    fields: dict[str, None] = {}
    for _, found in made.figures[:1]:
        for cell in found:
            base = bases.get((cell.place.x, cell.place.facet, cell.place.remainder))
            if base is not None and is_comparable(cell):
                fields |= dict.fromkeys(each.field for each in unlike(base.runs[0], cell.runs[0]))
    told = [field for field in fields if field not in known and field.split(".")[-1] not in known]
    notes = [f"Compared with the baseline although unlike in {', '.join(told[:8])}."] if told else []
    runs = selection.runs
    if any(not is_one_figure(figure.key, runs[0], run) for figure, _ in made.figures for run in runs[1:]):
        notes.append("Goodput is compared with the baseline only where both have the same limits (SLO).")
    return notes
