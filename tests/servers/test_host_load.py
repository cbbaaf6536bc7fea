"""How busy the host is, from readings of the system's own accounts."""

from typing import NamedTuple

import psutil
import pytest

from loadgen.servers.host_load import HostLoad


class Times(NamedTuple):
    """As psutil gives them, in seconds."""

    user: float
    system: float
    idle: float
    iowait: float
    guest: float


def test_the_share_that_was_busy_between_first_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([Times(10, 5, 100, 5, 4), Times(11, 5, 101, 5, 4), Times(15, 6, 103, 6, 7)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    load = HostLoad()
    load.sample()
    assert load.busy_ratio is None
    load.sample()
    load.sample()
    assert load.busy_ratio == pytest.approx(6 / 10)  # guest time is in the user time already
