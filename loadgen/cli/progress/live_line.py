"""One line on stderr that is drawn again and again, and how the start of a server and a prediction are shown by it."""

import re
import time
from collections.abc import Callable
from typing import Self

from rich import progress

from loadgen.cli.console.terminal import Terminal, stderr

PLAIN_EVERY_S = 10.0  # the least time between two plain lines of one state


class LiveLine:
    """A line that is drawn again and again where stderr is a terminal; a context manager.

    Without a terminal, and with -q, `_live` is None. Plain lines then take its place, at most one in `plain_every_s`.
    """

    def __init__(
        self,
        terminal: Terminal,
        *columns: progress.ProgressColumn,
        plain_every_s: float = PLAIN_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal = terminal
        self._console = stderr()
        self._live: progress.Progress | None = None
        if self._console.is_terminal and not terminal.quiet:
            self._live = progress.Progress(*columns, console=self._console, transient=True, refresh_per_second=5)
        self._plain_every_s = plain_every_s
        self._clock = clock
        self._last_plain_s = clock()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _plain_is_due(self) -> bool:
        return self._clock() - self._last_plain_s >= self._plain_every_s


class StartProgress(LiveLine):
    """Shows the stages of one start of a server; without a terminal each stage at once."""

    def __init__(self, terminal: Terminal, name: str) -> None:
        super().__init__(
            terminal,
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}", markup=False),
            progress.TimeElapsedColumn(),
        )
        self._name = name
        self._began_s = self._last_plain_s
        self._stage = ""
        if self._live is not None:
            self._task = self._live.add_task(name)

    def say(self, stage: str) -> None:
        if self._live is not None:
            self._live.update(self._task, description=f"{self._name}: {stage}")
            return
        name = re.sub(r" \d+/\d+$", "", stage)  # a count that goes on is not news each time
        if name != self._stage or self._plain_is_due():
            self._stage, self._last_plain_s = name, self._clock()
            self._terminal.note(f"{self._name}: {stage} ({self._clock() - self._began_s:.0f} s)")


class CountProgress(LiveLine):
    """Shows how many of a number of things are done; a context manager. Call it with those done and those in all."""

    def __init__(self, terminal: Terminal, name: str, total: int, things: str) -> None:
        super().__init__(
            terminal,
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=16),
            progress.MofNCompleteColumn(),
            progress.TextColumn(things),
        )
        self._name, self._things = name, things
        if self._live is not None:
            self._task = self._live.add_task(name, total=total)

    def __call__(self, done: int, total: int) -> None:
        if self._live is not None:
            self._live.update(self._task, completed=done)
        elif done < total and self._plain_is_due():
            self._last_plain_s = self._clock()
            self._terminal.note(f"{self._name}: {done} of {total} {self._things}")
