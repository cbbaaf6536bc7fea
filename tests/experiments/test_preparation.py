"""The order of a sweep's runs: what is on record keeps its place, what is not due waits, and a choice learns every result."""

from dataclasses import replace
from typing import Any

from loadgen.experiments.preparation import RunChoice, RunOrder, in_order
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec

RUN = RunSpec("http://h", "m", ClosedLoop(1), 8, 4, requests=8)
RUNS = [replace(RUN, seed=seed) for seed in range(4)]


def document(seed: int) -> Any:
    return {"seed": seed}


def test_a_grid_is_measured_in_order() -> None:
    order = RunOrder(in_order(RUNS), {})
    measured = []
    for position, run in order:
        measured.append((position, run.seed))
        order.take(document(run.seed))
    assert measured == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert (order.position, order.postponed) == (4, 0)


def test_what_has_ended_keeps_its_position_and_what_is_not_due_waits() -> None:
    order = RunOrder(in_order(RUNS), {RUNS[1].hash: document(1)}, is_due=lambda run: run.seed != 2)
    measured = []
    for position, run in order:
        measured.append((position, run.seed))
        order.take(document(run.seed))
    assert measured == [(1, 0), (4, 3)]
    assert (order.position, order.postponed) == (4, 1)


def test_a_choice_is_sent_the_result_of_each_run_measured_or_on_record() -> None:
    learned: list[Any] = []

    def choice() -> RunChoice:
        for run in RUNS[:3]:
            learned.append((yield run))

    order = RunOrder(choice(), {RUNS[0].hash: document(0)})
    for _, run in order:
        order.take(document(run.seed))
    assert learned == [document(0), document(1), document(2)]


def test_a_sweep_without_a_run_is_over() -> None:
    assert list(RunOrder(in_order([]), {})) == []
