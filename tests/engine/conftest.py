"""A quick simulator, and measuring processes that one module's tests share."""

from collections.abc import Iterator

import pytest

from loadgen.engine.workers import Workers
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.process import SimulatorProcess


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.05, gap_s=0.01)) as process:
        yield process


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as processes:
        yield processes
