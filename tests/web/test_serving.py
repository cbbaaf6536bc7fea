"""The dashboard on a real socket: it says where it is, and names a port that is taken."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from loadgen.errors import UsageError
from loadgen.web.app import serve

pytestmark = pytest.mark.loopback

SERVE = "from loadgen.web.app import serve; serve({url!r}, '127.0.0.1', 0, lambda url: print(url, flush=True))"


def test_a_port_in_use_is_named_with_the_flag_to_change_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port}.*--port"):
            serve(f"sqlite:///{tmp_path}/none.db", "127.0.0.1", port)


def test_a_host_that_is_not_ours_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no-such-host\.invalid"):
        serve(f"sqlite:///{tmp_path}/none.db", "no-such-host.invalid", 0)


def test_it_serves_on_a_free_port_and_ends_on_an_interrupt(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVE.format(url=f"sqlite:///{tmp_path}/none.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            assert httpx2.get(url, timeout=20).status_code == 200
            process.send_signal(2)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert errors == ""
    assert process.returncode == 0
