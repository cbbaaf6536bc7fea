"""What the host lends a run: open files and local ports, counted before anything is sent, and being woken first."""

import os
import resource
import socket
from contextlib import closing

import pytest

from loadgen.engine.eventloop import host
from loadgen.engine.eventloop.host import (
    Ports,
    check_open_files,
    check_ports,
    kernel_hex,
    ports_taken,
    ports_to,
    raised_priority,
)
from loadgen.errors import ExitCode, HostLimitError

SERVER = ("10.0.0.5", 8000)
ROWS = [
    "   0: 0100007F:B3FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12388 1",
    "   1: 0200000A:8000 0500000A:1F40 01 00000000:00000000 00:00000000 00000000 0 0 12389 1",
    "   2: 0200000A:8001 0500000A:1F40 06 00000000:00000000 00:00000000 00000000 0 0 0 1",
    "   3: 0200000A:8002 0500000A:1F41 01 00000000:00000000 00:00000000 00000000 0 0 12390 1",
]


def test_open_files_that_suffice() -> None:
    check_open_files(100, 100 + host.SPARE_DESCRIPTORS)
    check_open_files(1_000_000, resource.RLIM_INFINITY)


def test_too_few_open_files_name_the_remedy() -> None:
    with pytest.raises(
        HostLimitError, match=r"1,000 streams need 1,064 open files .* limit is 1,063: .*ulimit -Hn 1064"
    ):
        check_open_files(1000, 1063)


def test_ports_that_suffice() -> None:
    check_ports(10, SERVER, Ports(32768, 32777, 10))
    check_ports(1_000_000, SERVER, None)


def test_too_few_ports_name_the_remedy() -> None:
    with pytest.raises(
        HostLimitError, match=r"11 streams to 10\.0\.0\.5 port 8000 .* 10 of 32768 to 32777 are free.*sysctl -w"
    ):
        check_ports(11, SERVER, Ports(32768, 32777, 10))


def test_more_ports_than_there_are_need_another_address() -> None:
    with pytest.raises(HostLimitError, match=r"at most 64,512: ask for fewer, from more machines"):
        check_ports(70_000, SERVER, Ports(1024, 65535, 64_512))


def test_a_limit_of_the_host_is_a_matter_of_usage() -> None:
    assert HostLimitError.exit_code is ExitCode.USAGE


def test_ports_are_taken_by_connections_to_the_same_address() -> None:
    assert ports_taken(ROWS, SERVER, time_wait_counts=True) == {0x8000, 0x8001}
    assert ports_taken(ROWS, SERVER, time_wait_counts=False) == {0x8000}
    assert ports_taken(ROWS, ("10.0.0.5", 8001), time_wait_counts=True) == {0x8002}


def test_addresses_as_the_kernel_writes_them() -> None:
    assert kernel_hex("127.0.0.1") == "0100007F"
    assert kernel_hex("::1") == "00000000000000000000000001000000"


@pytest.mark.loopback
@pytest.mark.skipif(not host._TABLES[0].exists(), reason="the system does not tell its connections")
def test_a_live_connection_takes_one_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = server.getsockname()
        before = ports_to(address)
        with closing(socket.create_connection(address)):
            during = ports_to(address)
    assert before is not None
    assert during is not None
    assert during.free == before.free - 1


def test_within_the_block_the_scheduler_prefers_us_and_afterwards_no_more() -> None:
    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    with raised_priority() as priority:
        if priority == "realtime":
            assert os.sched_getscheduler(0) == os.SCHED_RR
        elif priority == "raised":
            assert os.getpriority(os.PRIO_PROCESS, 0) < before[1]
    assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_what_the_system_refuses_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    with raised_priority() as priority:
        assert priority == "normal"
