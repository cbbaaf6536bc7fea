"""The head of a comparison: its baseline, its matrix with at most six colours, what has no place there, and the one legend."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from loadgen.load.shapes import ClosedLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.report.comparison.compared import compared
from loadgen.report.comparison.matrix import MAX_COLORS
from loadgen.report.comparison.page import comparison_page
from loadgen.report.comparison.selection import Chosen, Selection
from loadgen.report.comparison.view import View
from tests.report.documents import Document, measured_run, specs, sweep_row

TTFT = View(y=("ttft_s",))


def sweep(
    sweep_id: str, loads: Sequence[int] = (1,), tokens: int = 32, status: str = "valid", **changed: Any
) -> list[Document]:
    planned = specs([ClosedLoop(load) for load in loads], (tokens,), 4, 2, requests_per_slot=4, model=sweep_id)
    return [measured_run(replace(spec, **changed), sweep_id, status=status)[0] for spec in planned]


def selected(*sweeps: list[Document], created: Sequence[str] = ()) -> Selection:
    runs = tuple(run for each in sweeps for run in each)
    ids = [each[0]["sweep_id"] for each in sweeps]
    planned: list[RunSpec] = specs([ClosedLoop(1)], (32,), 4, requests_per_slot=4)
    chosen = tuple(
        Chosen(sweep_id, sweep_id, replace(sweep_row(sweep_id, planned), created_at=day), 2)
        for sweep_id, day in zip(ids, created, strict=False)
    )
    return Selection(chosen, runs, {sweep_id: sweep_id for sweep_id in ids}, {})


@pytest.mark.parametrize("color", ["sweep", "model", ""])
@pytest.mark.parametrize(
    ("created", "oldest"),
    [
        (("2026-11-03", "2026-11-01", "2026-11-02"), "s-b"),
        (("2026-11-01", "2026-11-02", "2026-11-03"), "s-a"),
        (("2026-11-03", "2026-11-02", "2026-11-01"), "s-c"),
        (("2026-11-01", "2026-11-01", "2026-11-01"), "s-a"),  # the first that was chosen
    ],
)
def test_the_oldest_sweep_is_the_baseline(color: str, created: Sequence[str], oldest: str) -> None:
    chosen = selected(sweep("s-a"), sweep("s-b"), sweep("s-c"), created=created)
    made = compared(replace(TTFT, color=color), chosen)
    assert (made.view.baseline, made.baseline_source) == (oldest, "oldest_sweep")
    page = comparison_page(replace(TTFT, color=color), chosen)
    assert page.matrix is not None
    assert page.matrix.chosen_by_default == "the oldest sweep"
    assert [choice.label for choice in page.baseline if choice.chosen] == [f"{oldest} (default)"]


def test_where_sweeps_share_a_colour_the_first_is_the_baseline() -> None:
    older, newer = sweep("s-a", (1,), 64), sweep("s-b", (1,), 32)
    both = selected([*older, *sweep("s-a", (1,), 32)], newer, created=("2026-11-01", "2026-11-02"))
    made = compared(replace(TTFT, color="input_tokens"), both)
    assert (made.view.baseline, made.baseline_source) == ("32 in", "first")


@pytest.mark.parametrize(
    ("asked", "baseline", "source"), [("none", "", "none_asked"), ("s-b", "s-b", "asked"), ("", "s-a", "oldest_sweep")]
)
def test_how_the_baseline_was_chosen(asked: str, baseline: str, source: str) -> None:
    made = compared(replace(TTFT, baseline=asked), selected(sweep("s-a"), sweep("s-b")))
    assert (made.view.baseline, made.baseline_source) == (baseline, source)
    assert compared(TTFT, selected(sweep("s-a"))).baseline_source == "one_only"


@pytest.mark.parametrize(("others", "left_out"), [(1, 0), (6, 0), (7, 1), (12, 6)])
def test_the_matrix_has_at_most_six_colours_besides_the_baseline(others: int, left_out: int) -> None:
    page = comparison_page(TTFT, selected(*(sweep(f"s-{number:02}") for number in range(others + 1))))
    assert page.matrix is not None
    shown = [group.title for group in page.matrix.groups]
    assert shown == [f"s-{number:02}" for number in range(1, min(others, MAX_COLORS) + 1)]
    assert page.matrix.left_out == left_out
    assert page.legend is not None
    assert len(page.legend.marks) == others + 1


def test_lines_that_are_not_comparable_do_not_count_among_the_six() -> None:
    longer = [sweep(f"s-{number:02}", tokens=64) for number in range(1, 8)]
    page = comparison_page(replace(TTFT, color="sweep"), selected(sweep("s-00"), *longer, sweep("s-99")))
    assert page.matrix is not None
    assert [group.title for group in page.matrix.groups] == ["s-99"]
    assert page.matrix.left_out == 0


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"tokens": 64}, "not the same work: input_tokens 64 instead of 32"),
        ({"output_tokens": 9}, "not the same work: output_tokens 9 instead of 4"),
        ({"endpoint": "chat"}, "not the same work: endpoint chat instead of completions"),
        ({"shape": Wave(1)}, "not the same work: shape.kind wave instead of closed_loop"),
        ({"loads": (4, 8)}, "no load in common"),
        ({"status": "invalid"}, "all runs are invalid"),
    ],
)
def test_what_cannot_be_compared_is_listed_with_the_reason(other: dict[str, Any], reason: str) -> None:
    chosen = selected(sweep("s-a", (1, 2)), sweep("s-b", **({"loads": (1, 2)} | other)), sweep("s-c", (1, 2)))
    page = comparison_page(replace(TTFT, color="sweep"), chosen)
    assert page.matrix is not None
    assert [group.title for group in page.matrix.groups] == ["s-c"]
    assert page.matrix.columns == ("1", "2")
    assert page.uncompared == f"Not compared with s-a: “s-b” ({reason})."


def test_a_reason_is_said_once_for_all_lines_that_share_it() -> None:
    sweeps = [sweep("s-a"), sweep("s-b", tokens=64), sweep("s-c", (8,)), sweep("s-d", tokens=64), sweep("s-e")]
    page = comparison_page(replace(TTFT, color="sweep"), selected(*sweeps))
    same = "not the same work: input_tokens 64 instead of 32"
    assert page.uncompared == f"Not compared with s-a: “s-b” and “s-d” ({same}); “s-c” (no load in common)."
    assert not any("unlike in input_tokens" in note for note in page.notes)


def test_without_a_comparable_line_there_is_no_matrix_and_a_sentence() -> None:
    along_load = replace(TTFT, color="sweep", x="load")
    page = comparison_page(along_load, selected(sweep("s-a"), sweep("s-b", tokens=64)))
    assert page.matrix is None
    assert page.uncompared.startswith("Not compared with s-a: “s-b”")
    none = comparison_page(replace(TTFT, baseline="none"), selected(sweep("s-a"), sweep("s-b")))
    assert (none.matrix, none.uncompared) == (None, "")


def test_a_figure_of_which_neither_way_is_better_is_not_compared_at_other_lengths() -> None:
    along_load = View(y=("tokens_per_chunk",), x="load", color="sweep")
    page = comparison_page(along_load, selected(sweep("s-a"), sweep("s-b", tokens=64), sweep("s-c")))
    assert page.matrix is not None
    assert [group.title for group in page.matrix.groups] == ["s-c"]
    assert page.uncompared == "Not compared with s-a: “s-b” (not the same work: input_tokens 64 instead of 32)."


def test_all_that_is_comparable_leaves_nothing_to_list() -> None:
    page = comparison_page(TTFT, selected(sweep("s-a"), sweep("s-b")))
    assert page.uncompared == ""


def test_one_legend_has_the_colours_and_shapes_of_the_charts() -> None:
    names = ["nightly run of olmoe, fp8", "nightly run of olmoe, bf16"]
    page = comparison_page(replace(TTFT, color="model"), selected(*(sweep(name) for name in names)))
    assert page.legend is not None
    assert [mark.label for mark in page.legend.marks] == ["bf16", "fp8"]
    assert [mark.tooltip for mark in page.legend.marks] == names[::-1]
    assert [mark.is_baseline for mark in page.legend.marks] == [False, True]
    assert page.legend.common == "nightly run of olmoe, …"
    (chart,) = page.sections[0].charts
    assert chart.spec is not None
    scale = chart.spec["layer"][-1]["encoding"]["color"]["scale"]
    assert scale["domain"] == [mark.label for mark in page.legend.marks]
    assert scale["range"] == [mark.fill for mark in page.legend.marks]
    assert {row["line"] for row in chart.spec["data"]["values"]} == set(names)
    assert page.matrix is not None
    assert [(group.title, group.color) for group in page.matrix.groups] == [("bf16", names[1])]
    assert {line.cells[0] for line in page.sections[0].table.lines} == {
        ("fp8", names[0], names[0]),
        ("bf16", names[1], names[1]),
    }


def test_lines_of_one_colour_stand_in_the_legend_by_their_dashes() -> None:
    both = [[*sweep(name, tokens=32), *sweep(name, tokens=64)] for name in ("s-a", "s-b")]
    page = comparison_page(View(y=("ttft_s",), x="load", color="model"), selected(*both))
    assert page.legend is not None
    assert [(stroke.label, stroke.dashes) for stroke in page.legend.strokes] == [("32 in", "1 0"), ("64 in", "5 3")]
    assert comparison_page(TTFT, selected(sweep("s-a"))).legend is None


@pytest.mark.parametrize(
    ("changed", "label"), [({"warmup_requests": 3}, "warmup-requests"), ({"requests": 40}, "requests")]
)
def test_options_of_a_run_are_labelled_as_their_flags_are_written(changed: dict[str, Any], label: str) -> None:
    made = compared(TTFT, selected(sweep("s-a"), sweep("s-b", **changed)))
    assert made.known[f"asked.{next(iter(changed))}"].label == label
    assert made.known["tp"].label == "tensor-parallel-size"
