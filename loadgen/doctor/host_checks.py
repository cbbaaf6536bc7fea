"""What on this host can spoil a measurement: stamps, clocks, governor, limits, priority, other load, memory.

Each look gives one line: ok, warn or bad, with the remedy. Nothing is changed for good.
"""

import resource
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import psutil

from loadgen.analysis.checks.client import RAISE_PRIORITY
from loadgen.analysis.checks.validity import thresholds_of
from loadgen.analysis.document.doctor import HostCheckDocument
from loadgen.engine.eventloop.clock import WallClock
from loadgen.engine.eventloop.host import WIDEN, check_open_files, check_ports, ports_to, raised_priority
from loadgen.engine.wire.sockets import ANCILLARY_BYTES, SO_TIMESTAMPNS_NEW, ask_for_kernel_stamps
from loadgen.errors import HostLimitError
from loadgen.servers.environment import environment

WATCHED_S = 2.0  # how long clocks and other load are watched
_SAMPLE_PERIOD_S = 0.05  # as often as a run samples the wall clock
_STAMP_TRIES, _STAMP_PAUSE_S = 20, 0.01  # the kernel begins to stamp a moment after the first socket asks
_QUICK_SOURCES = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")  # read without a system call
_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_OTHERS_BUSY_RATIO = 0.1  # chosen: a tenth of the machine is what a desktop at rest uses
_FEW_PORTS = 10_000  # connections closed within a minute are still held; chosen
_MIN_MEMORY_BYTES = 1 << 30  # the largest schedule that a run may prepare

ANYWHERE = ("127.0.0.1", 9)  # an address to count ports towards when none is meant


def check_host(streams: int) -> list[HostCheckDocument]:
    """Every look at this host, for a client that is to carry `streams`. Takes `WATCHED_S`."""
    psutil.cpu_percent()  # begins the interval which the next call ends
    step_s = watch_clocks(WATCHED_S)
    busy_ratio = psutil.cpu_percent() / 100
    with raised_priority() as priority:
        pass
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = "no limit" if most_files == resource.RLIM_INFINITY else f"{most_files:,} a process"
    return [
        of_stamps(kernel_stamps_arrive()),
        of_clock_source(_first_word(_SOURCE)),
        of_clock_steps(step_s),
        of_governor(environment().get("cpu_governor")),
        of_cores(psutil.cpu_count() or 1),
        of_priority(priority),
        of_limit("open files", lambda: check_open_files(streams, most_files), files),
        of_ports(streams),
        of_other_load(busy_ratio),
        of_memory(psutil.virtual_memory().available),
    ]


def kernel_stamps_arrive() -> bool:
    """Whether bytes over loopback come with the kernel's receive time."""
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_connection(server.getsockname())) as reader,
    ):
        ask_for_kernel_stamps(reader)
        writer, _ = server.accept()
        with closing(writer):
            for _ in range(_STAMP_TRIES):
                writer.sendall(b"x")
                _, ancillary, _, _ = reader.recvmsg(1, ANCILLARY_BYTES)
                if any(level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS_NEW for level, kind, _ in ancillary):
                    return True
                time.sleep(_STAMP_PAUSE_S)
    return False


def watch_clocks(watched_s: float) -> float:
    """The largest change between wall and monotonic clock between two samples, in seconds."""
    wall_clock = WallClock()
    for _ in range(max(1, round(watched_s / _SAMPLE_PERIOD_S))):
        time.sleep(_SAMPLE_PERIOD_S)
        wall_clock.sample()
    return wall_clock.largest_step_ns / 1e9


def of_stamps(arrive: bool) -> HostCheckDocument:
    """Kernel stamps are what keeps the client's lateness out of the figures."""
    if arrive:
        return _check("kernel stamps", "ok", "the kernel stamps arrivals")
    hint = "measure from Linux, outside a sandbox (gVisor and the like) that hides the kernel's receive times"
    return _check("kernel stamps", "bad", "the kernel gives no receive times: arrivals are stamped at the read", hint)


