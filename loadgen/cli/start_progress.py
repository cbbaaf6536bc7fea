"""How a server's start goes, on stderr: one live line on a terminal, else a line per stage and no more than one in ten seconds."""

import re
import time
from types import TracebackType

from rich.status import Status

from loadgen.cli.terminal import Terminal, stderr

_PLAIN_EVERY_S = 10.0


class StartProgress:
    """Shows the stages of one start; a context manager."""

    def __init__(self, terminal: Terminal, name: str) -> None:
        self._terminal = terminal
        self._name = name
        self._began = self._last_plain = time.monotonic()
        self._stage = ""
        console = stderr()
        self._live: Status | None = None
        if console.is_terminal and not terminal.quiet:
            self._live = console.status(f"{name}: starting")

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
        elapsed_s = time.monotonic() - self._began
        text = f"{self._name}: {stage} ({elapsed_s:.0f} s)"
        if self._live is not None:
            self._live.update(text)
            return
        name = re.sub(r" \d+/\d+$", "", stage)  # a count that goes on is not news each time
        if name != self._stage or time.monotonic() - self._last_plain >= _PLAIN_EVERY_S:
            self._stage, self._last_plain = name, time.monotonic()
            self._terminal.note(text)
