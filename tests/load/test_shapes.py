"""How many connections a load point opens, for whoever asks before the start and for the driver that opens them."""

import numpy as np
import pytest

from loadgen.engine.drive.driver import Plan, Wiring
from loadgen.engine.measurement import driver_class
from loadgen.engine.wire.target import Target
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave


@pytest.mark.parametrize(
    ("shape", "requests", "expected"),
    [
        (ClosedLoop(16), 64, 16),
        (ClosedLoop(16), 4, 4),
        (Wave(32), 32, 32),
        (OpenLoop(1.0), 64, 16),
        (OpenLoop(100.0), 1000, 200),
        (OpenLoop(100.0), 50, 50),
    ],
)
def test_the_driver_opens_as_many_as_were_counted(shape: LoadShape, requests: int, expected: int) -> None:
    lengths = np.ones(requests, np.int32)
    schedule = Schedule(bodies=(b"{}",) * requests, prompt_tokens=lengths, output_tokens=lengths, offsets_ns=None)
    plan = Plan(Target("http", "127.0.0.1", 9, "/"), schedule, shape)
    wiring = Wiring(lambda: pytest.fail("opened"), lambda exchange: pytest.fail("finished"))
    driver = driver_class(shape)(plan, wiring)
    assert shape.connections(requests) == driver.connections == expected


def test_without_a_number_of_requests_the_shape_decides() -> None:
    assert ClosedLoop(16).connections() == 16
