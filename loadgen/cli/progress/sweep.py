"""How a sweep goes, on stderr: one live line and a line per finished run; plain lines where stderr is no terminal."""

import time
from collections.abc import Callable

from rich.progress import BarColumn, TaskID, TextColumn
from rich.text import Text

from loadgen.analysis.document.run import RunDocument
from loadgen.cli.console.terminal import Terminal
from loadgen.cli.progress.live_line import PLAIN_EVERY_S, LiveLine, StartProgress
from loadgen.cli.tables.run import run_line
from loadgen.engine.drive.driver import Progress
from loadgen.experiments import events
from loadgen.experiments.live import LiveState
from loadgen.experiments.prompt_fitting import FITTING_LIMIT_S
from loadgen.experiments.search import met_by
from loadgen.report.format import milliseconds, number, percent, plural, seconds, size
from loadgen.report.words.accuracy import accuracy_value
from loadgen.report.words.server import server_name


def saving_message(event: events.SavingDelayed | events.DatabaseRestored) -> str:
    """What is happening to the database, in one sentence."""
    match event:
        case events.SavingDelayed():
            return (
                f"saving the run is tried again for up to {seconds(event.within_s)} (Ctrl-C writes it to a file instead): "
                f"{event.reason}"
            )
        case events.DatabaseRestored():
            return f"the database {event.place} was deleted or moved during the sweep: a copy of it, complete, is there again"


def room_message(event: events.DiskSpaceShort) -> str:
    """Where the disk may fill up, in one sentence."""
    return (
        f"the disk may fill up: {event.what} may need {size(event.needed_bytes)} in {event.folder}, where "
        f"{size(event.free_bytes)} are free; a run that fills it is cut short or waited with, and not lost"
    )


