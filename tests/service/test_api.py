"""The API: what it takes, what it answers, and what it says of hostile bodies, forbidden servers and broken databases."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.load.shapes import ClosedLoop
from loadgen.service.documents import JobDocument
from loadgen.service.examples import JOB_EXAMPLE
from loadgen.service.queue import MAX_WAITING, Queue
from loadgen.service.submission import MAX_BYTES
from loadgen.store.jobs import Jobs
from loadgen.store.repository import Store
from tests.report.documents import fill, specs, sweep_row
from tests.service.conftest import BEARER, SPEC

SWEEPS = "/api/v1/sweeps"
HOSTILE = '<script>alert("x")</script>&{{7*7}}'


def send(client: TestClient, spec: Any = SPEC, **headers: str) -> Any:
    return client.post(SWEEPS, json=spec, headers={**BEARER, **headers})


def change(db_url: str, job_id: str, **columns: Any) -> None:
    with Store.open(db_url) as store:
        Jobs(store).change(job_id, ("queued",), **columns)


def test_a_sweep_that_is_sent_is_a_job_in_the_queue(client: TestClient) -> None:
    answer = send(client)
    assert answer.status_code == 202
    job = answer.json()
    assert JobDocument(**job).status == "queued"
    assert answer.headers["location"] == f"/api/v1/jobs/{job['job_id']}"
    assert client.get(answer.headers["location"]).json() == job
    assert client.get("/api/v1/jobs").json()["jobs"] == [job]
    assert client.get("/jobs.json").json()["jobs"] == [job]
    assert client.get(f"/api/v1/jobs?spec_hash={job['spec_hash']}").json()["jobs"] == [job]
    assert client.get("/api/v1/jobs?spec_hash=other").json()["jobs"] == []


def test_a_queued_job_is_cancelled_resumed_and_not_cancelled_twice(client: TestClient) -> None:
    job_id = send(client).json()["job_id"]
    cancelled = client.post(f"/api/v1/jobs/{job_id}/cancel", headers=BEARER)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = client.post(f"/api/v1/jobs/{job_id}/cancel", headers=BEARER)
    assert (again.status_code, "nothing to cancel" in again.json()["error"]) == (409, True)
    resumed = client.post(f"/api/v1/jobs/{job_id}/resume", headers=BEARER)
    assert (resumed.status_code, resumed.json()["status"], resumed.json()["attempts"]) == (202, "queued", 2)
    assert client.post(f"/api/v1/jobs/{job_id}/resume", headers=BEARER).status_code == 409


def test_an_unknown_job_is_404(client: TestClient) -> None:
    for answer in (
        client.get("/api/v1/jobs/j0"),
        client.get("/api/v1/jobs/j0/events"),
        client.post("/api/v1/jobs/j0/cancel", headers=BEARER),
        client.post("/api/v1/jobs/j0/resume", headers=BEARER),
        client.get("/api/v1/sweeps/s0"),
        client.get("/api/v1/sweeps/s0/export"),
        client.get("/api/v1/runs/r0"),
        client.get("/api/v1/nowhere"),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]


def test_the_events_of_a_job_that_has_ended_are_its_end(client: TestClient) -> None:
    job_id = send(client).json()["job_id"]
    client.post(f"/api/v1/jobs/{job_id}/cancel", headers=BEARER)
    answer = client.get(f"/api/v1/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    name, data = answer.text.strip().split("\n")
    assert name == "event: job"
    assert json.loads(data.removeprefix("data: "))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("spec", "status", "sentence"),
    [
        ({**SPEC, "url": "http://b.example", "model": "m"}, 403, "not on this service's list"),
        ({**SPEC, "url": "http://169.254.169.254/latest", "model": "m"}, 403, "not on this service's list"),
        ({**SPEC, "concurency": 1}, 422, "did you mean 'concurrency'?"),
        ({**SPEC, "rate": 1}, 422, "exclude each other"),
        ({**SPEC, "trace": "/etc/passwd"}, 422, "a submission cannot read"),
        ({**SPEC, "api_key_env": "HOME"}, 403, "does not hold"),
        ({**SPEC, "header": {"X-Key": "secret-value-1234"}}, 422, "'header' in the request"),
        ([], 422, "must be a JSON object"),
    ],
)
def test_what_is_refused_is_a_sentence_and_no_job(client: TestClient, spec: Any, status: int, sentence: str) -> None:
    answer = send(client, spec)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert "secret-value-1234" not in answer.text
    assert client.get("/api/v1/jobs").json()["jobs"] == []


def test_an_oversized_body_is_413_whatever_it_says_of_its_length(client: TestClient) -> None:
    large = b'{"name": "' + b"x" * MAX_BYTES + b'"}'

    def pieces() -> Iterator[bytes]:
        for _ in range(1_000):
            yield b" " * 1_000

    headers = {**BEARER, "Content-Type": "application/json"}
    for body in (large, pieces()):
        answer = client.post(SWEEPS, content=body, headers=headers)
        assert answer.status_code == 413
        assert "65,536" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_a_form_could_send_is_415(client: TestClient, kind: str) -> None:
    answer = client.post(SWEEPS, content=json.dumps(SPEC), headers={**BEARER, "Content-Type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=100000"])
def test_a_bad_query_is_a_sentence(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/v1/jobs?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("'limit'")


def test_a_page_whose_address_makes_no_sense_says_so_as_it_does_without_the_service(client: TestClient) -> None:
    assert client.get("/?page=x").status_code == 400


def test_the_queue_takes_so_many_and_no_more(client: TestClient, db_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_WAITING >= 100
    monkeypatch.setattr("loadgen.service.queue.MAX_WAITING", 2)
    assert [send(client).status_code for _ in range(3)] == [202, 202, 429]


def test_hostile_words_are_words(client: TestClient) -> None:
    job = send(client, {**SPEC, "name": HOSTILE, "model": f"{HOSTILE}-model"}).json()
    assert job["name"] == HOSTILE
    page = client.get("/jobs").text
    assert "<script>alert" not in page
    assert "{{7*7}}" in page
    assert "&lt;script&gt;" in page


def test_a_deleted_database_is_503_and_not_made_anew(client: TestClient, tmp_path: Path) -> None:
    job_id = send(client).json()["job_id"]
    for file in tmp_path.glob("service.db*"):
        file.unlink()
    for answer in (
        client.get("/api/v1/jobs"),
        client.get("/api/v1/sweeps"),
        client.get("/jobs.json"),
        client.get(f"/api/v1/jobs/{job_id}"),
        send(client),
        client.post(f"/api/v1/jobs/{job_id}/cancel", headers=BEARER),
    ):
        assert answer.status_code == 503
        assert "service.db" in answer.json()["error"]
    assert client.get("/jobs").status_code == 503
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [("UPDATE alembic_version SET version_num = '9999'", "upgrade loadgen"), ("DROP TABLE job", "failed")],
)
def test_a_database_of_a_newer_schema_or_a_broken_one_is_503(
    client: TestClient, tmp_path: Path, broken: str, sentence: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "service.db")) as connection, connection:
        connection.execute(broken)
    for answer in (client.get("/api/v1/jobs"), send(client), client.get("/jobs.json")):
        assert answer.status_code == 503
        assert sentence in answer.json()["error"]
    assert client.get("/jobs").status_code == 503


def test_results_are_taken_as_documents_and_files(client: TestClient, tmp_path: Path) -> None:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 4, requests_per_slot=4)
    runs = fill(tmp_path / "service.db", sweep_row("s261123-152901-4f2a", planned, "a grid"), planned)
    assert [each["sweep_id"] for each in client.get(SWEEPS).json()["sweeps"]] == ["s261123-152901-4f2a"]
    assert client.get(f"{SWEEPS}/s2611").json()["runs"] == runs
    assert client.get(f"/api/v1/runs/{runs[0]['run_id']}").json()["sweep"]["sweep_id"] == "s261123-152901-4f2a"
    table = client.get(f"{SWEEPS}/s2611/export?format=csv")
    assert table.headers["content-disposition"] == 'attachment; filename="s261123-152901-4f2a.csv"'
    assert len(table.text.strip().splitlines()) == 3
    assert client.get(f"{SWEEPS}/s2611/export").json()["runs"] == runs
    assert client.get(f"{SWEEPS}/s2611/export?format=parquet").content[:4] == b"PAR1"
    assert len(client.get(f"{SWEEPS}/s2611/export?format=csv&requests=1").text.splitlines()) > 3
    assert client.get(f"{SWEEPS}/s2611/export?format=xml").status_code == 422


def test_the_page_of_jobs_says_what_to_do_next(client: TestClient, reader: TestClient, queue: Queue) -> None:
    assert "loadgen sweep --service" in client.get("/jobs").text
    assert "loadgen dashboard --token-env" in reader.get("/jobs").text
    send(client)
    page = client.get("/jobs").text
    assert "Log in" in page
    assert "/cancel" not in page


def test_who_is_logged_in_cancels_and_resumes_by_buttons(client: TestClient, db_url: str) -> None:
    job_id = send(client).json()["job_id"]
    ours = {"Origin": "http://127.0.0.1:8080"}
    client.post("/login", data={"token": BEARER["Authorization"].split()[1]}, headers=ours)
    assert f'action="/jobs/{job_id}/cancel"' in client.get("/jobs").text
    assert client.post(f"/jobs/{job_id}/cancel", headers=ours).headers["location"] == "/jobs"
    assert f'action="/jobs/{job_id}/resume"' in client.get("/jobs").text
    assert client.post(f"/jobs/{job_id}/resume", headers=ours).status_code == 303
    assert client.get(f"/api/v1/jobs/{job_id}").json()["status"] == "queued"
    change(db_url, job_id, status="finished")
    late = client.post(f"/jobs/{job_id}/cancel", headers=ours)
    assert (late.status_code, "nothing to cancel" in late.text) == (409, True)


def test_a_job_on_a_simulator_says_so_and_one_with_an_invalid_run_too(client: TestClient, db_url: str) -> None:
    job_id = send(client).json()["job_id"]
    assert "SIMULATED" in client.get("/jobs").text
    real = send(client, {**SPEC, "url": "http://a.example:8000", "model": "m"}).json()["job_id"]
    change(db_url, job_id, target="b.example:80")
    assert "SIMULATED" not in client.get("/jobs").text
    planned = specs([ClosedLoop(1)], (32,), 4, requests_per_slot=4)
    sweep = replace(sweep_row("s261123-152901-4f2a", planned, "a grid"), simulated=True)
    fill(Path(db_url.removeprefix("sqlite:///")), sweep, planned)
    change(db_url, real, status="finished", exit_code=3, sweep_id="s261123-152901-4f2a")
    page = client.get("/jobs").text
    assert "SIMULATED" in page
    assert "some run is invalid" in page


def test_older_jobs_are_on_the_next_page(client: TestClient) -> None:
    ids = [send(client).json()["job_id"] for _ in range(52)]
    first = client.get("/jobs").text
    assert (ids[-1] in first, ids[0] in first) == (True, False)
    link = first.split('<a href="/jobs?before=')[1].split('"')[0]
    second = client.get(f"/jobs?before={link}").text
    assert (ids[0] in second, ids[-1] in second) == (True, False)


def test_the_page_of_jobs_shows_the_queue_and_why_a_job_failed(
    client: TestClient, reader: TestClient, db_url: str
) -> None:
    first, second, third, failed = (send(client, {**SPEC, "name": f"job {each}"}).json()["job_id"] for each in range(4))
    change(db_url, failed, status="failed", exit_code=5, message="nothing answers at http://a.example:8000")
    change(db_url, first, status="running", started_at="2026-11-23T15:29:01+00:00")
    page = client.get("/jobs").text
    assert f'1st in the queue of this server, after <a href="#{first}">job 0</a>, which is running' in page
    assert f'2nd in the queue of this server, after <a href="#{second}">job 1</a></small>' in page
    assert "nothing answers at http://a.example:8000" in page
    assert '<progress max="2" value="0" aria-label="Runs of job 0 that ended">' in page
    found = {job["job_id"]: job for job in client.get("/jobs.json").json()["jobs"]}
    assert (found[third]["queue_position"], found[third]["waits_for_job_id"]) == (2, second)
    assert found[first]["elapsed_s"] > 0
    change(db_url, second, status="cancelled")
    with Store.open(db_url) as store:
        Jobs(store).change(first, ("running",), status="interrupted")
    assert "1st in the queue of this server: starts next" in client.get("/jobs").text
    assert "1st in the queue of this server: starts when the service does" in reader.get("/jobs").text
    assert '<noscript><meta http-equiv="refresh"' in client.get("/jobs").text


def test_a_job_on_another_page_is_named_without_a_link(client: TestClient) -> None:
    ids = [send(client, {**SPEC, "name": f"job {each}"}).json()["job_id"] for each in range(52)]
    page = client.get("/jobs").text
    assert "3rd in the queue of this server, after job 1</small>" in page
    assert f'4th in the queue of this server, after <a href="#{ids[2]}">job 2</a>' in page


def test_the_verdicts_of_a_job_stand_next_to_the_link_to_its_sweep(client: TestClient, db_url: str) -> None:
    job_id = send(client).json()["job_id"]
    planned = specs([ClosedLoop(1), ClosedLoop(2)], (32,), 4, requests_per_slot=4)
    row = sweep_row("s261123-152901-4f2a", planned, "a grid")
    fill(Path(db_url.removeprefix("sqlite:///")), row, planned, statuses=["valid", "invalid"])
    change(db_url, job_id, status="finished", exit_code=3, sweep_id=row.sweep_id)
    (cell,) = [text for text in client.get("/jobs").text.split("<td") if f'href="/sweeps/{row.sweep_id}"' in text]
    assert "✓ 1" in cell
    assert "✕ 1" in cell
    job = client.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["ended_runs"], job["valid_runs"], job["doubtful_runs"], job["invalid_runs"]) == (2, 1, 0, 1)


def test_log_out_is_in_the_header_of_who_is_logged_in(client: TestClient) -> None:
    assert "Log out" not in client.get("/jobs").text
    client.post(
        "/login", data={"token": BEARER["Authorization"].split()[1]}, headers={"Origin": "http://127.0.0.1:8080"}
    )
    header, _, rest = client.get("/jobs").text.partition("</header>")
    assert "Log out" in header
    assert "Log out" not in rest


def test_an_answer_of_an_earlier_service_is_read_without_the_new_keys() -> None:
    begin = list(JOB_EXAMPLE).index("queue_position")
    made = JobDocument(**dict(list(JOB_EXAMPLE.items())[:begin]))
    assert (made.queue_position, made.ended_runs, made.present_run) == (None, None, None)
