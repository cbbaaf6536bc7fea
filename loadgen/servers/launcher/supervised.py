"""The other end of the supervisor's pipes: start one, hear what happens, tell it that the server is ready, or let go."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from loadgen.errors import ServerError
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.processes import FOLDER, is_alive
from loadgen.servers.launcher.state import ServerState, SupervisorEvent, SupervisorOrder

_RESPONSE_LIMIT_S = 20.0
_LOOK_AGAIN_S = 0.01
_END_MARGIN_S = 40.0  # beyond the server's own grace: the rest of the family, and a clean-up


class Supervised:
    """A server that is starting under a supervisor. While this object holds the lifeline, the server may be ended by `end_and_wait`."""

    def __init__(self, folder: Path, launch: Launch, state: ServerState, *, keeps_lifeline: bool) -> None:
        self._grace_s = state.grace_s
        self._buffer = b""
        self._identity: tuple[int, int] | None = None  # of the supervisor: its id and start time
        assert state.log is not None
        with Path(state.log).open("ab") as log:
            # -P: a file of the working directory that is called like a library must not be imported in its place.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "loadgen.servers.launcher.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, FOLDER: str(folder)},
            )
        self._process.wait()  # what was started is only the parent of the supervisor, which is nobody's child
        order: SupervisorOrder = {
            "folder": str(folder),
            "state": state.to_json(),
            "argv": list(launch.argv),
            "environment": dict(launch.environment),
            "log": state.log,
            "keeps_lifeline": keeps_lifeline,
        }
        self._send(order)

    def events(self, wait_s: float) -> list[SupervisorEvent]:
        """What was told since the last look, waiting up to `wait_s` for something; `{"event": "gone"}` when it has ended."""
        assert self._process.stdout is not None
        if self._process.stdout.closed:
            return [{"event": "gone"}]
        descriptor = self._process.stdout.fileno()
        readable, _, _ = select.select([descriptor], [], [], wait_s)
        if not readable:
            return []
        received = os.read(descriptor, 65536)
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        events: list[SupervisorEvent] = [json.loads(line) for line in lines]
        for event in events:
            if event["event"] == "supervising":
                self._identity = (event["pid"], event["started"])
        if not received:
            events.append({"event": "gone"})
        return events

    def ready(self, facts: Mapping[str, object]) -> None:
        """Have the server recorded as ready. Raises ServerError when it ended at this very moment."""
        self._send({"ready": facts})
        while events := self.events(_RESPONSE_LIMIT_S):
            if any(event["event"] == "recorded" for event in events):
                return
            if events[-1]["event"] == "gone":
                break
        raise ServerError("the server ended at the moment when it had become ready")

    def end_and_wait(self) -> None:
        """Close the lifeline: before "ready", or when the supervisor was told to keep it, the server ends, which is waited for.

        Raises ServerError when it does not come to that.
        """
        self._close(self._process.stdin)
        deadline = time.monotonic() + self._grace_s + _END_MARGIN_S
        while (left_s := deadline - time.monotonic()) > 0:
            if any(event["event"] == "gone" for event in self.events(left_s)):
                self._close(self._process.stdout)
                self._await_death(deadline)
                return
        raise ServerError("the server does not end; `loadgen serve down` tries again")

    def release(self) -> None:
        """Leave the server to its supervisor, for good."""
        self._close(self._process.stdin)
        self._close(self._process.stdout)

    def _await_death(self, deadline: float) -> None:
        """The supervisor has closed its pipes, which is nearly its end."""
        while self._identity is not None and is_alive(*self._identity) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)

    def _close(self, pipe: IO[bytes] | None) -> None:
        if pipe is not None and not pipe.closed:
            with suppress(BrokenPipeError):
                pipe.close()

    def _send(self, document: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(document).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ServerError("the server's supervisor ended at once") from error
