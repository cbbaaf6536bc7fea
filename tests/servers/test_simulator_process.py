"""The simulator as a process: it starts, says why it cannot, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from loadgen.errors import ServerError, UsageError
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess, process, serve

pytestmark = pytest.mark.loopback

SERVE = "import sys; from loadgen.servers.simulator import *; serve(SimulatorOptions(), lambda port: print(port, flush=True))"
PARENT = """
import time
from loadgen.servers.simulator import SimulatorProcess
with SimulatorProcess() as simulator:
    print(simulator.pid, flush=True)
    time.sleep(60)
"""

START_PROCESS = process._start_process  # before the session replaces it


@pytest.fixture(autouse=True)
def _real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_start_process", START_PROCESS)


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ends_within(pid: int, limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while not has_ended(pid) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return has_ended(pid)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        said = f"port {port} on 127.0.0.1 is already in use; choose another with --port"
        with pytest.raises(UsageError, match=said):
            serve(SimulatorOptions(port=port))
        with pytest.raises(ServerError, match=said), SimulatorProcess(SimulatorOptions(port=port)):
            pass


def test_an_address_of_another_host_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1 port 0 \("):
        serve(SimulatorOptions(host="192.0.2.1"))


def test_the_block_ends_the_process_and_frees_the_port() -> None:
    with SimulatorProcess() as simulator:
        pid, port = simulator.pid, simulator.port
        assert simulator.url == f"http://127.0.0.1:{port}"
        assert not has_ended(pid)
        leaving_s = time.monotonic()
    assert time.monotonic() - leaving_s < 2  # from then on it would have been killed
    assert has_ended(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_process_that_died_is_said_to_not_answer() -> None:
    with SimulatorProcess() as simulator:
        os.kill(simulator.pid, signal.SIGKILL)
        assert ends_within(simulator.pid, 20)
        with pytest.raises(ServerError, match="does not answer GET /truth"):
            simulator.truth()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_server_ends_cleanly_while_streaming(ending: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        port = int(server.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            body = b'{"prompt":"x","max_tokens":30000,"stream":true}'
            head = b"POST /v1/completions HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            client.sendall(head % len(body) + body)
            client.recv(100)
            server.send_signal(ending)
            assert server.wait(1) == 0
        assert server.stderr.read() == b""


def test_the_child_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not has_ended(child)
        parent.kill()
    assert ends_within(child, 20)
