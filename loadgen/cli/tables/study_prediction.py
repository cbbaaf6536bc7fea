"""The tables of `study predict`: what it put on record, and why points are missing; and how far predictions are from measured runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from loadgen.cli.tables.style import numbers, plain_table, words
from loadgen.experiments.study.predict import LeftOut, Prediction
from loadgen.moe.hardware import Hardware
from loadgen.report.format import MISSING_FIGURE, plural
from loadgen.report.study.prediction_errors import FIGURE_NAMES, FIGURES_COMPARED, ErrorRow, ErrorTable

_NO_ACCURACY = "accuracy is not predicted: a prediction makes no replies that could be right or wrong"


@dataclass(frozen=True, slots=True)
class PredictedStudy:
    """A study on an accelerator, of how many points, and what became of them."""

    study: str
    hardware: Hardware
    points: int
    prediction: Prediction
    has_accuracy: bool = False  # which needs a server that replies

    def to_json(self) -> dict[str, object]:
        """One entry of `predictions`."""
        done = self.prediction
        return {
            "study": self.study,
            "hardware": {"name": self.hardware.name, "title": self.hardware.title},
            "basis": done.basis,
            "points": self.points,
            "predicted": done.runs,
            "out_of_memory": [asdict(each) for each in done.out_of_memory],
            "left_out": [asdict(each) for each in done.left_out],
            "figures_left_out": {"accuracy": _NO_ACCURACY} if self.has_accuracy else {},
            "sweep_ids": list(done.sweep_ids),
        }


def predictions_table(studies: Sequence[PredictedStudy]) -> RenderableType:
    """The studies for people, and each reason why points are missing."""
    table = plain_table(*words("study", "accelerator"), *numbers("points", "predicted", "out of memory", "left out"))
    for each in studies:
        done = each.prediction
        table.add_row(
            each.study,
            each.hardware.title,
            f"{each.points:,}",
            f"{done.runs:,}",
            _count(done.out_of_memory),
            _count(done.left_out),
        )
    bases = dict.fromkeys(each.prediction.basis for each in studies if each.prediction.runs)
    return Group(
        table,
        *(Text(line, style="yellow") for line in dict.fromkeys(line for each in studies for line in _reasons(each))),
        *(Text(f"SIMULATED: {basis}.") for basis in bases),
    )


def _count(parts: Sequence[LeftOut]) -> str:
    return f"{sum(each.points for each in parts):,}"


def _reasons(study: PredictedStudy) -> Iterator[str]:
    """Each reason once, with how much it concerns."""
    found: dict[str, list[LeftOut]] = {}
    for each in (*study.prediction.out_of_memory, *study.prediction.left_out):
        found.setdefault(each.sentence, []).append(each)
    for sentence, parts in found.items():
        points = plural(sum(each.points for each in parts), "point")
        whom = parts[0].label if len(parts) == 1 else f"{plural(len(parts), 'server')}, such as {parts[0].label}"
        yield f"{study.study}: {points} not predicted ({whom}): {sentence}"
    if study.has_accuracy:
        yield f"{study.study}: {_NO_ACCURACY}"


_LOADS: Mapping[str, str] = {"wave": "waves", "closed_loop": "closed loops", "open_loop": "open loops"}


def error_tables(table: ErrorTable) -> Iterator[RenderableType]:
    """The table of kinds of runs with its totals, the outliers by name, and the runs that were left out."""
    shown = plain_table(title="|predicted − measured|/measured: median, largest", title_justify="left")
    for heading in ("model", "load"):
        shown.add_column(heading)
    for heading in ("tokens in", "runs"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for name in FIGURES_COMPARED:
        shown.add_column(FIGURE_NAMES[name], justify="right", no_wrap=True)
    for row in table.rows:
        assert row.kind is not None
        kind = row.kind
        shown.add_row(
            f"{kind.model} {kind.precision}",
            ", ".join(filter(None, (_LOADS[kind.load], kind.images))),
            f"{kind.input_tokens:,}",
            str(row.runs),
            Text("fitted", style="dim") if row.is_fitted else "held out",
            *_errors(row),
        )
    shown.add_section()
    for name, row in table.totals:
        shown.add_row(Text(f"all {name}", style="bold"), "", "", str(row.runs), "", *_errors(row))
    yield shown
    for each in table.outliers:
        spec = each.run["spec"]
        yield Text(
            f"outlier: {each.kind.model}, {spec['load_label']}, {spec['input_tokens']} tokens in: {each.outlier}"
        )
    for what, why in table.left_out:
        yield Text(f"left out: {what}: {why}")


def _errors(row: ErrorRow) -> Iterator[str]:
    for name in FIGURES_COMPARED:
        median, largest = row.median[name], row.largest[name]
        yield MISSING_FIGURE if median is None or largest is None else f"{median:.1%}, {largest:.0%}"
