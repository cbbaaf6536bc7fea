"""Jobs on record: the order of the queue, changes that look at the status first, ids and pages of them."""

from dataclasses import replace

import pytest
from sqlalchemy import event

from loadgen.engine.records.record import Records
from loadgen.errors import NotFoundError, StoreError
from loadgen.store.jobs import Jobs
from loadgen.store.repository import Store
from loadgen.store.rows import JobRow, JobStanding
from loadgen.store.sweep_progress import SweepsProgress
from tests.store.conftest import MakeDocument, MakeSweep


def job(job_id: str, target: str = "a:80", **columns: object) -> JobRow:
    made = JobRow(
        job_id=job_id,
        status="queued",
        target=target,
        name="a grid",
        values={"url": "http://a:80", "concurrency": [1, 2]},
        spec_hash="h",
        planned_runs=2,
        submitted_at="2026-11-23T15:29:01+00:00",
    )
    return replace(made, **columns)  # type: ignore[arg-type]


def test_a_job_comes_back_as_it_went_in(store: Store) -> None:
    jobs = Jobs(store)
    jobs.add(job("j1"))
    assert jobs.job("j1") == job("j1")
    assert store.sweeps() == []


def test_the_queue_is_in_the_order_of_asking_and_a_resumed_job_goes_to_its_end(store: Store) -> None:
    jobs = Jobs(store)
    for name in ("j1", "j2", "j3"):
        jobs.add(job(name))
    jobs.change("j1", ("queued",), status="failed", message="the server died", exit_code=5)
    again = jobs.queue_again("j1")
    assert again is not None
    assert (again.status, again.attempts, again.message, again.exit_code) == ("queued", 2, None, None)
    assert [each.job_id for each in jobs.of_status("queued")] == ["j2", "j3", "j1"]
    assert jobs.count("queued") == 3


def test_a_change_that_comes_too_late_changes_nothing(store: Store) -> None:
    jobs = Jobs(store)
    jobs.add(job("j1"))
    assert jobs.change("j1", ("queued",), status="cancelled") is not None
    assert jobs.change("j1", ("queued",), status="running") is None
    assert jobs.job("j1").status == "cancelled"


@pytest.mark.parametrize("status", ["queued", "running", "finished"])
def test_what_goes_on_or_has_finished_is_not_queued_again(store: Store, status: str) -> None:
    jobs = Jobs(store)
    jobs.add(job("j1", status=status))
    assert jobs.queue_again("j1") is None
    assert jobs.job("j1").attempts == 1


def test_jobs_are_found_by_the_beginning_of_an_id_if_it_is_unique(store: Store) -> None:
    jobs = Jobs(store)
    jobs.add(job("j1"))
    jobs.add(job("j12"))
    assert jobs.job("j1").job_id == "j1"
    assert jobs.job("j12").job_id == "j12"
    with pytest.raises(NotFoundError, match="several jobs"):
        jobs.job("j")
    with pytest.raises(NotFoundError, match="no job 'j%'"):
        jobs.job("j%")


def test_pages_of_jobs_follow_one_another(store: Store) -> None:
    jobs = Jobs(store)
    for number in range(5):
        jobs.add(job(f"j{number}", spec_hash="even" if number % 2 == 0 else "odd"))
    assert [each.job_id for each in jobs.newest(limit=2)] == ["j4", "j3"]
    assert [each.job_id for each in jobs.newest(limit=2, before="j3")] == ["j2", "j1"]
    assert [each.job_id for each in jobs.newest(limit=9, spec_hash="even")] == ["j4", "j2", "j0"]
    with pytest.raises(NotFoundError):
        jobs.newest(limit=2, before="j9")


def test_a_reader_changes_nothing(store: Store, any_url: str) -> None:
    with Store.open(any_url, read_only=True) as reader, pytest.raises(StoreError, match="reading only"):
        Jobs(reader).add(job("j1"))
    assert Jobs(store).newest(limit=9) == []


