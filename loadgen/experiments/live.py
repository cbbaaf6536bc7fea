"""The progress of a sweep while it runs: from its events, for the terminal and for its row in the store.

What is shown of a run before its end is a preview: the rate of the requests that ended in the last seconds, and the times to
first token of the few requests that are watched. Its figures come afterwards, from all requests.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median

from loadgen.analysis.document.run import RunDocument
from loadgen.engine.drive.driver import Progress
from loadgen.experiments import events
from loadgen.experiments.estimate import TimeLeft
from loadgen.experiments.group_state import GroupPlace, GroupState
from loadgen.spec.runs import resolved_warmup_requests
from loadgen.store.repository import Store
from loadgen.store.rows import ProgressDocument, ProgressGroup, ProgressRun
from loadgen.store.sweep_progress import SweepsProgress

WINDOW_S = 10.0
"""Over how long the present rate and time to first token are taken. Chosen: long enough to read, short enough to follow."""

TRAIL_STEP_S = 2.0
TRAIL_STEPS = 150  # five minutes
_MAX_TTFTS = 1_000

PERIOD_S = 1.0  # between two writes of a sweep's row
_JOIN_TIMEOUT_S = 2.0  # the longest that a sweep's end waits for a disk that does not answer


@dataclass(frozen=True, slots=True)
class Ttft:
    """Times to first token over the last seconds, of the watched requests."""

    p50_s: float
    max_s: float
    n: int


class LiveState:
    """The state of a sweep by its events; `now_s` is a monotonic clock, `group` the state of the group that it belongs to.

    The events of a group are taken for it here only where they are all that is heard of it: without `group`.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic, group: GroupState | None = None) -> None:
        self._now_s = now_s
        self._group = group
        self._feeds_group = group is None
        self._planned_runs = 0
        self._at_most = False
        self._ended_runs = 0
        self._time_left: TimeLeft | None = None
        self._present: events.PhaseStarted | None = None
        self._run_since_s = now_s()
        self._server_stage: str | None = None
        self._progress: Progress | None = None
        self._counted: deque[tuple[float, int]] = deque()  # (seconds since t = 0, requests ended)
        self._ttfts: deque[tuple[float, float]] = deque(maxlen=_MAX_TTFTS)  # (timestamp, time to first token)
        self._trail: deque[tuple[float | None, float | None]] = deque(maxlen=TRAIL_STEPS)  # (rate, time to first token)
        self._trail_at_s: float | None = None
        self._outcomes: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()

    def take(self, event: events.Event) -> None:
        """Take an event, in the order in which they happen."""
        if self._group is not None and self._feeds_group:
            self._group.take(event)
        match event:
            case events.GroupStarted() if self._feeds_group:
                self._group = GroupState(event.parts, self._now_s) if event.parts else None
            case events.ServerStarting():
                self._server_stage = f"{event.label}: {event.stage}"
            case events.ServerEnding():
                self._server_stage = f"{event.label}: ending the server"
            case events.Evaluating():
                self._server_stage = f"evaluating: {event.tool}"
            case events.ServerReady() | events.Evaluated():
                self._server_stage = None
            case events.SweepStarted():
                self._planned_runs = event.most_runs or len(event.runs)
                self._at_most = event.most_runs is not None
                self._ended_runs = event.kept
                self._time_left = None if self._at_most else TimeLeft(event.runs)
            case events.PhaseStarted():
                if self._present is None or self._present.position != event.position:
                    self._run_since_s = self._now_s()
                self._present, self._progress = event, None
                self._ttfts.clear()
                self._counted.clear()
                self._counted.append((0.0, 0))
            case events.RunProgressed():
                self._progressed(event.progress)
            case events.RunEnded():
                document: RunDocument = event.document
                self._ended_runs += 1
                if self._time_left is not None:
                    self._time_left.ended(event.run, event.took_s)
                counts = {label: count for label, count in document["outcomes"].items() if label != "planned"}
                self._outcomes.update({label: count for label, count in counts.items() if count})
                self._verdicts[document["verdict"]["status"]] += 1
                self._present = self._progress = None

    @property
    def rate_per_s(self) -> float | None:
        """Requests per second that ended over the last seconds of the present run; None before its t = 0."""
        if len(self._counted) < 2:
            return None
        (from_s, before), (to_s, ended) = self._counted[0], self._counted[-1]
        return (ended - before) / (to_s - from_s) if to_s > from_s else None

    @property
    def ttft(self) -> Ttft | None:
        """Times to first token over the last seconds; None if there was none."""
        now_s = self._now_s()
        lately = [ttft_s for at_s, ttft_s in self._ttfts if now_s - at_s <= WINDOW_S]
        return Ttft(median(lately), max(lately), len(lately)) if lately else None

    @property
    def done_ratio(self) -> float:
        """The share of the present phase that is done: by its duration if that bounds it, else by its requests."""
        present, progress = self._present, self._progress
        if present is None or progress is None:
            return 0.0
        if present.run.duration_s is not None and present.phase == "measuring":
            return min(1.0, progress.elapsed_s / present.run.duration_s)
        return progress.done / progress.planned if progress.planned else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left of the whole sweep; None if unknown."""
        if self._time_left is None or self._present is None:
            return None
        return self._time_left.left_s(self._present.position, *self._of_present_run)

    @property
    def group_place(self) -> GroupPlace | None:
        """Where the group stands; None if there is none."""
        return None if self._group is None else self._group.place

    @property
    def group_left_s(self) -> float | None:
        """Seconds left of the whole group; None if unknown."""
        return None if self._group is None else self._group.left_s(*self._of_present_run)

    @property
    def _of_present_run(self) -> tuple[float, float]:
        """Since when it runs, in seconds, and the share of it that is done; zeros between two runs."""
        if self._present is None:
            return 0.0, 0.0
        phase = self._present.phase
        ratio = self.done_ratio if phase == "measuring" else 1.0 if phase in events.AFTER_MEASURING else 0.0
        return self._now_s() - self._run_since_s, ratio

    def document(self) -> ProgressDocument:
        """The state as JSON. What is not known is null."""
        return {
            "schema_version": 1,
            "runs": {"planned": self._planned_runs, "at_most": self._at_most, "ended": self._ended_runs},
            "server_stage": self._server_stage,
            "run": self._run(),
            "outcomes": dict(self._outcomes),
            "verdicts": dict(self._verdicts),
            "left_s": self.left_s,
            "group": self._group_document(),
            "trail": {
                "step_s": TRAIL_STEP_S,
                "requests_per_s": [rate for rate, _ in self._trail],
                "ttft_p50_s": [ttft_s for _, ttft_s in self._trail],
            },
        }

    def _group_document(self) -> ProgressGroup | None:
        place = self.group_place
        if place is None:
            return None
        return {
            "server": place.server,
            "servers": place.servers,
            "load": place.load,
            "loads": place.loads,
            "run": place.run,
            "runs": place.runs,
            "left_s": self.group_left_s,
        }

    def _run(self) -> ProgressRun | None:
        present, progress, ttft = self._present, self._progress, self.ttft
        if present is None:
            return None
        run = present.run
        planned = run.planned_requests() if present.phase != "warming up" else resolved_warmup_requests(run)
        return {
            "position": present.position,
            "load_label": run.load_label,
            "input_tokens": run.input_tokens,
            "output_tokens": run.output_tokens,
            "phase": present.phase,
            "duration_s": run.duration_s,
            "elapsed_s": 0.0 if progress is None else progress.elapsed_s,
            "done_ratio": self.done_ratio,
            "requests": {
                "planned": planned,
                "sent": 0 if progress is None else progress.sent,
                "ended": 0 if progress is None else progress.done,
                "failed": 0 if progress is None else progress.failed,
                "in_flight": 0 if progress is None else progress.in_flight,
                "held": 0 if progress is None else progress.held,
                "thinking": 0 if progress is None else progress.thinking,
            },
            "requests_per_s": self.rate_per_s,
            "ttft_s": None if ttft is None else {"p50": ttft.p50_s, "max": ttft.max_s, "n": ttft.n},
            "window_s": WINDOW_S,
        }

    def _progressed(self, progress: Progress) -> None:
        self._progress = progress
        now_s = self._now_s()
        self._ttfts.extend((now_s, ttft_s) for ttft_s in progress.ttft_s)
        if self._counted and progress.elapsed_s > self._counted[-1][0]:
            self._counted.append((progress.elapsed_s, progress.done))
            while progress.elapsed_s - self._counted[1][0] >= WINDOW_S:
                self._counted.popleft()
        self._follow(now_s)

    def _follow(self, now_s: float) -> None:
        """Add a step to the trail, and an empty one for each step without an event."""
        if self._trail_at_s is None:
            self._trail_at_s = now_s
            return
        passed = int((now_s - self._trail_at_s) / TRAIL_STEP_S)
        if passed == 0:
            return
        self._trail_at_s += passed * TRAIL_STEP_S
        self._trail.extend([(None, None)] * min(passed - 1, TRAIL_STEPS))
        ttft = self.ttft
        self._trail.append((self.rate_per_s, None if ttft is None else ttft.p50_s))


@contextmanager
def on_record(
    store: Store, on_event: events.OnEvent, sweep_id: str | None = None, group: GroupState | None = None
) -> Iterator[events.OnEvent]:
    """Yield a listener that passes events on to `on_event` and keeps the state of the sweep in the store.

    What `on_event` raises is raised at the end. `sweep_id` is that of a resumed sweep, or of the one before it in its group,
    whose row tells of the start of a server until the events name a new sweep.
    `group` hears the events by `on_event`.
    """
    rows = SweepsProgress(store)
    state = LiveState(group=group)
    writer = _Writer(rows.put, rows.remove)
    writer.sweep_id = sweep_id
    noted_at_s = -PERIOD_S
    fault: Exception | None = None

    def take(event: events.Event) -> None:
        nonlocal noted_at_s, fault
        try:
            on_event(event)
        except OSError:  # the listener is gone, such as a terminal that was closed
            pass
        except Exception as error:  # it must not cost a run that is being measured
            fault = fault or error
        with suppress(Exception):  # of whatever kind: a fault of ours here is none of the measurement
            state.take(event)
            if isinstance(event, events.SweepStarted):
                writer.sweep_id = event.sweep_id
            if not isinstance(event, events.RunProgressed) or time.monotonic() - noted_at_s >= PERIOD_S / 2:
                noted_at_s = time.monotonic()
                writer.latest = state.document()

    writer.start()
    try:
        yield take
    finally:
        writer.end()
    if fault is not None:
        raise fault


class _Writer(threading.Thread):
    """Writes `latest` over the row of `sweep_id`, and removes the row at the end.

    It costs the sweep nothing: it waits for no lock, and skips a write while the database is busy, full or gone.
    """

    def __init__(self, put: Callable[[str, ProgressDocument], None], remove: Callable[[str], None]) -> None:
        super().__init__(name="sweep progress", daemon=True)
        self._put, self._remove = put, remove
        self._ended = threading.Event()
        self.sweep_id: str | None = None
        self.latest: ProgressDocument | None = None

    def run(self) -> None:
        written: ProgressDocument | None = None
        row: str | None = None
        while not self._ended.wait(PERIOD_S):
            document, sweep_id = self.latest, self.sweep_id
            if document is not None and document is not written and sweep_id is not None:
                with suppress(Exception):
                    if row not in (None, sweep_id):
                        self._remove(str(row))
                    self._put(sweep_id, document)
                    written, row = document, sweep_id
        for each in {row, self.sweep_id} - {None}:
            with suppress(Exception):  # a row that stays is known to be old: its sweep is not running
                self._remove(str(each))

    def end(self) -> None:
        self._ended.set()
        self.join(_JOIN_TIMEOUT_S)
