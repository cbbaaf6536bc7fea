"""Programs of loadgen in processes forked from one that has imported them: a new interpreter takes 0.6 s of a processor to be one.

What belongs to the start of an interpreter is tested elsewhere, with real ones.
"""

import gc
import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe, context, forkserver, popen_forkserver, reduction, spawn, util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

from loadgen.cli.app import main as command
from loadgen.service import queue
from loadgen.service.job import main as job
from tests.forked import Forked, take_streams


def service() -> int:
    """The command, whose jobs are forked as well if it serves."""
    queue._start_process = start_job  # type: ignore[assignment]  # which is all that the queue asks of a Popen
    return command()


PROGRAMS = {"command": command, "job": job, "service": service}

# One of its own: a fork of all of loadgen takes 0.05 s longer than one of the engine alone, of which there are many more.
_SERVER = forkserver.ForkServer()
_SERVER.set_forkserver_preload(
    [
        "loadgen.cli.app",
        "loadgen.cli.commands.execution",
        "loadgen.cli.tables.sweep",
        "loadgen.experiments.study.run",
        "loadgen.report.export.results",
        "loadgen.service.job",
        "pytest",  # this process's own program
    ]
)


class _Popen(popen_forkserver.Popen):
    """As `multiprocessing` has it, but forked from `_SERVER`."""

    _fds: list[int]

    def _launch(self, process_obj: BaseProcess) -> None:
        sent = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(spawn.get_preparation_data(process_obj.name), sent)
            reduction.dump(process_obj, sent)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, data = _SERVER.connect_to_new_process(self._fds)
        kept = os.dup(data)  # by which the child knows that this process lives
        self.finalizer = util.Finalize(self, _close, (kept, self.sentinel))
        with os.fdopen(data, "wb") as writer:
            writer.write(sent.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class _Process(context.ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> _Popen:
        return _Popen(process_obj)


def start_function(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that calls a function of a module."""
    process = _Process(target=function, args=arguments)
    process.start()
    return process


class ForkedProgram(Forked):
    """What tests and the queue of jobs ask of a `subprocess.Popen[str]`."""

    def __init__(
        self,
        program: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        has_stdin: bool = False,
        joins_stderr: bool = False,
    ) -> None:
        inner_in, outer_in = Pipe(duplex=False)
        outer_out, inner_out = Pipe(duplex=False)
        outer_err, inner_err = Pipe(duplex=False)
        streams = (inner_in, inner_out, inner_out if joins_stderr else inner_err)
        variables = dict(os.environ if environment is None else environment)
        super().__init__(start_function(_run, program, tuple(arguments), variables, str(Path.cwd()), streams))
        for each in (inner_in, inner_out, inner_err):
            each.close()
        self.stdin = _file(outer_in, "w")
        if not has_stdin:
            self.stdin.close()
        self.stdout = _file(outer_out, "r")
        self.stderr = _file(outer_err, "r")

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it still says on stdout and on stderr, once it has ended."""
        with ThreadPoolExecutor(2) as readers:
            out, err = (readers.submit(stream.read) for stream in (self.stdout, self.stderr))
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            said = out.result(), err.result()
        self.close()
        return said

    def close(self) -> None:
        """Close its streams here."""
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def start_job(environment: Mapping[str, str]) -> ForkedProgram:
    """Start the process of a job, in place of the queue's own `_start_process`."""
    return ForkedProgram("job", environment=environment, has_stdin=True, joins_stderr=True)


def _close(*descriptors: int) -> None:
    for each in descriptors:
        os.close(each)


def _file(connection: Connection, mode: str) -> IO[str]:
    fd = os.dup(connection.fileno())
    connection.close()
    return os.fdopen(fd, mode, encoding="utf-8", errors="replace")


def _run(
    program: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    folder: str,
    streams: tuple[Connection, Connection, Connection],
) -> None:
    """Be the program: its streams, its variables, its folder, its arguments."""
    gc.freeze()  # as in a new interpreter, a collection has little to look through
    if program == "job":
        os.setsid()
    take_streams(streams)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["loadgen", *arguments]
    sys.exit(PROGRAMS[program]())
