"""Where a group of sweeps stands, from its events."""

import pytest

from loadgen.experiments.events import (
    Event,
    GroupPart,
    GroupStarted,
    PartStarted,
    PhaseStarted,
    RunEnded,
    ServerEnding,
    ServerNotStarted,
    ServerReady,
    ServerStarting,
)
from loadgen.experiments.group_state import GroupState
from loadgen.experiments.live import LiveState
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from tests.clock import Clock

RUNS = tuple(RunSpec("http://h", "m", ClosedLoop(2), 8, 4, requests=100, seed=seed) for seed in range(2))
PARTS = (
    GroupPart("a", 1, 1, RUNS),
    GroupPart("a", 1, 2, RUNS[:1]),
    GroupPart("b", 2, 1, ()),  # measured before
    GroupPart("c", 3, 1, RUNS),
)
READY = ServerReady("a", None, was_running=False)  # type: ignore[arg-type]


def ended(took_s: float) -> RunEnded:
    return RunEnded(1, RUNS[0], {"outcomes": {"ok": 1}, "verdict": {"status": "valid"}}, took_s)  # type: ignore[typeddict-item]


def after(*events: Event | float) -> GroupState:
    """The state after events, and seconds that pass between them."""
    clock = Clock()
    state = GroupState(PARTS, clock)
    for event in events:
        if isinstance(event, float):
            clock.now_s += event
        else:
            state.take(event)
    return state


STARTED = (PartStarted(0), ServerStarting("a", "starting"), 30.0, READY)
FAILED = ServerNotStarted("a", "s1", StartFailure(FailureKind.DIED, "it died"))


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        ((PartStarted(0),), "server 1 of 3, load 1 of 2, run 1 of 5"),
        ((*STARTED, ended(9.0)), "server 1 of 3, load 1 of 2, run 2 of 5"),
        ((*STARTED, ended(9.0), ended(9.0), PartStarted(1)), "server 1 of 3, load 2 of 2, run 3 of 5"),
        ((PartStarted(0), FAILED, PartStarted(3)), "server 3 of 3, run 4 of 5"),
    ],
)
def test_the_place(events: tuple[Event | float, ...], sentence: str) -> None:
    place = after(*events).place
    assert place is not None
    assert place.sentence == sentence


def test_before_the_first_and_after_the_last_it_is_nowhere() -> None:
    assert after().place is None
    assert after(PartStarted(3), ended(1.0), ended(1.0)).place is None


@pytest.mark.parametrize(
    ("events", "left_s"),
    [
        ((PartStarted(0),), None),
        (STARTED, None),
        ((*STARTED, ended(10.0)), 4 * 10.0 + 30.0),  # four runs, and the start of c
        ((*STARTED, ended(10.0), ended(10.0), PartStarted(1), ended(10.0)), 2 * 10.0 + 30.0),
        ((*STARTED, ended(10.0), ServerEnding("a"), PartStarted(3), ServerStarting("c", "starting"), 5.0), 45.0),
        ((*STARTED, ended(10.0), ServerEnding("a"), PartStarted(3), ServerStarting("c", "starting"), 50.0, READY), 20.0),
    ],
)  # fmt: skip
def test_the_time_left_has_the_starts_that_are_to_come(events: tuple[Event | float, ...], left_s: float | None) -> None:
    assert after(*events).left_s() == left_s


def test_the_row_of_a_sweep_tells_of_its_group() -> None:
    state = LiveState(Clock())
    assert state.document()["group"] is None
    for event in (GroupStarted("g", False, PARTS), *(each for each in STARTED if each != 30.0)):
        assert not isinstance(event, float)
        state.take(event)
    state.take(PhaseStarted(1, RUNS[0], "measuring"))
    assert state.document()["group"] == {
        "server": 1,
        "servers": 3,
        "load": 1,
        "loads": 2,
        "run": 1,
        "runs": 5,
        "left_s": None,
    }
