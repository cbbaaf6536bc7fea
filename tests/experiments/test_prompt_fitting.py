"""Prompts are corrected by the server's tokenizer for so long and no longer."""

import pytest

from loadgen.experiments.prompt_fitting import FITTING_LIMIT_S, BoundedCounter
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.endpoint import probe
from loadgen.servers.reported_tokens import token_counter
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess


def test_after_the_limit_the_server_is_asked_no_more_and_that_is_said_once() -> None:
    now_s = 0.0
    asked: list[str] = []
    said: list[str] = []

    def slow(text: str) -> int:
        nonlocal now_s
        now_s += FITTING_LIMIT_S / 2.5
        asked.append(text)
        return 7

    count = BoundedCounter(slow, lambda: said.append("limit"), clock_s=lambda: now_s)
    assert [count(text) for text in "abcde"] == [7, 7, 7, None, None]
    assert asked == ["a", "b", "c"]
    assert said == ["limit"]


def test_time_between_the_questions_does_not_count() -> None:
    times_s = iter(range(0, 10_000, 50))
    count = BoundedCounter(lambda text: 7, lambda: pytest.fail("told"), clock_s=lambda: next(times_s) // 100)
    assert [count("a") for _ in range(20)] == [7] * 20


@pytest.mark.loopback
def test_a_chat_prompt_takes_few_questions() -> None:
    with SimulatorProcess(SimulatorOptions()) as simulator:
        run = RunSpec(simulator.url, "simulated-moe", ClosedLoop(4), 128, 8, endpoint="chat", requests=500)
        facts = probe(simulator.url, run.model, ())
        asked: list[str] = []
        with token_counter(facts, run.model, "chat", ()) as count:

            def count_and_note(text: str) -> int:
                asked.append(text)
                return count(text)

            schedule = build(
                run,
                500,
                prompt_seed="seed",
                form=RequestForm(facts.dialect),
                counts=BoundedCounter(count_and_note, lambda: None),
            )
        assert len(schedule) == 500
        assert len(asked) <= 3 * 500
