"""How far a prediction is, on stderr."""

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from loadgen.cli.console.terminal import Terminal
from loadgen.cli.progress.live_line import LiveLine


class PredictionProgress(LiveLine):
    """Shows how many points are predicted; a context manager. Call it with those done and those in all."""

    def __init__(self, terminal: Terminal, name: str, points: int) -> None:
        super().__init__(
            terminal,
            TextColumn("predicting {task.description}", markup=False),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("points"),
        )
        self._name = name
        if self._live is not None:
            self._task = self._live.add_task(name, total=points)

    def __call__(self, done: int, points: int) -> None:
        """Show the points that are done."""
        if self._live is not None:
            self._live.update(self._task, completed=done)
        elif done < points and self._plain_is_due():
            self._last_plain_s = self._clock()
            self._terminal.note(f"predicting {self._name}: {done} of {points} points")
