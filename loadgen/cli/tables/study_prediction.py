"""What `study predict` put on record: a line for each study and accelerator, and why points are missing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from loadgen.cli.tables.style import numbers, plain_table, words
from loadgen.experiments.study.predict import LeftOut, Prediction
from loadgen.moe.hardware import Hardware
from loadgen.report.format import plural


@dataclass(frozen=True, slots=True)
class PredictedStudy:
    """A study on an accelerator, of how many points, and what became of them."""

    study: str
    hardware: Hardware
    points: int
    prediction: Prediction

    def to_json(self) -> dict[str, Any]:
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
        *(Text(line, style="yellow") for each in studies for line in _reasons(each)),
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