def test_a_queued_job_has_a_place_among_those_of_its_server_and_waits_for_the_one_before_it(store: Store) -> None:
    jobs = Jobs(store)
    for each in (
        job("j1", status="running"),
        job("j2"),
        job("j3", "b:80"),
        job("j4", status="cancelled"),
        job("j5"),
        job("j6", "b:80"),
        job("j7", status="failed"),
    ):
        jobs.add(each)
    assert jobs.queue_again("j7") is not None
    rows = jobs.newest(limit=10)[::-1]
    found = {row.job_id: standing for row, standing in zip(rows, jobs.standings(rows), strict=True)}
    assert {
        job_id: (each.queue_position, each.waits_for_job_id, each.waits_for_status) for job_id, each in found.items()
    } == {
        "j1": (None, None, None),
        "j2": (1, "j1", "running"),
        "j3": (1, None, None),
        "j4": (None, None, None),
        "j5": (2, "j2", "queued"),
        "j6": (2, "j3", "queued"),
        "j7": (3, "j5", "queued"),
    }
    assert found["j5"].waits_for_name == "a grid"


def test_an_orphan_of_an_earlier_service_counts_as_running_whatever_was_sent_before_it(store: Store) -> None:
    jobs = Jobs(store)
    jobs.add(job("j1"))
    jobs.add(job("j2", status="running"))
    (first,) = jobs.standings([jobs.job("j1")])
    assert (first.queue_position, first.waits_for_job_id) == (1, "j2")


def test_the_runs_of_a_job_are_the_latest_attempt_at_each_of_its_sweep(
    store: Store, make_sweep: MakeSweep, make_document: MakeDocument, records: Records
) -> None:
    store.add_sweep(make_sweep("s1"))
    for seed, verdict, interrupted in ((101, "valid", False), (102, "doubtful", False), (103, "invalid", True)):
        document = make_document(f"r{seed}", "s1", seed=seed, verdict=verdict)
        document["interrupted"] = interrupted
        store.add_run("s1", document, records)
    jobs = Jobs(store)
    jobs.add(job("j1", status="interrupted", sweep_id="s1"))
    jobs.add(job("j2", status="running"))
    stopped, without_sweep = jobs.standings([jobs.job("j1"), jobs.job("j2")])
    assert (stopped.ended_runs, stopped.cut_short_runs, stopped.simulated) == (2, 1, True)
    assert (stopped.valid_runs, stopped.doubtful_runs, stopped.invalid_runs) == (1, 1, 1)
    assert without_sweep == JobStanding()
    store.add_run("s1", make_document("r9", "s1", seed=103), records)
    (resumed,) = jobs.standings([jobs.job("j1")])
    assert (resumed.ended_runs, resumed.cut_short_runs, resumed.invalid_runs) == (3, 0, 0)


def test_only_a_running_job_has_progress(store: Store, make_sweep: MakeSweep) -> None:
    store.add_sweep(make_sweep("s1"))
    SweepsProgress(store).put("s1", {"schema_version": 1})
    jobs = Jobs(store)
    jobs.add(job("j1", status="running", sweep_id="s1"))
    (running,) = jobs.standings([jobs.job("j1")])
    assert running.progress is not None
    jobs.change("j1", ("running",), status="interrupted")
    (stopped,) = jobs.standings([jobs.job("j1")])
    assert (stopped.progress, stopped.ended_runs) == (None, 0)


@pytest.mark.parametrize("count", [1, 60])
def test_a_long_list_takes_as_many_queries_as_a_short_one(store: Store, make_sweep: MakeSweep, count: int) -> None:
    jobs = Jobs(store)
    for number in range(count):
        store.add_sweep(make_sweep(f"s{number}"))
        jobs.add(job(f"q{number}"))
        jobs.add(job(f"r{number}", status="running", sweep_id=f"s{number}"))
    rows = jobs.newest(limit=500)
    asked: list[str] = []
    engine = store._database.reading
    event.listen(engine, "before_cursor_execute", lambda *words: asked.append(words[2]))
    assert len(jobs.standings(rows)) == 2 * count
    assert sum(each.startswith("SELECT") for each in asked) == 3
