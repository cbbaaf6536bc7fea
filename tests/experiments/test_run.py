"""How many requests are prepared for a run that is bounded by its duration."""

import pytest

from loadgen.engine.records.record import Recording
from loadgen.errors import UsageError
from loadgen.experiments.run import requests_for_duration
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from tests.analysis.conftest import make_recording, make_row


def warmed_up(took_s: float) -> Recording:
    """A warm-up of one request that took `took_s`."""
    return make_recording([make_row([(took_s, 4)], sent_s=0.0)])


def test_a_closed_loop_by_duration_prepares_what_its_warmup_says_up_to_what_fits() -> None:
    run = RunSpec("http://h", "m", ClosedLoop(64), 8, 4, duration_s=10.0)
    assert requests_for_duration(run, warmed_up(0.5)) == 64 * 20 * 1.5 + 64
    with pytest.raises(UsageError, match="--requests"):
        requests_for_duration(run, warmed_up(0.0001))
