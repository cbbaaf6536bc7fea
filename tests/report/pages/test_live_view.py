"""What pages say of a sweep while it is measured."""

import re
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from loadgen.load.shapes import ClosedLoop
from loadgen.report.pages.contexts import sweep_page
from loadgen.report.pages.live_view import live_line, live_view
from loadgen.report.pages.rendering import render
from loadgen.report.pages.sweeps_list import sweeps_page
from loadgen.store.rows import ProgressRow
from tests.report.documents import specs, sweep_row

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
DOCUMENT: Any = {
    "schema_version": 1,
    "runs": {"planned": 6, "at_most": False, "ended": 2},
    "server_stage": None,
    "run": {
        "position": 3,
        "load_label": "concurrency 16",
        "input_tokens": 128,
        "output_tokens": 64,
        "phase": "measuring",
        "duration_s": None,
        "elapsed_s": 12.0,
        "done_ratio": 0.4,
        "requests": {
            "planned": 1000,
            "sent": 416,
            "ended": 400,
            "failed": 3,
            "in_flight": 16,
            "held": 0,
            "thinking": 0,
        },
        "requests_per_s": 33.3,
        "ttft_s": {"p50": 0.0512, "max": 0.2, "n": 40},
        "window_s": 10.0,
    },
    "outcomes": {"ok": 1990, "connect_error": 10},
    "verdicts": {"valid": 2},
    "left_s": 95.0,
    "trail": {"step_s": 2.0, "requests_per_s": [30.0, None, 33.0], "ttft_p50_s": [0.05, None, 0.1]},
}


def row(**changes: Any) -> ProgressRow:
    document = deepcopy(DOCUMENT)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for name in parents:
            place = place[name]
        place[last] = value
    return ProgressRow("s1", "2026-11-23T15:29:59+00:00", document)


def test_the_present_run_is_told_as_people_say_it() -> None:
    view = live_view(row(), NOW)
    assert view.where == "Run 3 of 6: concurrency 16, 128 in, 64 out"
    assert view.said == f"{view.where}: measuring"
    assert (view.rate, view.ttft, view.in_flight, view.failed) == ("33.3", "51.2", "16", "3")
    assert view.ttft_note == "median, last 10 s; highest 200 ms; of 40 requests watched"
    assert (view.done_ratio, view.done) == (0.4, "400 of 1,000 requests ended")
    assert (view.left, view.left_note) == ("1 min 35 s", "estimated, of the whole sweep")
    assert view.outcomes == "in this run; runs before: 1,990 ok, 10 connect error"


def test_a_run_by_duration_says_how_much_of_it_has_passed() -> None:
    assert live_view(row(run__duration_s=30.0), NOW).done == "400 requests ended, 12 of 30 s"


def test_what_waits_is_told_while_it_does() -> None:
    view = live_view(row(run__requests__held=5, run__requests__thinking=1), NOW)
    assert view.in_flight_note == "requests; 5 held back by a limit; 1 user thinking"


def test_what_nobody_knows_is_a_dash() -> None:
    view = live_view(row(run__requests_per_s=None, run__ttft_s=None, left_s=None), NOW)
    assert (view.rate, view.ttft, view.left) == ("–", "–", "–")
    assert "highest" not in view.ttft_note


@pytest.mark.parametrize("told", [None, row(schema_version=2)])
def test_before_anything_is_known_there_are_dashes_alone(told: ProgressRow | None) -> None:
    view = live_view(told, NOW)
    assert {view.rate, view.ttft, view.in_flight, view.failed, view.left} == {"–"}
    assert view.rates.path == ""
    assert live_line(told) == ""


def test_a_process_that_has_fallen_silent_is_told_of() -> None:
    assert live_view(row(), datetime(2026, 11, 23, 15, 31, 29, tzinfo=UTC)).left_note == "nothing new for 1 min 30 s"


def test_between_runs_and_while_a_server_starts() -> None:
    between = live_view(row(run=None), NOW)
    assert (between.where, between.phase, between.in_flight) == ("2 of 6 runs ended", "between two runs", "–")
    starting = live_view(row(run=None, server_stage="tiny: loading weights"), NOW)
    assert starting.phase == live_line(row(run=None, server_stage="tiny: loading weights")) == "tiny: loading weights"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, "server 3 of 12, load 2 of 2, run 14 of 210; 1 h 20 min of the whole group"),
        ({"left_s": None, "loads": 1, "load": 1}, "server 3 of 12, run 14 of 210"),
    ],
)
def test_a_sweep_of_a_group_says_where_the_group_stands(changes: dict[str, Any], note: str) -> None:
    group = {"server": 3, "servers": 12, "load": 2, "loads": 2, "run": 14, "runs": 210, "left_s": 4800.0} | changes
    assert live_view(row(group=group), NOW).left_note == f"estimated, of this sweep; {note}"


def test_a_search_has_at_most_so_many_runs() -> None:
    assert live_view(row(runs__at_most=True), NOW).where.startswith("Run 3 of at most 6: ")


def test_a_course_ends_at_the_right_edge_and_has_gaps() -> None:
    rates = live_view(row(), NOW).rates
    assert rates.top == "0 to 33.0 per second, last 1 min"
    marks = re.findall(r"([ML])(\d+) ([\d.]+)", rates.path)
    assert [mark for mark, _, _ in marks] == ["M", "M"]  # two pieces: nobody spoke in between
    assert (marks[-1][1], float(marks[-1][2])) == ("300", 2.0)  # the newest, which is the highest
    joined = live_view(row(trail__requests_per_s=[1.0, 2.0]), NOW).rates.path
    assert re.findall("[ML]", joined) == ["M", "L"]


def test_a_course_of_zeroes_is_a_line_at_the_bottom() -> None:
    assert "M300 38.0" in live_view(row(trail__requests_per_s=[0.0]), NOW).rates.path


def test_the_line_of_a_list_is_short() -> None:
    assert live_line(row()) == "concurrency 16 · 40.0 % · 1 min 35 s left"
    assert live_line(row(run__phase="warming up", left_s=None)) == "concurrency 16 · warming up"


def test_what_a_server_says_is_only_text() -> None:
    hostile = row(server_stage="<script>alert(1)</script>")
    sweep = sweep_row("s1", specs([ClosedLoop(1)]), status="running")
    page = render(sweep_page(sweep, [], NOW, live=live_view(hostile, NOW)))
    listed = render(sweeps_page([sweep], NOW, progress={"s1": row(run=None, server_stage="<b>")}))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<b>" not in listed
    assert "&lt;b&gt;" in listed


def test_only_a_sweep_that_is_measured_has_the_part() -> None:
    sweep = sweep_row("s1", specs([ClosedLoop(1)]), status="running")
    assert "data-live" in render(sweep_page(sweep, [], NOW, live=live_view(row(), NOW)))
    assert "data-live" not in render(sweep_page(sweep, [], NOW))
