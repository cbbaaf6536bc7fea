"""How far a job is, from its row and from what its process reported last: never more than is known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loadgen.report.format import ordinal
from loadgen.report.pages.job_pages import JobLine, jobs_page
from loadgen.report.pages.job_progress import job_figures, job_progress
from loadgen.store.rows import JobRow, JobStanding, ProgressRow

NOW = datetime(2026, 11, 23, 15, 30, 0, tzinfo=UTC)
RUN: Any = {
    "position": 3,
    "load_label": "concurrency 4",
    "input_tokens": 16,
    "output_tokens": 32,
    "phase": "measuring",
    "elapsed_s": 6.5,
    "done_ratio": 0.25,
}
DOCUMENT: Any = {
    "schema_version": 1,
    "runs": {"planned": 9, "at_most": False, "ended": 2},
    "run": RUN,
    "left_s": 80.0,
}
JOB = JobRow(
    job_id="j1",
    status="running",
    target="a:80",
    name="a grid",
    values={},
    spec_hash="h",
    planned_runs=9,
    submitted_at="2026-11-23T15:20:00+00:00",
    started_at="2026-11-23T15:29:15+00:00",
    sweep_id="s1",
)


def standing(document: Any = DOCUMENT, ago_s: float = 2.0, **figures: Any) -> JobStanding:
    reported = ProgressRow("s1", (NOW - timedelta(seconds=ago_s)).isoformat(), document)
    return JobStanding(**{"ended_runs": 2, "valid_runs": 1, "doubtful_runs": 1, "progress": reported, **figures})


def line(job: JobRow = JOB, stands: JobStanding | None = None, takes_jobs: bool = True) -> JobLine:
    page = jobs_page([job], NOW, takes_jobs=takes_jobs, logged_in=True, standings=[stands or standing()])
    return page.lines[0]


def test_a_running_job_says_what_runs_now_and_how_long_it_takes() -> None:
    shown = line()
    assert (shown.ended, shown.standing.ended_runs, shown.most_runs) == ("2 of 9 runs ended", 2, 9)
    assert shown.present == "Run 3 of 9: concurrency 4, 16 in, 32 out: measuring, 25.0 %"
    assert shown.times == "45 s so far, about 1 min 18 s left"  # the 80 s were said 2 s ago


@pytest.mark.parametrize(
    ("document", "ago_s", "times"),
    [
        ({**DOCUMENT, "left_s": None}, 2.0, "45 s so far"),
        ({**DOCUMENT, "left_s": float("nan")}, 2.0, "45 s so far"),
        ({**DOCUMENT, "left_s": "soon"}, 2.0, "45 s so far"),
        ({**DOCUMENT, "left_s": 1.0}, 5.0, "45 s so far, about 0 s left"),
        (DOCUMENT, 16.0, "45 s so far, nothing new for 16 s"),
        (DOCUMENT, -30.0, "45 s so far, about 1 min 20 s left"),  # another machine's clock
        ({**DOCUMENT, "schema_version": 2}, 2.0, "45 s so far"),
    ],
)
def test_the_time_left_is_shown_only_if_it_is_known(document: Any, ago_s: float, times: str) -> None:
    assert line(stands=standing(document, ago_s)).times == times


@pytest.mark.parametrize(
    ("run", "present"),
    [
        ({**RUN, "phase": "warming up"}, "Run 3 of 9: concurrency 4, 16 in, 32 out: warming up"),
        ({**RUN, "done_ratio": None}, "Run 3 of 9: concurrency 4, 16 in, 32 out: measuring"),
        ({**RUN, "input_tokens": None}, "Run 3 of 9: concurrency 4, – in, 32 out: measuring, 25.0 %"),
        ({"position": 1}, "Run 1 of 9: , – in, – out: "),
        (None, "between two runs"),
        ("odd", "between two runs"),
        ({}, "between two runs"),
    ],
)
def test_the_present_run_is_shown_as_far_as_it_is_reported(run: Any, present: str) -> None:
    assert line(stands=standing({**DOCUMENT, "run": run})).present == present


def test_a_search_has_no_number_of_runs_beforehand() -> None:
    searching = {**DOCUMENT, "runs": {"planned": 20, "at_most": True, "ended": 2}, "left_s": None}
    shown = line(stands=standing(searching))
    assert (shown.most_runs, shown.ended) == (None, "2 of at most 20 runs ended")
    assert shown.present.startswith("Run 3 of at most 20: ")
    figures = job_figures(JOB, standing(searching), NOW)
    assert (figures["planned_runs_at_most"], figures["left_s"]) == (True, None)


def test_what_a_killed_process_of_an_earlier_attempt_reported_is_not_progress() -> None:
    progress = job_progress(JOB, standing(ago_s=60.0), NOW)
    assert (progress.present_run, progress.left_s, progress.progress_at, progress.quiet_s) == (None, None, None, 0.0)


def test_a_job_whose_server_has_not_answered_says_so() -> None:
    shown = line(replace(JOB, sweep_id=None), JobStanding())
    assert (shown.present, shown.ended) == ("waiting for the server's first reply", "0 of 9 runs ended")


@pytest.mark.parametrize(
    ("status", "columns", "figures", "ended", "times"),
    [
        ("queued", {"started_at": None, "sweep_id": None}, {"ended_runs": 0}, "", ""),
        ("cancelled", {"started_at": None, "sweep_id": None}, {"ended_runs": 0}, "", ""),
        ("finished", {"ended_at": "2026-11-23T15:29:45+00:00"}, {"ended_runs": 9}, "9 of 9 runs ended", "took 30 s"),
        (
            "interrupted",
            {"ended_at": "2026-11-23T15:29:45+00:00"},
            {"cut_short_runs": 1},
            "2 of 9 runs ended, 1 cut short",
            "took 30 s",
        ),
        ("failed", {"ended_at": "not a time"}, {}, "2 of 9 runs ended", ""),
        ("queued", {"started_at": None}, {"queue_position": 1}, "2 of 9 runs ended", ""),  # resumed
    ],
)
def test_a_job_that_is_not_running_shows_what_it_has(
    status: Any, columns: Any, figures: Any, ended: str, times: str
) -> None:
    shown = line(replace(JOB, status=status, **columns), standing(progress=None, **figures))
    assert (shown.ended, shown.times, shown.present) == (ended, times, "")


def test_the_keys_in_json_are_null_where_nothing_is_known() -> None:
    figures = job_figures(replace(JOB, status="queued", started_at=None, sweep_id=None), JobStanding(), NOW)
    unknown = {name for name, value in figures.items() if value is None}
    assert unknown == {"queue_position", "waits_for_job_id", "elapsed_s", "left_s", "progress_at", "present_run"}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (21, "21st"),
        (111, "111th"),
    ],
)
def test_ordinals(count: int, text: str) -> None:
    assert ordinal(count) == text
