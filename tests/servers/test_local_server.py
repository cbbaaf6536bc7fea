"""Where a server is, and which processes it has."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from loadgen.servers.local_server import environment_value, is_local, processes_of

LISTENER = """
import os, socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.0.0.7:8000", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000", True),
        ("http://192.0.2.7:8000", False),
        ("http://nowhere.invalid:8000", False),
    ],
)
def test_a_server_is_local_by_its_address(url: str, expected: bool) -> None:
    assert is_local(url) is expected


@pytest.fixture
def listener() -> Iterator[tuple[str, list[int]]]:
    """The URL of a process that listens, and its pid and its child's."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "2,3"}
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        port, child = process.stdout.readline().split()
        yield f"http://127.0.0.1:{port}", [process.pid, int(child)]


@pytest.mark.loopback
@pytest.mark.skipif(sys.platform != "linux", reason="other systems show sockets to root alone")
def test_a_servers_processes_are_the_listener_and_what_it_started(listener: tuple[str, list[int]]) -> None:
    url, pids = listener
    found = processes_of(url)
    assert [process.pid for process in found] == pids
    assert environment_value(found, "CUDA_VISIBLE_DEVICES") == "2,3"
    assert environment_value(found, "NO_SUCH_VARIABLE") is None


def test_where_nothing_listens_there_are_no_processes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert processes_of(f"http://127.0.0.1:{port}") == []
