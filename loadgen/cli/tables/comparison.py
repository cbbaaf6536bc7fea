"""A comparison as tables for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.text import Text

from loadgen.analysis.compare import REASONS, ComparedFigure, ComparedPoint, Comparison
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.stats import Change
from loadgen.cli.tables.style import numbers, plain_table
from loadgen.cli.tables.sweep import sweep_title
from loadgen.report.figures import metric_label
from loadgen.report.format import ANSWERS, MISSING_FIGURE, figure, number, percent, plural, shown_unit
from loadgen.report.words.accuracy import accuracy_comparison
from loadgen.report.words.server_differences import server_differences
from loadgen.store.rows import AccuracyRow


@dataclass(frozen=True, slots=True)
class ComparedSide:
    """One side of a comparison: its id, its runs, and what evaluations of its server found."""

    given_id: str
    runs: Sequence[RunDocument]
    accuracy: Sequence[AccuracyRow] = ()


_STYLES = {"better": "green", "worse": "red", "cant_tell": "dim"}
_STYLE_OF_WORD = {ANSWERS[answer]: style for answer, style in _STYLES.items()}


def show_comparison(console: Console, a: ComparedSide, b: ComparedSide, found: Comparison) -> None:
    """Both sides, what must be known of them, a table for each load point, and the count of answers."""
    for name, side in (("A", a), ("B", b)):
        title = Text(f"{name}  ")
        title.append_text(sweep_title(None, side.runs))
        console.print(title.append(f" · {side.given_id}", style="dim"))
    _show_differences(console, a, b)
    for line in _remarks(found):
        console.print(Text(line, style="yellow"))
    for point in found.points:
        console.print()
        console.print(_point_title(point))
        console.print(_point_table(point, found))
    _show_accuracy(console, a, b)
    console.print(_count(found))


def _show_differences(console: Console, a: ComparedSide, b: ComparedSide) -> None:
    """In what the servers differ; nothing if they are alike."""
    differences = server_differences([side.runs[0]["server"] for side in (a, b)], ("A", "B"))
    if differences is None:
        return
    console.print(Text("\nDifferences between the servers", style="bold"))
    table = plain_table(*differences.columns)
    for row in differences.rows:
        table.add_row(*row)
    console.print(table)


def _show_accuracy(console: Console, a: ComparedSide, b: ComparedSide) -> None:
    """The accuracy of both, task by task; nothing if neither was evaluated."""
    if not a.accuracy and not b.accuracy:
        return
    compared = accuracy_comparison(("A", a.accuracy), ("B", b.accuracy))
    console.print(Text(f"\n{compared.title}", style="bold"))
    if compared.table is not None:
        table = plain_table(*compared.table.columns)
        for row in compared.table.rows:
            *cells, answer = row
            table.add_row(*cells, Text(answer, style=_STYLE_OF_WORD[answer]))
        console.print(table)
    if compared.note:
        console.print(Text(compared.note, style="dim"))


def _remarks(found: Comparison) -> list[str]:
    remarks = [f"compared although unlike: {each}" for each in found.unlike]
    for name, runs in (("A", found.invalid_a), ("B", found.invalid_b)):
        if runs:
            remarks.append(f"{plural(len(runs), 'run')} of {name} left out as invalid")
    for name, runs in (("A", found.only_a), ("B", found.only_b)):
        if runs:
            labels = ", ".join(run["spec"]["load_label"] for run in runs)
            remarks.append(f"only {name} has {labels}")
    if found.slo_differs:
        remarks.append("goodput is not compared: A and B were judged by different limits (--slo)")
    doubtful = sum(run["verdict"]["status"] == "doubtful" for point in found.points for run in (*point.a, *point.b))
    if doubtful:
        remarks.append(f"{plural(doubtful, 'run')} among these {'is' if doubtful == 1 else 'are'} doubtful")
    return remarks


def _point_title(point: ComparedPoint) -> Text:
    spec = point.a[0]["spec"]
    text = Text(
        f"{spec['load_label']}, {number(spec['input_tokens'])} → {number(spec['output_tokens'])} tokens", style="bold"
    )
    how = "paired by seed" if point.paired else "not paired"
    runs = plural(len(point.a), "run")
    counts = f"{runs} each" if len(point.a) == len(point.b) else f"{runs} against {len(point.b)}"
    return text.append(f" · {counts}, {how}", style="not bold dim")


def _point_table(point: ComparedPoint, found: Comparison) -> RenderableType:
    table = plain_table("", *numbers("A", "B", "change", f"{percent(found.confidence)} interval", "effect"), "")
    for each in point.figures:
        unit, label = each.metric.unit, metric_label(each.metric, point.a[0])
        name = f"{label}{' ' + each.part if each.part else ''}"
        answer = Text(ANSWERS[each.answer], style=_STYLES[each.answer])
        if each.reason is not None:
            answer.append(f": {REASONS[each.reason]}", style="dim")
        table.add_row(
            Text(name).append(f" {shown_unit(unit)}", style="dim"),
            figure(each.a, unit),
            figure(each.b, unit),
            _signed(each.change.ratio if each.change else None),
            _interval(each.change),
            _effect(each),
            answer,
        )
    return table


def _signed(ratio: float | None) -> str:
    """A change in per cent, with its sign and to a tenth: a third digit of a small change is never worth reading."""
    if ratio is None:
        return MISSING_FIGURE
    return f"{ratio * 100:+.1f} %".replace("-", "−")


def _interval(change: Change | None) -> str:
    if change is None or change.low is None:
        return MISSING_FIGURE
    return f"{_signed(change.low).removesuffix(' %')} … {_signed(change.high)}"


def _effect(each: ComparedFigure) -> str:
    size = None if each.change is None else each.change.effect_size
    return MISSING_FIGURE if size is None else f"{'−' if size < 0 else '+'}{number(abs(size), 2)}"


def _count(found: Comparison) -> Text:
    text = Text()
    for answer, word in ANSWERS.items():
        count = sum(each.answer == answer for point in found.points for each in point.figures)
        text.append(f"{count} {word}" if not text else f" · {count} {word}", style=_STYLES[answer] if count else "dim")
    return text.append(
        f" · changes under {percent(found.smallest_change_ratio)} are ignored; not corrected for multiple comparisons",
        style="dim",
    )
