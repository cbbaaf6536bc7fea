"""Jobs on record: the order of the queue, changes that look at the status first, ids and pages of them."""

from dataclasses import replace

import pytest

from loadgen.errors import NotFoundError, StoreError
from loadgen.store.jobs import Jobs
from loadgen.store.repository import Store
from loadgen.store.rows import JobRow


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
    with pytest.raises(NotFoundError, match="Several jobs"):
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
