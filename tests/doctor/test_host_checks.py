"""Each line on the host: fine, or a remedy."""

import socket
from contextlib import closing

import pytest

from loadgen.analysis.document.doctor import HostCheckDocument
from loadgen.doctor import host_checks
from loadgen.engine.eventloop.host import Ports
from loadgen.engine.wire.sockets import ask_for_kernel_stamps
from loadgen.errors import HostLimitError


@pytest.mark.parametrize(
    ("check", "status"),
    [
        (host_checks.of_stamps(True), "ok"),
        (host_checks.of_stamps(False), "bad"),
        (host_checks.of_clock_source("tsc"), "ok"),
        (host_checks.of_clock_source("hpet"), "warn"),
        (host_checks.of_clock_source(None), "ok"),
        (host_checks.of_clock_steps(20e-6), "ok"),
        (host_checks.of_clock_steps(2e-3), "warn"),
        (host_checks.of_clock_steps(0.5), "bad"),
        (host_checks.of_governor(None), "ok"),
        (host_checks.of_governor("performance"), "ok"),
        (host_checks.of_governor("powersave"), "warn"),
        (host_checks.of_cores(2), "ok"),
        (host_checks.of_cores(1), "warn"),
        (host_checks.of_priority("realtime"), "ok"),
        (host_checks.of_priority("raised"), "ok"),
        (host_checks.of_priority("normal"), "warn"),
        (host_checks.of_other_load(0.05), "ok"),
        (host_checks.of_other_load(0.5), "warn"),
        (host_checks.of_memory(2 << 30), "ok"),
        (host_checks.of_memory(1 << 29), "warn"),
    ],
    ids=lambda value: f"{value['name']}: {value['message']}" if isinstance(value, dict) else value,
)
def test_a_line_that_is_not_fine_names_its_remedy(check: HostCheckDocument, status: str) -> None:
    assert check["status"] == status
    assert bool(check["hint"]) == (status != "ok")


def test_a_limit_that_is_too_low_is_bad_with_its_remedy() -> None:
    def refuse() -> None:
        raise HostLimitError("the limit is 800: raise it: now")

    assert host_checks.of_limit("open files", refuse, "fine") == {
        "name": "open files",
        "status": "bad",
        "message": "the limit is 800",
        "hint": "raise it: now",
    }


@pytest.mark.parametrize(("free", "status"), [(28_000, "ok"), (9_000, "warn"), (63, "bad")])
def test_ports(monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    monkeypatch.setattr(host_checks, "ports_to", lambda sockaddr: Ports(32768, 60999, free))
    assert host_checks.of_ports(64)["status"] == status


@pytest.mark.loopback
def test_a_kernel_that_stamps_is_seen_and_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as keeper:
        ask_for_kernel_stamps(keeper)
        assert host_checks.kernel_stamps_arrive()
    monkeypatch.setattr(host_checks, "ask_for_kernel_stamps", lambda sock: None)
    monkeypatch.setattr(host_checks, "_STAMP_TRIES", 2)
    assert not host_checks.kernel_stamps_arrive()


def test_clocks_that_are_slewed_or_still_take_no_step() -> None:
    assert host_checks.watch_clocks(0.1) < 1e-3