class SweepProgress(LiveLine):
    """Shows events as they come; a context manager. Call it with each event."""

    def __init__(
        self,
        terminal: Terminal,
        *,
        resume: bool,
        plain_every_s: float = PLAIN_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            terminal,
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[state]}", markup=False),
            plain_every_s=plain_every_s,
            clock=clock,
        )
        self._resume = resume
        self._task: TaskID | None = None
        self._starting: StartProgress | None = None
        self._in_group = False
        self._parts: tuple[events.GroupPart, ...] = ()
        self._part: events.GroupPart | None = None
        self._runs = 0
        self._probes: _Probes | None = None  # of a search
        self._state = LiveState()
        self._present: events.PhaseStarted | None = None
        self._evaluated_requests = 0  # of the tool that evaluates now, when it was last heard of

    def __call__(self, event: events.Event) -> None:
        self._state.take(event)
        match event:
            case events.GroupStarted():
                self._group_started(event)
            case events.PartStarted():
                self._part_started(event)
            case events.CheckpointPruning():
                self.say(f"pruning {event.source} to {event.target}")
            case events.ServerStarting() | events.ServerReady() | events.ServerEnding():
                self._serving(event)
            case events.ServerNotStarted():
                self._starting = None
                if self._in_group:  # why is told at the end; this is for who watches
                    kind = event.failure.kind.replace("_", " ")
                    self.say(Text(f"✗ {event.label} did not start ({kind}); the others go on", style="red"))
            case events.RouteChosen():
                self._route_chosen(event)
            case events.AskedAgain():
                self.say(
                    f"the first question to {event.url} went unanswered ({event.why}); asking again in {event.wait_s:.3g} s, "
                    f"for at most {event.limit_s:g} s"
                )
            case events.FilesRead():
                for note in event.notes:
                    self.say(note)
            case events.DiskSpaceShort():  # also when quiet
                self._console.print(room_message(event), soft_wrap=True)
            case events.SweepStarted():
                self._started(event)
            case events.NothingToResume():
                if not self._in_group:  # of a group this is told once, at its beginning
                    self._nothing_to_resume(f"sweep {event.sweep_id} of this grid")
            case events.PhaseStarted():
                self._phase(event)
            case events.PromptsNotFitted():
                self.say(
                    f"the server's /tokenize took {FITTING_LIMIT_S:g} s in all: further prompts of this run are only "
                    f"about {number(event.run.input_tokens)} tokens long"
                )
            case events.RunProgressed():
                self._progressed(event)
            case events.RunEnded():
                self._ended(event)
            case events.Evaluating() | events.Evaluated():
                self._evaluated(event)
            case events.SavingDelayed() | events.DatabaseRestored():  # also when quiet
                self._console.print(saving_message(event), soft_wrap=True)

    def say(self, text: str | Text) -> None:
        """A line above the live one."""
        if not self._terminal.quiet:
            (self._live.console if self._live is not None else self._console).print(text, soft_wrap=True)

    def _group_started(self, event: events.GroupStarted) -> None:
        self._in_group = True
        if self._resume and not event.resumed:
            self.say("no group of these sweeps is on record: a new one begins")
            self._resume = False  # which goes for each of its sweeps
        self._parts = event.parts
        ended, left = sum(part.ended for part in event.parts), sum(len(part.runs) for part in event.parts)
        servers = max((part.server for part in event.parts), default=0)
        if not event.resumed:
            self.say(f"group {event.group_id}: {plural(servers, 'server')}, {plural(left, 'run')}")
        elif left:
            self.say(f"group {event.group_id} goes on: {ended:,} of {plural(ended + left, 'run')} finished before")
        else:
            self._nothing_to_resume(f"group {event.group_id}")

    def _nothing_to_resume(self, what: str) -> None:
        """Say, also when quiet, that what follows was measured before."""
        hint = "(leave out --resume to measure it again)"
        self._console.print(f"{what} is finished; nothing to resume {hint}", soft_wrap=True)

    def _part_started(self, event: events.PartStarted) -> None:
        """Which part of the group begins, and how long all that is left takes."""
        place = self._state.group_place
        self._part = self._parts[event.at]
        if place is not None and self._part.runs:
            self.say(Text(f"{place.sentence}{self._group_left}: {self._part.label}", style="bold"))

    @property
    def _group_left(self) -> str:
        """`, about 1 h 20 min left`; empty while nothing is known."""
        left_s = self._state.group_left_s
        return "" if left_s is None else f", about {seconds(round(left_s))} left"

    def _serving(self, event: events.ServerStarting | events.ServerReady | events.ServerEnding) -> None:
        match event:
            case events.ServerStarting():
                self._starting = self._starting or StartProgress(self._terminal, event.label)
                if self._live is None:
                    self._starting.say(event.stage)
                else:
                    self._line(event.label, event.stage)
            case events.ServerReady():
                self._starting = None
                took_s = event.server.facts.get("startup_s")
                after = f" after {seconds(round(took_s))}" if took_s and not event.was_running else ""
                self.say(
                    f"{event.label} {'is running' if event.was_running else 'answers'} at {event.server.url}{after}"
                )
            case events.ServerEnding():
                self._line(event.label, "ending the server")
                if self._live is None and self._terminal.verbose:
                    self.say(f"{event.label}: ending the server")

    def _line(self, description: str, state: str, *, total: float | None = None, completed: int = 0) -> None:
        if self._live is None:
            return
        if self._task is None:
            self._task = self._live.add_task("", total=None, state="")
        self._live.reset(self._task, total=total, completed=completed, description=description, state=state)

    def _started(self, event: events.SweepStarted) -> None:
        self._terminal.announce()
        self._runs = event.most_runs or len(event.runs)
        self._probes = None if event.needed_ratio is None else _Probes(event.needed_ratio)
        at_most = "" if event.most_runs is None else "at most "
        server = event.server
        label = "SIMULATED " if server.get("simulated") else ""
        self.say(f"{label}{server['model']} on {server_name(server)} at {server['url']}")
        kept = f", {event.kept} of them finished before" if event.resumed else ""
        if self._resume and not event.resumed and not self._in_group:
            self.say("no unfinished sweep of this spec is on record: a new one begins")
        self.say(f"sweep {event.sweep_id}: {at_most}{plural(self._runs, 'run')}{kept}")
        self._line("", "")

    def _route_chosen(self, event: events.RouteChosen) -> None:
        if event.insecure:  # also when quiet
            self._console.print(
                f"WARNING: --insecure: whoever answers at {event.url} is believed, and is sent the prompts and the key",
                style="bold red",
                soft_wrap=True,
            )
        if event.proxy is not None:
            self.say(f"through the proxy {event.proxy}, as the environment says: it is part of what is measured")

    def _phase(self, event: events.PhaseStarted) -> None:
        if self._present is None or self._present.position != event.position:
            self._last_plain_s = self._clock()
        self._present = event
        where = self._where(event)
        if self._live is not None:
            self._line(where, event.phase)
        elif self._terminal.verbose:
            self.say(f"{where}: {event.phase}")

    def _progressed(self, event: events.RunProgressed) -> None:
        present = self._present
        if present is None:
            return
        state = self._state_of(event.progress, present)
        if self._live is not None and self._task is not None:
            self._live.update(self._task, total=1.0, completed=self._state.done_ratio, state=state)
        elif self._plain_is_due():
            self._last_plain_s = self._clock()
            self.say(f"{self._where(present)}: {state}")

    def _state_of(self, progress: Progress, present: events.PhaseStarted) -> str:
        """`6/10 · 3.00 req/s · TTFT 200 ms, highest 300 · 2 s left`."""
        by_duration = present.run.duration_s is not None and present.phase == "measuring"
        counts = f"{progress.done:,}" if by_duration else f"{progress.done:,}/{progress.planned:,}"
        state = self._state
        left_s = state.left_s if state.group_place is None else state.group_left_s
        parts = [counts, f"{number(state.rate_per_s)} req/s"]
        if (ttft := state.ttft) is not None:
            parts.append(f"TTFT {milliseconds(ttft.p50_s)} ms, highest {milliseconds(ttft.max_s)}")
        if progress.failed:
            parts.append(f"{progress.failed:,} failed")
        if progress.held:
            parts.append(f"{progress.held:,} held back by a limit")
        if progress.thinking:
            parts.append(f"{plural(progress.thinking, 'user')} thinking")
        if present.phase == "warming up":
            parts.append("warm-up")
        elif progress.done >= progress.planned and not by_duration:
            parts.append("all replies are in")
        elif left_s is not None:
            parts.append(f"{seconds(round(left_s))} left" if round(left_s) else "waiting for the last replies")
        return " · ".join(parts)

    def _ended(self, event: events.RunEnded) -> None:
        line = Text(f"{event.position:>{len(str(self._runs))}}/{self._runs} ", style="dim")
        line.append_text(run_line(event.document))
        if self._probes is not None:
            line.append_text(self._probes.judged(event.document))
        self.say(line)

    def _evaluated(self, event: events.Evaluating | events.Evaluated) -> None:
        if isinstance(event, events.Evaluated):
            for row in event.evaluation.rows:
                self.say(f"{row.task} {row.metric}: {accuracy_value(row)}")
            return
        done, planned = event.done or 0, event.planned
        is_through = done == planned and self._evaluated_requests != planned
        self._evaluated_requests = done
        state = f"{event.tool}: starting" if planned is None else f"{event.tool}: {done:,} of {planned:,} requests"
        if planned is not None and done == planned:
            state += ", computing the metrics"
        if self._live is not None:
            self._line("accuracy", state, total=planned, completed=done)
        elif planned is None or is_through or (done and self._plain_is_due()):
            self._last_plain_s = self._clock()
            self.say(f"accuracy: {state}")

    def _where(self, event: events.PhaseStarted) -> str:
        run = event.run
        if self._probes is not None:
            return f"{event.position}/{self._runs} {self._probes.begun(event.position, run.load_label)}"
        place = self._state.group_place
        where = f"{event.position}/{self._runs}" if place is None else f"{place.sentence}:"
        return f"{where} {run.load_label}, {number(run.input_tokens)} → {run.output_tokens:,}"


