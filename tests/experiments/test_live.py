"""How a sweep stands while it runs, from its events; and that keeping it on record cannot break the sweep."""

import time
from pathlib import Path
from typing import Any

import pytest

from loadgen.analysis.document.server import ServerDocument
from loadgen.engine.drive.driver import Progress
from loadgen.errors import StoreError
from loadgen.experiments import events, live
from loadgen.experiments.live import TRAIL_STEP_S, TRAIL_STEPS, LiveState, on_record
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.store.repository import Store
from loadgen.store.sweep_progress import SweepsProgress
from tests.clock import Clock
from tests.report.documents import specs, sweep_row

RUN = RunSpec("http://h", "m", ClosedLoop(2), 8, 4, requests=100)
SERVER: ServerDocument = {"url": "http://h", "model": "m", "name": None, "version": None, "simulated": True}
STARTED = events.SweepStarted("s1", False, SERVER, (RUN, RUN), kept=0)


def progressed(elapsed_s: float, done: int, failed: int = 0, ttft_s: tuple[float, ...] = ()) -> events.RunProgressed:
    return events.RunProgressed(Progress(elapsed_s, 100, done + 2, done, failed, 2, ttft_s=ttft_s))


def run_of(state: LiveState) -> Any:
    """The run that is being measured, as its row has it."""
    return state.document()["run"]


def measuring(clock: Clock) -> LiveState:
    state = LiveState(clock)
    state.take(STARTED)
    state.take(events.PhaseStarted(1, RUN, "measuring"))
    return state


def test_before_anything_is_told_nothing_is_known() -> None:
    document = LiveState(Clock(100.0)).document()
    assert document["run"] is None
    assert document["left_s"] is None
    assert document["trail"]["requests_per_s"] == []


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock(100.0)
    state = measuring(clock)
    assert run_of(state)["requests_per_s"] is None
    for second in range(1, 31):  # one a second, and after the twentieth second three
        clock.now_s += 1
        state.take(progressed(float(second), second if second <= 20 else 20 + 3 * (second - 20)))
    assert state.rate_per_s == 3.0
    run = run_of(state)
    assert (run["requests"]["ended"], run["requests"]["planned"], run["done_ratio"]) == (50, 100, 0.5)


def test_the_warm_up_is_not_counted_with_the_run() -> None:
    clock = Clock(100.0)
    state = LiveState(clock)
    state.take(STARTED)
    state.take(events.PhaseStarted(1, RUN, "warming up"))
    state.take(progressed(5.0, 50, ttft_s=(0.5,)))
    state.take(events.PhaseStarted(1, RUN, "measuring"))
    assert run_of(state)["requests_per_s"] is None
    assert state.ttft is None
    state.take(progressed(2.0, 4))
    assert state.rate_per_s == 2.0


def test_times_to_the_first_token_are_forgotten_after_a_while() -> None:
    clock = Clock(100.0)
    state = measuring(clock)
    state.take(progressed(1.0, 1, ttft_s=(0.1, 0.3, 0.2)))
    assert run_of(state)["ttft_s"] == {"p50": 0.2, "max": 0.3, "n": 3}
    clock.now_s += 60
    assert run_of(state)["ttft_s"] is None


def test_the_trail_has_a_gap_where_nobody_said_anything_and_a_bounded_length() -> None:
    clock = Clock(100.0)
    state = measuring(clock)
    state.take(progressed(1.0, 1))
    clock.now_s += TRAIL_STEP_S
    state.take(progressed(3.0, 3, ttft_s=(0.5,)))
    clock.now_s += 3 * TRAIL_STEP_S
    state.take(progressed(9.0, 9))
    trail = state.document()["trail"]
    assert trail["requests_per_s"] == [1.0, None, None, 1.0]
    assert trail["ttft_p50_s"] == [0.5, None, None, 0.5]
    for step in range(2 * TRAIL_STEPS):
        clock.now_s += TRAIL_STEP_S
        state.take(progressed(9.0 + TRAIL_STEP_S * (step + 1), 9))
    assert len(state.document()["trail"]["requests_per_s"]) == TRAIL_STEPS


