"""The row of the one service of a queue: taken once, renewed, given back, and found by whatever spelling of its database."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.errors import StoreError, UsageError
from loadgen.store.jobs import Jobs
from loadgen.store.queue_claim import ClaimLostError, QueueClaim, has_ended, this_process
from loadgen.store.repository import Store
from loadgen.store.rows import QueueOwner
from tests.store.postgresql import PostgresServer
from tests.store.test_jobs import job

FIRST, SECOND = this_process(), this_process()


def test_it_is_taken_once_and_given_back(any_url: str) -> None:
    with Store.open(any_url) as store, Store.open(any_url) as other:
        first, second = QueueClaim(store, FIRST), QueueClaim(other, SECOND)
        assert first.found() is None
        assert first.take(None)
        assert not second.take(None)
        found = second.found()
        assert found is not None
        assert (found.owner, found.claimed_at) == (FIRST, found.heartbeat_at)
        second.release()  # of what it does not have
        assert second.found() == found
        first.release()
        assert second.take(None)


def test_only_a_claim_that_was_not_renewed_is_taken_over(any_url: str) -> None:
    with Store.open(any_url) as store:
        first, second = QueueClaim(store, FIRST), QueueClaim(store, SECOND)
        first.take(None)
        before = second.found()
        first.renew()
        assert not second.take(before)
        now = second.found()
        assert now is not None
        assert before is not None
        assert (now.claimed_at, now.heartbeat_at > before.heartbeat_at) == (before.claimed_at, True)
        assert second.take(now)
        with pytest.raises(ClaimLostError, match=rf"process {os.getpid()} on .* took them over"):
            first.renew()
        second.renew()


def test_a_claim_that_was_deleted_is_made_again_by_who_has_it(any_url: str) -> None:
    with Store.open(any_url) as store:
        first = QueueClaim(store, FIRST)
        first.take(None)
        first.release()
        first.renew()
        found = first.found()
        assert found is not None
        assert found.owner == FIRST


def test_who_has_lost_it_changes_no_job(any_url: str) -> None:
    with Store.open(any_url) as store:
        Jobs(store, FIRST).add(job("j1"))  # with no claim at all, nobody is in the way
        QueueClaim(store, SECOND).take(None)
        late = Jobs(store, FIRST)
        with pytest.raises(ClaimLostError):
            late.add(job("j2"))
        with pytest.raises(ClaimLostError):
            late.change("j1", ("queued",), status="running")
        with pytest.raises(ClaimLostError):
            late.queue_again("j1")
        assert [job.job_id for job in late.of_status("queued")] == ["j1"]
        assert Jobs(store, SECOND).change("j1", ("queued",), status="running") is not None


@pytest.fixture
def ended() -> Iterator[QueueOwner]:
    """An owner whose process has ended but was not waited for."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield replace(FIRST, process_id=process.pid, process_started=int(stat.rpartition(")")[2].split()[19]))


def test_an_owner_that_ended_is_known_on_its_own_machine(ended: QueueOwner) -> None:
    assert has_ended(ended)
    assert has_ended(replace(FIRST, process_started=FIRST.process_started + 1))  # another process of that number
    assert not has_ended(FIRST)


@pytest.mark.parametrize(
    "elsewhere", [{"boot_id": "another"}, {"boot_id": ""}, {"process_namespace": "pid:[1]"}, {"process_namespace": ""}]
)
def test_of_a_process_that_cannot_be_seen_nothing_is_known(ended: QueueOwner, elsewhere: dict[str, str]) -> None:
    assert not has_ended(replace(ended, **elsewhere))  # type: ignore[arg-type]


def test_a_database_that_another_program_writes_is_not_waited_for(url: str) -> None:
    with Store.open(f"{url.split('?')[0]}?timeout=30") as store:
        with closing(sqlite3.connect(str(store.path), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                QueueClaim(store, FIRST).take(None)
        assert QueueClaim(store, FIRST).take(None)


@pytest.mark.parametrize(
    "spelling",
    [
        "sqlite:////proc/self/cwd/q.db",
        "sqlite:///q.db",
        "sqlite:///./sub/../q.db",
        "sqlite:////{here}/q.db",
        "sqlite:///{here}//q.db",
        "sqlite:///linked/q.db",
        "sqlite:///link.db",
        "sqlite:///link-of-link.db",
        "sqlite+pysqlite:///{here}/q.db",
        "sqlite:///{here}/q.db?timeout=3",
    ],
)
def test_another_spelling_of_the_path_is_the_same_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with Store.open(f"sqlite:///{tmp_path}/q.db") as store:
        (tmp_path / "linked").symlink_to(tmp_path)
        (tmp_path / "link.db").symlink_to(tmp_path / "q.db")
        (tmp_path / "link-of-link.db").symlink_to("linked/link.db")
        QueueClaim(store, FIRST).take(None)
        with Store.open(spelling.format(here=tmp_path)) as other:
            found = QueueClaim(other, SECOND).found()
    assert found is not None
    assert found.owner == FIRST


@pytest.mark.postgres
def test_another_spelling_of_the_url_is_the_same_queue(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    with Store.open(url) as store:
        QueueClaim(store, FIRST).take(None)
        for other_url in (
            url.replace("127.0.0.1", "localhost"),
            url.replace("postgresql+psycopg", "postgresql"),
            f"{url}?application_name=another",
            f"{url}?options=-c%20search_path%3Dpublic",
            f"{url.replace('127.0.0.1', '')}?host=127.0.0.1",
        ):
            with Store.open(other_url) as other:
                found = QueueClaim(other, SECOND).found()
            assert found is not None, other_url
            assert found.owner == FIRST


def test_a_file_of_two_names_is_refused(tmp_path: Path) -> None:
    """For SQLite would keep two logs, and neither service would see the other's claim."""
    with Store.open(f"sqlite:///{tmp_path}/q.db") as store:
        os.link(tmp_path / "q.db", tmp_path / "another.db")
        with pytest.raises(UsageError, match=r"q\.db has 2 names \(hard links\)"):
            QueueClaim(store, FIRST).take(None)
        (tmp_path / "another.db").unlink()
        assert QueueClaim(store, FIRST).take(None)
