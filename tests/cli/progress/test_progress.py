"""What is told of a sweep while it runs."""

import pytest

from loadgen.analysis.document.server import ServerDocument
from loadgen.cli.console.terminal import Terminal
from loadgen.cli.progress.sweep import SweepProgress
from loadgen.engine.drive.driver import Progress
from loadgen.experiments.events import Evaluating, PhaseStarted, PromptsNotFitted, RunProgressed, SweepStarted
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec

TERMINAL = Terminal("sqlite:///x.db", quiet=False, verbose=False)
RUN = RunSpec("http://h", "m", ClosedLoop(2), 8, 4, requests=10)
SERVER: ServerDocument = {"simulated": False, "model": "m", "name": "vLLM", "version": None, "url": "http://h"}


def test_a_failure_is_one_of_the_requests_that_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(TERMINAL, resume=False, plain_every_s=0.0) as shown:
        shown(SweepStarted("s1", False, SERVER, (RUN,), kept=0))
        shown(PhaseStarted(1, RUN, "measuring"))
        shown(RunProgressed(Progress(elapsed_s=2.0, planned=10, sent=8, done=6, failed=4, in_flight=2)))
    assert "6/10 · 3.00 req/s · 4 failed" in capsys.readouterr().err


def test_users_who_think_are_told_while_any_do(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(TERMINAL, resume=False, plain_every_s=0.0) as shown:
        shown(SweepStarted("s1", False, SERVER, (RUN,), kept=0))
        shown(PhaseStarted(1, RUN, "measuring"))
        for thinking in (3, 1, 0):
            shown(RunProgressed(Progress(2.0, planned=10, sent=8, done=6, failed=0, in_flight=2, thinking=thinking)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "req/s" in line]
    assert "6/10 · 3.00 req/s · 3 users thinking" in lines[0]
    assert "6/10 · 3.00 req/s · 1 user thinking" in lines[1]
    assert "thinking" not in lines[2]


def test_an_evaluation_is_told_by_its_requests_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    times_s = iter([0.0, 0.0, 11.0, 11.0, 14.0, 14.5, 15.0])
    with SweepProgress(TERMINAL, resume=False, clock=lambda: next(times_s)) as shown:
        shown(Evaluating("copy, sort"))  # at 0
        shown(Evaluating("lm-eval", 0, 400))  # lm-eval has only begun to ask
        shown(Evaluating("lm-eval", 120, 400))  # at 11
        shown(Evaluating("lm-eval", 150, 400))  # at 14, too early for another line
        shown(Evaluating("lm-eval", 400, 400))  # at its end without waiting
        shown(Evaluating("lm-eval", 400, 400))  # and not again
    assert capsys.readouterr().err.splitlines() == [
        "accuracy: copy, sort: starting",
        "accuracy: lm-eval: 120 of 400 requests",
        "accuracy: lm-eval: 400 of 400 requests, computing the metrics",
    ]


def test_prompts_that_are_not_corrected_any_more_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(TERMINAL, resume=False) as shown:
        shown(PromptsNotFitted(RUN))
    assert "further prompts of this run are only about 8 tokens long" in " ".join(capsys.readouterr().err.split())


def test_the_present_rate_and_times_to_the_first_token_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(TERMINAL, resume=False, plain_every_s=0.0) as shown:
        shown(SweepStarted("s1", False, SERVER, (RUN,), kept=0))
        shown(PhaseStarted(1, RUN, "measuring"))
        shown(RunProgressed(Progress(1.0, planned=100, sent=8, done=6, failed=1, in_flight=2, ttft_s=(0.1, 0.3, 0.2))))
        shown(RunProgressed(Progress(31.0, planned=100, sent=37, done=36, failed=1, in_flight=1)))
        shown(RunProgressed(Progress(41.0, planned=100, sent=87, done=86, failed=1, in_flight=1)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "req/s" in line]
    assert "6/100 · 6.00 req/s · TTFT 200 ms, highest 300 · 1 failed" in lines[0]
    assert "86/100 · 5.00 req/s" in lines[2]  # of the last ten seconds, not since the start
