"""How busy the host is, from readings of the system's own accounts."""

from typing import NamedTuple

import psutil
import pytest

from loadgen.servers import host_load
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


def test_what_client_and_server_use_is_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([Times(10, 5, 100, 5, 0), Times(15, 6, 103, 6, 0)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    used = iter([{1: 2.0, 2: 3.0}, {1: 4.0}])  # process 2 has ended
    monkeypatch.setattr(host_load, "_used_s", lambda processes: next(used))
    load = HostLoad("http://127.0.0.1:9")
    load.sample()
    assert load.others_busy_ratio is None
    load.sample()
    assert load.server_on_host
    assert load.others_busy_ratio == pytest.approx((6 - 2) / 10)


def test_workers_that_start_before_the_first_sample_are_the_clients_own(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([Times(10, 5, 100, 5, 0), Times(15, 6, 103, 6, 0)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(readings))
    monkeypatch.setattr(host_load, "_own_processes", lambda: [])
    load = HostLoad("http://127.0.0.1:9")
    used = iter([2.0, 5.0])
    monkeypatch.setattr(host_load, "_own_processes", lambda: [psutil.Process()])
    monkeypatch.setattr(host_load, "_used_s", lambda processes: {each.pid: next(used) for each in processes})
    load.sample()
    load.sample()
    assert load.others_busy_ratio == pytest.approx((6 - 3) / 10)


def test_a_server_elsewhere_shares_nothing() -> None:
    load = HostLoad("http://192.0.2.1:80")
    load.sample()
    load.sample()
    assert not load.server_on_host
    assert load.others_busy_ratio is None
