"""What tells the lines of a comparison apart: no point mixes what was asked, and what was simulated says so."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.load.spec import RunSpec
from loadgen.report.charts import palette
from loadgen.report.comparison.cells import natural
from loadgen.report.comparison.compared import Compared, compared
from loadgen.report.comparison.matrix import percent
from loadgen.report.comparison.page import comparison_page
from loadgen.report.comparison.selection import Selection
from loadgen.report.comparison.view import View
from tests.report.documents import Document, measured_run, specs


def measured(sweep_id: str, planned: Sequence[RunSpec], simulated: bool = False) -> list[Document]:
    return [measured_run(spec, sweep_id, simulated)[0] for spec in planned]


def selection(*sweeps: list[Document]) -> Selection:
    runs = tuple(run for sweep in sweeps for run in sweep)
    return Selection((), runs, {run["sweep_id"]: run["sweep_id"] for run in runs}, {})


def lines(made: Compared) -> list[tuple[str, str, int]]:
    """Colour, what else tells it apart, and runs, of each cell of the first figure."""
    return [(cell.place.color, cell.place.remainder, len(cell.runs)) for cell in made.figures[0][1]]


def test_the_same_question_asked_twice_is_one_point() -> None:
    planned = specs([ClosedLoop(1)], (32,), 4, requests_per_slot=4)
    again = [replace(spec, seed=7) for spec in planned]
    both = selection(measured("s-a", planned), measured("s-b", again))
    view = View(y=("ttft_s",), color="model")
    assert lines(compared(view, both)) == [("mixtral-8x7b", "", 2)]
    together = "Points take the runs of several sweeps together"
    assert any(note.startswith(together) for note in comparison_page(view, both).notes)
    apart = comparison_page(replace(view, color="sweep"), both)
    assert not any(note.startswith(together) for note in apart.notes)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"input_tokens": 32}, {"input_tokens": 64}, ["32 in", "64 in"]),
        ({"requests": 32}, {"requests": 40}, ["requests 32", "requests 40"]),
        (
            {"shape": OpenLoop(4.0, "gamma", 0.5)},
            {"shape": OpenLoop(4.0, "gamma", 2.0)},
            ["shape.burstiness 0.5", "shape.burstiness 2"],
        ),
    ],
)
def test_a_point_never_mixes_what_was_asked(one: dict[str, object], other: dict[str, object], told: list[str]) -> None:
    (spec,) = specs([ClosedLoop(1)], (32,), 4, requests_per_slot=4)
    sweeps = [measured(name, [replace(spec, **each)]) for name, each in (("s-a", one), ("s-b", other))]  # type: ignore[arg-type]
    made = compared(View(x="load", y=("ttft_s",), color="model"), selection(*sweeps))
    assert [rest for _, rest, _ in lines(made)] == told


def test_goodput_under_other_limits_is_not_compared() -> None:
    planned = specs([ClosedLoop(1)], (32,), 4, 2, requests_per_slot=4)
    limits = (("s-a", 0.001), ("s-b", 10.0))
    both = selection(*(measured(name, [replace(each, slo=(("ttft_s", s),)) for each in planned]) for name, s in limits))
    view = View(y=("goodput_per_s", "output_tokens_per_s"), color="sweep", baseline="s-a")
    goodput, throughput = ([cell.against_baseline for cell in found] for _, found in compared(view, both).figures)
    assert goodput == [None, None]
    assert throughput[1] is not None
    assert any("same limits" in note for note in comparison_page(view, both).notes)


def test_simulated_and_real_runs_have_colours_of_their_own() -> None:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 4, requests_per_slot=4)
    both = selection(measured("s-a", planned), measured("s-b", planned, simulated=True))
    page = comparison_page(View(y=("ttft_s",), color="model"), both)
    (chart,) = page.sections[0].charts
    assert chart.spec is not None
    drawn = {row["color"] for row in chart.spec["data"]["values"]}
    assert drawn == {"mixtral-8x7b", "mixtral-8x7b (SIMULATED)"}
    assert "partly SIMULATED" in chart.spec["title"]
    shown = {line.cells[0][0] for line in page.sections[0].table.lines}
    assert shown == drawn


def test_numbers_are_ordered_by_their_size_within_words_too() -> None:
    assert sorted(["1,024 in", "64 in", "128 in", "–"], key=natural) == ["64 in", "128 in", "1,024 in", "–"]
    assert sorted(["TP 16", "TP 2", 4, "H200"], key=natural) == [4, "H200", "TP 2", "TP 16"]


def test_what_was_chosen_to_differ_is_not_told_as_unlike() -> None:
    one, two = (specs([ClosedLoop(1)], (32,), 4, 2, requests_per_slot=4, model=model) for model in ("one", "two"))
    view = View(y=("ttft_s",), color="model", baseline="one")
    same = comparison_page(view, selection(measured("s-a", one), measured("s-b", two)))
    assert not any("unlike" in note for note in same.notes)
    longer = [replace(spec, request_timeout_s=9.0, warmup_requests=3) for spec in two]
    other = comparison_page(view, selection(measured("s-a", one), measured("s-b", longer)))
    assert [note for note in other.notes if "unlike" in note] == [
        "Compared with the baseline although unlike in warmup_requests."
    ]


def test_sweeps_without_a_run_are_a_page_too() -> None:
    page = comparison_page(View(ids=("s-none",)), selection())
    assert page.sections
    assert all(chart.spec is None for section in page.sections for chart in section.charts)


def test_the_answers_are_told_by_colour_or_that_there_are_none() -> None:
    one, two = (specs([ClosedLoop(1)], (32,), 4, 2, requests_per_slot=4, model=model) for model in ("one", "two"))
    view = View(x="load", y=("ttft_s",), color="model", baseline="one")
    page = comparison_page(view, selection(measured("s-a", one), measured("s-b", two)))
    assert page.sections[0].answers.startswith("Against one: two 1 ")
    elsewhere = specs([ClosedLoop(2)], (32,), 4, 2, requests_per_slot=4, model="two")
    page = comparison_page(view, selection(measured("s-a", one), measured("s-b", elsewhere)))
    assert page.sections[0].answers == ""
    assert any("No point stands where one has one" in note for note in page.notes)


def test_the_axis_of_loads_of_one_kind_says_which() -> None:
    planned = specs([ClosedLoop(1), ClosedLoop(2)], (32,), 4, requests_per_slot=4)
    page = comparison_page(View(y=("ttft_s",)), selection(measured("s-a", planned)))
    assert "Concurrency" in page.sections[0].table.columns


def test_no_two_of_many_colours_share_both_colour_and_shape() -> None:
    marks = [(palette.SERIES[position % len(palette.SERIES)], palette.shape(position)) for position in range(50)]
    assert len(set(marks)) == len(marks)


def test_the_first_colour_is_the_baseline_unless_the_address_says_none() -> None:
    one, two = (specs([ClosedLoop(1)], (32,), 4, 2, requests_per_slot=4, model=model) for model in ("one", "two"))
    both = selection(measured("s-a", one), measured("s-b", two))
    page = comparison_page(View(y=("ttft_s",), color="model"), both)
    assert page.matrix is not None
    assert page.matrix.baseline == "one"
    assert [group.title for group in page.matrix.groups] == ["two"]
    (label, (change,)), *others = page.matrix.groups[0].rows
    assert (label, others) == ("TTFT p50", [])
    assert "%" in change.text
    assert change.text.endswith(change.answer)
    assert change.because
    assert [choice.value for choice in page.baseline if choice.chosen] == [""]
    without = comparison_page(View(y=("ttft_s",), color="model", baseline="none"), both)
    assert without.matrix is None
    assert [choice.value for choice in without.baseline if choice.chosen] == ["none"]
    assert all(
        cell.against_baseline is None
        for _, found in compared(View(y=("ttft_s",), color="model", baseline="none"), both).figures
        for cell in found
    )


def test_one_colour_alone_has_no_baseline() -> None:
    one = specs([ClosedLoop(1)], (32,), 4, 2, requests_per_slot=4, model="one")
    page = comparison_page(View(y=("ttft_s",), color="model"), selection(measured("s-a", one)))
    assert page.matrix is None


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.37, "−63 %"), (1.042, "+4.2 %"), (1.0, "0 %"), (12.5, "+1,150 %"), (0.99999, "0 %")]
)
def test_a_ratio_reads_as_a_change(ratio: float, text: str) -> None:
    assert percent(ratio) == text