class _Probes:
    """How a search names its runs: the load they try, whether it is a repeat, and whether it met the SLO."""

    def __init__(self, needed_ratio: float) -> None:
        self._needed_ratio = needed_ratio
        self._positions: dict[str, list[int]] = {}  # of the runs of each load, by its label

    def begun(self, position: int, load_label: str) -> str:
        """`rate 24/s`, of a load that was tried before `rate 24/s again (run 2 of it)`."""
        positions = self._positions.setdefault(load_label, [])
        if position not in positions:
            positions.append(position)
        return load_label if len(positions) == 1 else f"{load_label} again (run {len(positions)} of it)"

    def judged(self, document: RunDocument) -> Text:
        """` · met (100 %, need 99 %)`, and that it was a repeat."""
        met = met_by(document, self._needed_ratio)
        ratio = document["goodput_ratio"]
        shares = f"{percent(ratio)}, " if ratio is not None else ""
        word, style = {True: ("met", "green"), False: ("missed", "red"), None: ("undecided", "yellow")}[met]
        runs = len(self._positions.get(document["spec"]["load_label"], ()))
        text = Text(" · ", style="dim").append(f"SLO {word}", style=style)
        text.append(f" ({shares}need {percent(self._needed_ratio)})", style="dim")
        return text.append(f" · run {runs} of this load" if runs > 1 else "", style="dim")
