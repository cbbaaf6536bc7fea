"""How a server's start goes, on stderr: one live line on a terminal, else a line per stage and no more than one in ten seconds."""

import re
import time
from types import TracebackType

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from loadgen.cli.console.terminal import Terminal, stderr

_PLAIN_EVERY_S = 10.0


class StartProgress:
    """Shows the stages of one start; a context manager."""

    def __init__(self, terminal: Terminal, name: str) -> None:
        self._terminal = terminal
        self._name = name
        self._began = self._last_plain = time.monotonic()
        self._stage = ""
        console = stderr()
        self._live: Progress | None = None
        if console.is_terminal and not terminal.quiet:
            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._live = Progress(*columns, console=console, transient=True, refresh_per_second=5)
            self._task = self._live.add_task(name)

    def __enter__(self) -> "StartProgress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, stage: str) -> None:
        """The server has come to this stage."""
        if self._live is not None:
            self._live.update(self._task, description=f"{self._name}: {stage}")
            return
        name = re.sub(r" \d+/\d+$", "", stage)  # a count that goes on is not news each time
        if name != self._stage or time.monotonic() - self._last_plain >= _PLAIN_EVERY_S:
            self._stage, self._last_plain = name, time.monotonic()
            self._terminal.note(f"{self._name}: {stage} ({time.monotonic() - self._began:.0f} s)")
