"""The service over a database of its own, with a queue that takes jobs and measures none."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.service.access import Access
from loadgen.service.app import create_service
from loadgen.service.queue import Queue
from loadgen.service.targets import Targets
from loadgen.service.tokens import Token
from loadgen.store.repository import Store
from tests.service.started import TOKEN

BEARER = {"Authorization": f"Bearer {TOKEN}"}
SPEC: dict[str, Any] = {"url": "simulator", "concurrency": [1, 2], "input_tokens": 8, "output_tokens": 8, "requests": 8}

MakeClient = Callable[..., TestClient]


@pytest.fixture
def db_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/service.db"


@pytest.fixture
def queue(db_url: str) -> Queue:
    """Not begun: what is sent stays in it."""
    Store.open(db_url).close()
    return Queue(db_url, Targets.of(["http://a.example:8000"]), ("http://a.example:8000",), {})


def _client(db_url: str, access: Access, queue: Queue | None, *, at: str) -> Iterator[TestClient]:
    with TestClient(create_service(db_url, access, queue), base_url=at, follow_redirects=False) as made:
        yield made


@pytest.fixture
def client(db_url: str, queue: Queue) -> Iterator[TestClient]:
    """The service on loopback, reached by a name of this machine."""
    yield from _client(db_url, Access(Token(TOKEN), loopback_reads=True), queue, at="http://127.0.0.1:8080")


@pytest.fixture
def far_client(db_url: str, queue: Queue) -> Iterator[TestClient]:
    """The service beyond loopback."""
    yield from _client(db_url, Access(Token(TOKEN), loopback_reads=False), queue, at="http://bench.example")


@pytest.fixture
def reader(db_url: str) -> Iterator[TestClient]:
    """The dashboard without any configuration."""
    yield from _client(db_url, Access(None, loopback_reads=True), None, at="http://localhost:8080")
