"""The other end of the supervisor's pipes: start one, hear what happens, tell it that the server is ready, or let go."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from loadgen.errors import ServerError
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.state import ServerState

_ANSWER_LIMIT_S = 20.0
_END_MARGIN_S = 40.0  # beyond the server's own grace: the rest of the family, and a clean-up


class Supervised:
    """A server that is starting under a supervisor. While this object holds the lifeline, the server may be ended by `let_go`."""

    def __init__(self, folder: Path, launch: Launch, state: ServerState, *, keeps_lifeline: bool) -> None:
        self._grace_s = state.grace_s
        self._buffer = b""
        assert state.log is not None
        with Path(state.log).open("ab") as log:
            # -P: a file of the working directory that is called like a library must not be imported in its place.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "loadgen.servers.launcher.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        order = {
            "folder": str(folder),
            "state": state.to_json(),
            "argv": list(launch.argv),
            "environment": dict(launch.environment),
            "log": state.log,
            "keeps_lifeline": keeps_lifeline,
        }
        self._send(order)

    def events(self, wait_s: float) -> list[dict[str, Any]]:
        """What was told since the last look, waiting up to `wait_s` for something; `{"event": "gone"}` when it has ended."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        readable, _, _ = select.select([descriptor], [], [], wait_s)
        if not readable:
            return []
        received = os.read(descriptor, 65536)
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        if not received:
            events.append({"event": "gone"})
        return events

    def ready(self, facts: dict[str, Any]) -> None:
        """Have the server recorded as ready. Raises ServerError when it ended at this very moment."""
        self._send({"ready": facts})
        while events := self.events(_ANSWER_LIMIT_S):
            if any(event["event"] == "recorded" for event in events):
                return
            if events[-1]["event"] == "gone":
                break
        raise ServerError("the server ended at the moment when it had become ready")

    def let_go(self) -> None:
        """Close the lifeline: before "ready", or when the supervisor was told to keep it, the server ends, which is waited for."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def wait(self) -> None:
        """Until the supervisor has ended; raises ServerError when it does not come to that."""
        try:
            self._process.wait(self._grace_s + _END_MARGIN_S)
        except subprocess.TimeoutExpired as error:
            raise ServerError("the server does not end; `loadgen serve down` tries again") from error

    def release(self) -> None:
        """Leave the server to its supervisor, for good."""
        self.let_go()
        self._process.returncode = 0  # it lives on, and nobody here waits for it

    def _send(self, document: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(document).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ServerError("the server's supervisor ended at once") from error