def of_clock_source(source: str | None) -> HostCheckDocument:
    """A slow clock makes every stamp and every sample of the offset dear."""
    if source is None:
        return _check("clock source", "ok", "the system does not tell")
    if source in _QUICK_SOURCES:
        return _check("clock source", "ok", f"{source}, read without a system call")
    hint = "see /sys/devices/system/clocksource/clocksource0/available_clocksource; tsc is the best where it is offered"
    return _check("clock source", "warn", f"{source}: each look at the clock takes a system call", hint)


def of_clock_steps(step_s: float) -> HostCheckDocument:
    """By the limits of the verdict's check `clock_step`."""
    message = f"wall and monotonic clock moved apart by at most {step_s * 1e6:.3g} µs between two samples"
    severity = thresholds_of("clock_step").above(step_s)
    if severity is None:
        return _check("clock steps", "ok", message)
    hint = "let the time service slew the clock and not step it"
    return _check("clock steps", "bad" if severity == "invalid" else "warn", message, hint)


def of_governor(governor: str | None) -> HostCheckDocument:
    """A processor that clocks down when idle wakes late."""
    if governor is None:
        return _check("CPU governor", "ok", "the system does not tell, as is usual in virtual machines")
    if governor == "performance":
        return _check("CPU governor", "ok", governor)
    hint = "cpupower frequency-set -g performance"
    return _check("CPU governor", "warn", f"{governor}: the processor's speed follows the load", hint)


def of_cores(cores: int) -> HostCheckDocument:
    """A client alone on one core has to share it with whatever else runs."""
    if cores > 1:
        return _check("processors", "ok", f"{cores}")
    return _check("processors", "warn", "1, shared with everything else", "give the client two or more")


def of_priority(priority: str) -> HostCheckDocument:
    """Whether the measuring process may be woken ahead of others."""
    match priority:
        case "realtime":
            return _check("priority", "ok", "the client may be woken in real time")
        case "raised":
            return _check("priority", "ok", "the client's priority may be raised")
        case _:
            message = "the client waits for its turn like any other process"
            return _check("priority", "warn", message, RAISE_PRIORITY)


def of_limit(name: str, check: Callable[[], None], fine: str) -> HostCheckDocument:
    """A limit that `check` raises HostLimitError about, else what is `fine`."""
    try:
        check()
    except HostLimitError as error:
        message, _, hint = str(error).partition(": ")
        return _check(name, "bad", message, hint)
    return _check(name, "ok", fine)


def of_ports(streams: int) -> HostCheckDocument:
    """Local ports towards one address."""
    ports = ports_to(ANYWHERE)
    if ports is None:
        return _check("local ports", "ok", "the system does not tell")
    fine = f"{ports.free:,} of {ports.first} to {ports.last} are free towards one address"
    found = of_limit("local ports", lambda: check_ports(streams, ANYWHERE, ports), fine)
    if found["status"] == "ok" and ports.free < _FEW_PORTS:
        return _check("local ports", "warn", fine, WIDEN)
    return found


def of_other_load(busy_ratio: float) -> HostCheckDocument:
    """What others took of all processors while nothing of ours ran."""
    message = f"others use {busy_ratio:.0%} of the processors"
    if busy_ratio <= _OTHERS_BUSY_RATIO:
        return _check("other load", "ok", message)
    return _check("other load", "warn", message, "stop what else runs here, or measure from a machine of its own")


def of_memory(available_bytes: int) -> HostCheckDocument:
    """A run prepares all its prompts and keeps all its answers."""
    message = f"{available_bytes / (1 << 30):.1f} GiB available"
    if available_bytes >= _MIN_MEMORY_BYTES:
        return _check("memory", "ok", message)
    return _check("memory", "warn", message, "a run may need 1 GiB for its prompts: free some, or keep runs small")


def _check(name: str, status: Literal["ok", "warn", "bad"], message: str, hint: str = "") -> HostCheckDocument:
    return {"name": name, "status": status, "message": message, "hint": hint}


def _first_word(path: Path) -> str | None:
    try:
        return path.read_text().split()[0]
    except (OSError, IndexError):
        return None