def test_what_ended_is_counted_by_outcome_and_verdict() -> None:
    clock = Clock(100.0)
    state = measuring(clock)
    document: Any = {
        "outcomes": {"planned": 100, "ok": 98, "timeout": 2, "dropped": 0},
        "verdict": {"status": "doubtful"},
    }
    state.take(events.RunEnded(1, RUN, document, 12.0))
    told = state.document()
    assert told["runs"] == {"planned": 2, "at_most": False, "ended": 1}
    assert (told["outcomes"], told["verdicts"], told["run"]) == ({"ok": 98, "timeout": 2}, {"doubtful": 1}, None)
    state.take(events.PhaseStarted(2, RUN, "measuring"))
    assert state.left_s == pytest.approx(12.0)


def test_a_server_that_starts_is_told_until_it_answers() -> None:
    state = LiveState(Clock(100.0))
    state.take(events.ServerStarting("tiny", "loading weights"))
    assert state.document()["server_stage"] == "tiny: loading weights"
    state.take(events.ServerReady("tiny", None, False))  # type: ignore[arg-type]  # whose server nobody here looks at
    assert state.document()["server_stage"] is None


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(live, "PERIOD_S", 0.01)
    with Store.open(f"sqlite:///{tmp_path}/measured.db") as opened:
        opened.add_sweep(sweep_row("s1", specs([ClosedLoop(2)]), status="running"))
        yield opened


def wait_for_row(store: Store) -> Any:
    for _ in range(3000):
        if found := SweepsProgress(store).of(["s1"]):
            return found["s1"].document
        time.sleep(0.01)
    raise AssertionError("nothing was put on record")


def test_a_sweep_is_on_record_while_it_runs_and_not_after(store: Store) -> None:
    heard: list[events.Event] = []
    with on_record(store, heard.append) as tell:
        tell(STARTED)
        assert wait_for_row(store)["runs"]["planned"] == 2
    assert heard == [STARTED]
    assert SweepsProgress(store).of(["s1"]) == {}


def test_the_start_of_the_next_server_of_a_group_is_told_by_the_sweep_before_it(store: Store) -> None:
    store.add_sweep(sweep_row("s2", specs([ClosedLoop(2)]), status="running"))
    rows = SweepsProgress(store)
    with on_record(store, lambda event: None, "s1") as tell:
        tell(events.ServerStarting("b", "loading weights"))
        assert wait_for_row(store)["server_stage"] == "b: loading weights"
        tell(events.SweepStarted("s2", False, SERVER, (RUN,), kept=0))
        for _ in range(3000):
            if set(rows.all()) == {"s2"}:
                break
            time.sleep(0.01)
        assert set(rows.all()) == {"s2"}
    assert rows.all() == {}


def test_a_store_that_takes_nothing_harms_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def refuse(self: SweepsProgress, sweep_id: str, document: dict[str, Any]) -> None:
        tried.append(sweep_id)
        raise StoreError("locked")

    monkeypatch.setattr(SweepsProgress, "put", refuse)
    heard: list[events.Event] = []
    with on_record(store, heard.append) as tell:
        tell(STARTED)
        for _ in range(3000):
            if len(tried) > 1:  # and again, after the first refusal
                break
            time.sleep(0.01)
        tell(events.PhaseStarted(1, RUN, "measuring"))
    assert len(tried) > 1
    assert len(heard) == 2


def test_a_fault_in_what_is_shown_harms_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: LiveState, event: events.Event) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LiveState, "take", fail)
    heard: list[events.Event] = []
    with on_record(store, heard.append) as tell:
        tell(STARTED)
    assert heard == [STARTED]


def test_what_the_listener_raises_is_the_sweeps(store: Store) -> None:
    def interrupt(event: events.Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), on_record(store, interrupt) as tell:
        tell(STARTED)
