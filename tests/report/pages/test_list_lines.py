"""The rows of the list of sweeps: figures as on each sweep's own page, groups in one row, a dash for what is unknown."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from loadgen.load.shapes import ClosedLoop
from loadgen.report.comparison.view import Filters
from loadgen.report.pages.list_lines import GroupLine
from loadgen.report.pages.rendering import render
from loadgen.report.pages.sweeps_list import LINES_A_PAGE, SweepsPage, sweeps_page
from loadgen.store.rows import ImportMark, RunFigures, SweepRow
from tests.report.documents import specs, sweep_row
from tests.report.pages.test_sweep_figures import DOUBTFUL, H200, INVALID, run

NOW = datetime(2026, 11, 23, 15, 32, 1, tzinfo=UTC)
GROUP = "g261123-152900-07c1"
A100 = "NVIDIA A100"


def sweep(sweep_id: str = "s1", **changed: Any) -> SweepRow:
    row = sweep_row(sweep_id, specs([ClosedLoop(1)]), changed.pop("name", sweep_id))
    return replace(row, **({"runs": 1, "valid": 1} | changed))


def page(sweeps: Sequence[SweepRow], runs: Sequence[RunFigures] = (), **asked: Any) -> SweepsPage:
    return sweeps_page(sweeps, NOW, open_runs=lambda listed: runs, **asked)


def group_of(sweeps: Sequence[SweepRow], runs: Sequence[RunFigures] = (), **asked: Any) -> GroupLine:
    (entry,) = page(sweeps, runs, **asked).entries
    assert entry.group is not None
    return entry.group


@pytest.mark.parametrize(
    ("row", "runs", "cells"),
    [
        (sweep(runs=0, valid=0), [], ("–", "", False, "–", "–")),
        (sweep(status="running", runs=0), [], ("–", "", False, "–", "–")),
        (sweep(status="running"), [run("16")], ("100", "concurrency 16", False, "50.0", "–")),
        (sweep(), [run("16", 12_345.6, 0.0123)], ("12,346", "concurrency 16", False, "12.3", "–")),
        (sweep(), [run("16", **DOUBTFUL)], ("100", "concurrency 16", True, "50.0", "–")),
        (sweep(invalid=1), [run(**INVALID)], ("–", "", False, "–", "–")),
        (sweep(), [run("16", ttft_s=None)], ("100", "concurrency 16", False, "–", "–")),
        (sweep(), [run("16", output=None)], ("–", "concurrency 16", False, "50.0", "–")),
        (sweep(), [run("16", load_label=None)], ("100", "", False, "50.0", "–")),
        (
            *(sweep(), [run("1"), run("16", 300.0, input_tokens=1024)]),
            ("300", "concurrency 16, 1,024 in, 32 out", False, "50.0", "–"),
        ),
        (
            *(sweep(), [run("1"), run("16", 300.0, input_tokens=None)]),
            ("300", "concurrency 16, – in, 32 out", False, "50.0", "–"),
        ),
        (
            *(sweep(), [run("1", gpu_count=2, gpu_names=H200 * 2)]),
            ("100", "concurrency 1", False, "50.0", "2 × NVIDIA H200"),
        ),
        (sweep(), [run("1", gpu_count=4)], ("100", "concurrency 1", False, "50.0", "4 GPUs")),
        (
            *(sweep(), [run("1", gpu_count=2, gpu_names=[A100, *H200])]),
            ("100", "concurrency 1", False, "50.0", "1 × NVIDIA A100, 1 × NVIDIA H200"),
        ),
        (
            *(sweep(), [run("1", gpu_count=1, gpu_names=[A100, *H200])]),
            ("100", "concurrency 1", False, "50.0", "1 × NVIDIA A100 or NVIDIA H200"),
        ),
        (sweep(simulated=True), [run("1")], ("100", "concurrency 1", False, "50.0", "–")),
        (
            sweep(imported=ImportMark("r.json", "0" * 64, "2026-11-23T15:29:01+00:00", "GuideLLM")),
            [run("1")],
            ("100", "concurrency 1", False, "50.0", "–"),
        ),
    ],
)
def test_a_row_shows_the_best_point_and_the_gpus(
    row: SweepRow, runs: Sequence[RunFigures], cells: tuple[str, str, bool, str, str]
) -> None:
    made = page([row], runs)
    (line,) = made.entries[0].lines
    found = line.figures
    assert (found.output, found.load, found.doubtful, found.ttft, found.gpus) == cells
    assert made.entries[0].group is None
    html = render(made)
    assert ("◐" in html) == cells[2]
    assert cells[1] in html


def three(**changed: Any) -> list[SweepRow]:
    """The sweeps of a group, newest first, as the store lists them."""
    return [
        sweep(f"s{number}", name=f"tp: {number}", group_id=GROUP, created_at=f"2026-11-23T15:0{number}:00", **changed)
        for number in (3, 2, 1)
    ]


def figures(output: dict[str, float], gpus: dict[str, int] | None = None) -> list[RunFigures]:
    counts = gpus or {}
    return [
        run(
            *("16", value, value / 1000),
            sweep_id=sweep_id,
            gpu_count=counts.get(sweep_id),
            gpu_names=H200 * counts[sweep_id] if sweep_id in counts else None,
        )
        for sweep_id, value in output.items()
    ]


def test_the_sweeps_of_a_group_are_one_row_that_holds_their_rows_in_the_order_measured() -> None:
    made = page([sweep("s9"), *three(planned_runs=2), sweep("s0")])
    assert [len(entry.lines) for entry in made.entries] == [1, 3, 1]
    group = made.entries[1].group
    assert group is not None
    assert (group.name, group.sweeps, group.chosen, group.progress) == ("tp", "3 sweeps", GROUP, "3 / 6")
    assert (group.valid, group.statuses) == (3, (("finished", 3),))
    assert [line.sweep.sweep_id for line in made.entries[1].lines] == ["s1", "s2", "s3"]
    html = render(made)
    assert html.count("<summary>") == 1
    assert f'name="in" value="{GROUP}"' in html
    assert f"of {GROUP}" not in html  # its rows stand below it


@pytest.mark.parametrize(
    ("output", "gpus", "shown"),
    [
        ({}, {}, ("–", "–", "–")),
        ({"s1": 100.0}, {}, ("100", "100", "–")),
        ({"s1": 100.0, "s2": 250.0, "s3": 50.0}, {}, ("50.0 to 250", "50.0 to 250", "–")),
        ({"s1": 100.0, "s2": 100.0}, {"s1": 1, "s2": 1}, ("100", "100", "1 × NVIDIA H200, –")),
        ({"s1": 1.0, "s2": 2.0, "s3": 4.0}, {"s1": 1, "s2": 2, "s3": 4}, ("1.00 to 4.00",) * 2 + ("1 to 4 × NVIDIA H200",)),
        ({"s1": 1.0, "s2": 1.0, "s3": 1.0}, {"s1": 2, "s2": 2, "s3": 2}, ("1.00", "1.00", "2 × NVIDIA H200")),
    ],
)  # fmt: skip
def test_a_group_shows_ranges_and_nothing_for_what_is_unknown(
    output: dict[str, float], gpus: dict[str, int], shown: tuple[str, str, str]
) -> None:
    found = group_of(three(), figures(output, gpus)).figures
    assert (found.output, found.ttft, found.gpus) == shown


def test_a_group_of_several_kinds_of_gpu_names_each() -> None:
    runs = [
        run("1", sweep_id="s1", gpu_count=1, gpu_names=H200),
        run("1", sweep_id="s2", gpu_count=2, gpu_names=[A100] * 2),
        run("1", sweep_id="s3", gpu_count=8),
    ]
    assert group_of(three(), runs).figures.gpus == "1 × NVIDIA H200, 2 × NVIDIA A100, 8 GPUs"


def test_a_group_shows_the_load_of_its_best_points_only_where_it_is_one() -> None:
    same = [run("16", sweep_id="s1"), run("16", sweep_id="s2")]
    assert group_of(three(), same).figures.load == "concurrency 16"
    assert group_of(three(), [*same, run("64", sweep_id="s3", **DOUBTFUL)]).figures.load == ""
    assert group_of(three(), [*same, run("64", sweep_id="s3", **DOUBTFUL)]).figures.doubtful


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["modes: a", "modes: ab"], "modes"),
        (["mixtral fp8 tp 1", "mixtral fp8 tp 2"], "mixtral fp8 tp"),
        (["one", "two", "three"], "one and 2 more"),
        (["tp=1", "tp=2"], "tp=1 and 1 more"),
        (["same", "same"], "same"),
        (["night", "night run"], "night"),
        (["", "x"], "s1 and 1 more"),
        (["<b>: 1", "<b>: 2"], "<b>"),
    ],
)
def test_a_group_is_called_by_what_its_names_begin_with(names: list[str], name: str) -> None:
    rows = [sweep(f"s{at}", name=each, group_id=GROUP) for at, each in enumerate(names, start=1)]
    made = page(rows[::-1])
    assert made.entries[0].group is not None
    assert made.entries[0].group.name == name
    assert "<b>" not in render(made)


@pytest.mark.parametrize(
    ("changes", "statuses", "chosen"),
    [
        ([{}, {}, {}], (("finished", 3),), GROUP),
        ([{"status": "running"}, {}, {}], (("finished", 2), ("running", 1)), GROUP),
        ([{"start_failure": {"kind": "gpu_memory"}, "runs": 0}, {}, {}], (("finished", 2), ("failed", 1)), GROUP),
        ([{"status": "running", "runs": 0}] * 3, (("running", 3),), ""),
    ],
)
def test_a_group_says_how_its_sweeps_stand_and_can_be_chosen_once_it_has_a_run(
    changes: list[dict[str, Any]], statuses: tuple[tuple[str, int], ...], chosen: str
) -> None:
    rows = [replace(row, **change) for row, change in zip(three(), changes, strict=True)]
    group = group_of(rows)
    assert (group.statuses, group.chosen) == (statuses, chosen)


def test_a_group_that_filters_cut_says_so_and_selects_what_is_shown() -> None:
    rows = three()
    rows[0] = replace(rows[0], server=rows[0].server | {"model": "other"})
    cut = group_of(rows, filters=Filters(model="mixtral-8x7b"))
    assert (cut.sweeps, cut.chosen) == ("2 of 3 sweeps", "s1,s2")
    (entry,) = page(rows, filters=Filters(model="other")).entries
    assert entry.group is None
    assert f"of {GROUP}" in render(page(rows, filters=Filters(model="other")))


def test_a_group_is_never_cut_by_the_end_of_a_page_and_counts_as_one_row() -> None:
    lone = [sweep(f"s8{number:03d}") for number in range(LINES_A_PAGE)]
    rows = [*lone[:-1], three()[0], *lone[-1:], *three()[1:]]
    first, second = page(rows), page(rows, page=2)
    assert len(first.entries) == LINES_A_PAGE
    assert [line.sweep.sweep_id for line in first.entries[-1].lines] == ["s1", "s2", "s3"]
    assert [line.sweep.sweep_id for entry in second.entries for line in entry.lines] == [lone[-1].sweep_id]
    assert (first.older, second.older) == ("/?page=2", "")


def test_the_runs_are_asked_for_once_and_of_the_sweeps_on_the_page_alone() -> None:
    rows = [*three(), *(sweep(f"s8{number:03d}") for number in range(2 * LINES_A_PAGE))]
    asked: list[list[str]] = []

    def open_runs(listed: Sequence[SweepRow]) -> list[RunFigures]:
        asked.append([row.sweep_id for row in listed])
        return []

    sweeps_page(rows, NOW, page=1, open_runs=open_runs)
    sweeps_page(rows, NOW, page=3, open_runs=open_runs)
    assert [len(each) for each in asked] == [LINES_A_PAGE + 2, 1]


@pytest.mark.parametrize("make", [lambda: [sweep()], three, lambda: three(runs=0, status="running")])
def test_a_page_has_as_many_cells_as_headings(make: Callable[[], list[SweepRow]]) -> None:
    html = render(page(make(), figures({"s1": 1.0, "s2": 2.0})))
    rows = re.findall(r"<tr>.*?</tr>", html, flags=re.DOTALL)
    assert {len(re.findall(r"<t[hd][ >]", row)) for row in rows} == {10}
