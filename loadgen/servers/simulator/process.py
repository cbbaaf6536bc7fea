"""The simulator in a process of its own, so that serving costs the measuring process nothing.

`main` is that process: it prints one line of JSON with its port when it listens, and ends when its standard input does: with its
parent, that is, however that ended.
"""

import http.client
import json
import select
import subprocess
import sys
import tempfile
from typing import IO

from loadgen.errors import LoadgenError, ServerError
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.server import serve
from loadgen.servers.simulator.truth import TruthDocument

_CHILD = "import sys; from loadgen.servers.simulator.process import main; sys.exit(main(sys.argv[1]))"
_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 2.0
_REQUEST_LIMIT_S = 60.0


class SimulatorProcess:
    """A context manager: inside it, the simulator answers at `url`. It ends with the block, or with this process.

    Entering raises `ServerError` with what the child said when it does not come to answer.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self.port = 0  # known once entered
        self._child: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path."""
        host = self.options.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def pid(self) -> int:
        return self._started().pid

    def truth(self) -> TruthDocument:
        """What it really sent: the document of GET /truth."""
        document: TruthDocument = json.loads(self._request("GET", "/truth"))
        return document

    def reset_truth(self) -> None:
        """Make it forget the requests so far."""
        self._request("POST", "/truth/reset")

    def __enter__(self) -> "SimulatorProcess":
        self._complaints = tempfile.TemporaryFile()
        self._child = _start_process(self.options.to_json(), self._complaints)
        try:
            self.port = self._wait_for_port()
            self._request("GET", "/health")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop()

    def _wait_for_port(self) -> int:
        child = self._started()
        assert child.stdout is not None
        readable, _, _ = select.select([child.stdout], [], [], _START_LIMIT_S)
        line = child.stdout.readline() if readable else b""
        if not line:
            if not readable:
                raise ServerError(f"the simulator did not start: it said nothing for {_START_LIMIT_S:g} s")
            raise ServerError(self._last_complaint())
        return int(json.loads(line)["port"])

    def _last_complaint(self) -> str:
        """The last line of the child's standard error, after its end."""
        child, complaints = self._started(), self._complaints
        assert complaints is not None
        child.wait(_STOP_LIMIT_S)
        complaints.seek(0)
        lines = complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the simulator did not start: it ended with code {child.returncode}"

    def _request(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection(self.options.host, self.port, timeout=_REQUEST_LIMIT_S)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"the simulator at {self.url} does not answer {method} {path}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise ServerError(f"the simulator at {self.url} answers {method} {path} with {response.status}")
        return body

    def _stop(self) -> None:
        child = self._started()
        child.terminate()
        try:
            child.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout, self._complaints):
            if pipe is not None:
                pipe.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise ServerError("the simulator has not been started; use it as a context manager")
        return self._child


def _start_process(options: str, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `main` in a process whose standard error is written to `complaints`."""
    # A session of its own: Ctrl-C in the terminal is for the measuring process, which then drains against it.
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        start_new_session=True,
    )


def main(options: str) -> int:
    """Serve in this process, as the child of a `SimulatorProcess`; `options` is JSON. Return the exit code."""

    def tell_port(port: int) -> None:
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()

    try:
        serve(SimulatorOptions.from_json(options), tell_port, lifeline_fd=sys.stdin.fileno())
    except LoadgenError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0
