"""`python -m loadgen.servers.launcher.supervisor`: the process that owns a server. It has a session and a group of its own, and no
parent that would wait for it.

Its standard input is its lifeline and its orders, a JSON document a line: first what to start, later `{"ready": …}`. When the
input ends before "ready", whoever started it is gone, and so is the server at once. After "ready" the server lives until it
dies, or until this process gets SIGTERM; either way its whole family ends with it, those that left the group included, for
this process is their subreaper. What happens is told on standard output, a JSON document a line, and kept in the state.

Standard library only, so that it weighs little beside the server that is measured.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadgen.servers.launcher.processes import MARK, Process, boot_id, descendants, end, process, table
from loadgen.servers.launcher.state import CLEANUP_LIMIT_S, HowEnded, ServerState, SupervisorOrder, now, write_state

_PR_SET_CHILD_SUBREAPER = 36
_REST_GRACE_S = 3.0  # for what is left once the server's main process has ended


class Supervisor:
    """One server from its start to its end. `lifeline` is read, `events` is written to."""

    def __init__(self, order: SupervisorOrder, lifeline: int, events: int) -> None:
        self._folder = Path(order["folder"])
        self._argv: list[str] = order["argv"]
        self._environment: dict[str, str] = order["environment"]
        self._keeps_lifeline: bool = order["keeps_lifeline"]
        self._lifeline: int | None = lifeline
        self._events = events
        me = process(os.getpid())
        assert me is not None
        self._state = replace(
            ServerState.from_json(order["state"]), boot=boot_id(), supervisor=me.pid, supervisor_started=me.started
        )
        self._log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._child: subprocess.Popen[bytes] | None = None  # kept so that nobody else reaps it
        self._status: int | None = None  # of the server's main process, once it has ended
        self._asked = False

    def run(self) -> None:
        """Start the server and stay until nothing of it is left."""
        # Whatever this machine's processes do, the state is there before the server: who finds it can end it.
        write_state(self._folder, self._state)
        waker = self._listen_to_signals()
        self._tell("supervising", pid=self._state.supervisor, started=self._state.supervisor_started)
        if not self._start():
            return
        self._tell("started", server=self._state.server)
        how: HowEnded = "abandoned"  # also when this very process fails
        try:
            how = self._watch(waker)
        finally:
            self._end(how)

    def _listen_to_signals(self) -> int:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def asked(number: int, frame: object) -> None:
            self._asked = True

        signal.signal(signal.SIGTERM, asked)
        # Handled and not ignored: what is ignored here would be ignored by the server as well.
        for other in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(other, lambda number, frame: None)
        return reader

    def _start(self) -> bool:
        environment = {**os.environ, **self._environment, MARK: self._state.mark}
        folder = str(Path(self._argv[0]).parent)
        if folder != ".":  # a program of a virtual environment looks there for its compilers and subcommands
            environment["PATH"] = f"{folder}:{environment.get('PATH', os.defpath)}"
        try:
            self._child = subprocess.Popen(
                self._argv, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
            )
        except OSError as error:
            self._note(f"could not start {self._argv[0]}: {error.strerror}")
            self._save(self._state.with_end("died"))
            self._tell("not_started", reason=f"{self._argv[0]}: {error.strerror}")
            return False
        self._save(replace(self._state, server=self._child.pid))
        return True

    def _watch(self, waker: int) -> HowEnded:
        """Until the server is to end or has ended; which of them it was."""
        buffer = b""
        while True:
            self._reap()
            if self._asked:
                return "asked"
            if self._status is not None:
                return "died"
            watched = [waker] if self._lifeline is None else [waker, self._lifeline]
            readable, _, _ = select.select(watched, [], [])
            if waker in readable:
                with suppress(BlockingIOError):
                    os.read(waker, 4096)
            if self._lifeline in readable:
                assert self._lifeline is not None
                received = os.read(self._lifeline, 65536)
                buffer += received
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    self._save(replace(self._state, phase="ready", ready_at=now(), facts=json.loads(line)["ready"]))
                    self._tell("recorded")
                if not received:
                    if self._state.phase != "ready":
                        return "abandoned"
                    if self._keeps_lifeline:
                        return "asked"
                    os.close(self._lifeline)
                    self._lifeline = None

    def _end(self, how: HowEnded) -> None:
        if self._status is None:  # the server's own way of ending comes first
            end(self._main_alone, grace_s=self._state.grace_s, reap=self._reap)
        clean = end(self._family, grace_s=_REST_GRACE_S, reap=self._reap)
        if self._state.cleanup:
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    self._state.cleanup,
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    timeout=CLEANUP_LIMIT_S,
                    check=False,
                )
        code, name = _how(self._status)
        ended = self._state.with_end(how, code, name)
        assert ended.ended is not None
        self._note(f"the server {ended.ended.sentence}" + ("" if clean else "; some of its processes cannot be ended"))
        self._save(ended)
        self._tell("ended", how=how)

    def _main_alone(self) -> list[Process]:
        found = process(self._state.server or 0)
        return [] if found is None or self._status is not None else [found]

    def _family(self) -> list[Process]:
        processes = table()
        return [processes[pid] for pid in descendants([os.getpid()], processes)]

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._state.server:
                    self._status = status

    def _save(self, state: ServerState) -> None:
        self._state = state
        with suppress(OSError):  # a full disk must not cost the server, nor its end
            write_state(self._folder, state)

    def _note(self, text: str) -> None:
        with suppress(OSError):
            os.write(self._log, f"[loadgen {now()}] {text}\n".encode())

    def _tell(self, event: str, **facts: Any) -> None:
        with suppress(OSError):  # nobody listens any more
            os.write(self._events, json.dumps({"event": event, **facts}).encode() + b"\n")


def _how(status: int | None) -> tuple[int | None, str | None]:
    """(exit code, name of the signal), each None where it does not apply."""
    if status is None:
        return None, None
    if os.WIFSIGNALED(status):
        return None, signal.Signals(os.WTERMSIG(status)).name
    return os.WEXITSTATUS(status), None


def _first_line(descriptor: int) -> bytes:
    """Byte by byte, so that nothing of the next line is taken; empty when the input ends before the line does."""
    line = b""
    while not line.endswith(b"\n"):
        received = os.read(descriptor, 1)
        if not received:
            return b""
        line += received
    return line


def main() -> int:
    """The exit code: 0 whatever became of the server."""
    # A child of nobody: who started it may live on for long, and would have to reap it.
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    line = _first_line(0)
    if line:
        Supervisor(json.loads(line), lifeline=0, events=1).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
