"""Streams of events on a real socket: who leaves is noticed, so many and no more follow, and a slow body is not waited for."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from loadgen.service.access import Access
from loadgen.service.app import create_service
from loadgen.service.queue import Queue
from loadgen.service.tokens import Token
from tests.service.conftest import BEARER, SPEC
from tests.service.started import TOKEN

pytestmark = pytest.mark.loopback


@dataclass(frozen=True, slots=True)
class Served:
    app: FastAPI
    url: str


@pytest.fixture
def served(db_url: str, queue: Queue) -> Iterator[Served]:
    app = create_service(db_url, Access(Token(TOKEN), loopback_reads=True), queue)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield Served(app, f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1")
        server.should_exit = True
        thread.join(30)


def send(served: Served) -> str:
    job_id: str = httpx2.post(f"{served.url}/sweeps", json=SPEC, headers=BEARER, timeout=30).json()["job_id"]
    return job_id


def wait_for_followers(served: Served, count: int) -> None:
    deadline_s = time.monotonic() + 60
    while served.app.state.followers != count:
        assert time.monotonic() < deadline_s, f"{served.app.state.followers} follow, not {count}"
        time.sleep(0.05)


def test_who_leaves_is_noticed(served: Served) -> None:
    job_id = send(served)
    with httpx2.stream("GET", f"{served.url}/jobs/{job_id}/events", timeout=30) as answer:
        lines = answer.iter_lines()  # kept: to let go of it would close the stream
        assert next(lines) == "event: job"
        wait_for_followers(served, 1)
    wait_for_followers(served, 0)


def test_so_many_follow_and_no_more(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.service.api.MAX_FOLLOWERS", 1)
    job_id = send(served)
    with httpx2.stream("GET", f"{served.url}/jobs/{job_id}/events", timeout=30) as answer:
        lines = answer.iter_lines()  # kept: to let go of it would close the stream
        assert next(lines) == "event: job"
        wait_for_followers(served, 1)
        refused = httpx2.get(f"{served.url}/jobs/{job_id}/events", timeout=30)
    assert (refused.status_code, "follow jobs already" in refused.json()["error"]) == (429, True)


def test_a_follower_hears_of_the_end(served: Served, queue: Queue) -> None:
    job_id = send(served)
    with httpx2.stream("GET", f"{served.url}/jobs/{job_id}/events", timeout=30) as answer:
        lines = answer.iter_lines()
        assert '"queued"' in [next(lines), next(lines)][1]
        queue.cancel(job_id)
        said = [line for line in lines if line.startswith("data: ")]
    assert len(said) == 1
    assert '"cancelled"' in said[0]


def test_a_body_that_does_not_come_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.service.access.MAX_BODY_S", 0.2)
    address = httpx2.URL(served.url)
    for path, kind in (("/api/v1/sweeps", "application/json"), ("/login", "application/x-www-form-urlencoded")):
        with socket.create_connection((address.host, address.port or 0)) as slow:
            slow.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {address.netloc.decode()}\r\nAuthorization: Bearer {TOKEN}\r\n"
                f"Content-Type: {kind}\r\nContent-Length: 100\r\n\r\n{{".encode()
            )
            slow.settimeout(30)
            assert slow.recv(4_096).startswith(b"HTTP/1.1 408")
