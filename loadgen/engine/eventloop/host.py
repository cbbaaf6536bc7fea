"""What the host lends a run: open files and local ports, counted before anything is sent, and the priority to be woken first.

A connection takes one open file of its process and one local port towards the server's address. Where the system does not
report them, nothing is checked and the connections fail by themselves.
"""

import contextlib
import os
import resource
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.engine.records.record import Priority
from loadgen.errors import HostLimitError

SPARE_DESCRIPTORS = 64  # what the process itself keeps open: the interpreter, its loop, the pipes to its parent
MAX_PORTS = 65535 - 1024 + 1  # the widest range there can be without the privileged ones
WIDEN = 'sysctl -w net.ipv4.ip_local_port_range="1024 65535"'

_IPV4 = Path("/proc/sys/net/ipv4")
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_TIME_WAIT = "06"
_REUSED_ON_LOOPBACK, _REUSED = "2", "1"  # values of tcp_tw_reuse
_RAISED_NICENESS = -10


@dataclass(frozen=True, slots=True)
class Ports:
    """Local ports for connections to one address: the range, and how many of it are free."""

    first: int
    last: int
    free: int


def make_room(connections: int, sockaddr: tuple[Any, ...]) -> None:
    """Raise this process's soft limit of open files to the hard one, and check that `connections` to `sockaddr` are possible.

    Raises HostLimitError, which names the remedy, when files or ports are too few.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    check_open_files(connections, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    check_ports(connections, sockaddr, ports_to(sockaddr))


def check_before_start(connections: int, processes: int, host: str, port: int) -> None:
    """Whether `processes` workers of this host may open `connections` between them. Raises HostLimitError.

    A host name that cannot be resolved passes: connecting reports it.
    """
    check_open_files(-(-connections // processes), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    try:
        sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    except OSError:
        return
    check_ports(connections, sockaddr, ports_to(sockaddr))


def check_open_files(connections: int, hard: int) -> None:
    """Raises HostLimitError when a hard limit of `hard` open files is too low for that many `connections` of a process."""
    wanted = connections + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise HostLimitError(
            f"{connections:,} streams need {wanted:,} open files and the limit is {hard:,}: raise it with `ulimit -Hn {wanted}` "
            f"(or LimitNOFILE, or docker's --ulimit nofile), or share them among more --workers"
        )


def check_ports(connections: int, sockaddr: tuple[Any, ...], ports: Ports | None) -> None:
    """Raises HostLimitError when fewer than `connections` local `ports` are free towards `sockaddr`."""
    if ports is None or connections <= ports.free:
        return
    where = f"{connections:,} streams to {sockaddr[0]} port {sockaddr[1]} need as many local ports"
    if connections > MAX_PORTS:
        raise HostLimitError(f"{where}, and one address has at most {MAX_PORTS:,}: ask for fewer, from more machines")
    raise HostLimitError(
        f"{where}, and {ports.free:,} of {ports.first} to {ports.last} are free: widen the range with `{WIDEN}`, "
        "or wait a minute for closed connections to be forgotten"
    )


def ports_to(sockaddr: tuple[Any, ...]) -> Ports | None:
    """The local ports that a connection to `sockaddr` may use; None if the system does not report them.

    A port in use towards another address is free towards this one. A closed connection keeps its port for a minute
    (TIME_WAIT) unless the system reuses it, as Linux does on loopback from the start.
    """
    try:
        first, last = (int(part) for part in (_IPV4 / "ip_local_port_range").read_text().split())
        reserved = _reserved((_IPV4 / "ip_local_reserved_ports").read_text())
        reuse = (_IPV4 / "tcp_tw_reuse").read_text().strip()
        lines = [line for table in _TABLES if table.exists() for line in table.read_text().splitlines()[1:]]
    except (OSError, ValueError):
        return None
    loopback = sockaddr[0].startswith("127.") or sockaddr[0] == "::1"
    forgets = reuse == _REUSED or (reuse == _REUSED_ON_LOOPBACK and loopback)
    taken = ports_taken(lines, sockaddr, time_wait_counts=not forgets) | reserved
    return Ports(first, last, last - first + 1 - sum(first <= port <= last for port in taken))


def ports_taken(lines: Iterable[str], sockaddr: tuple[Any, ...], *, time_wait_counts: bool) -> set[int]:
    """The local ports in rows of /proc/net/tcp and tcp6 that are connected to `sockaddr`."""
    address = f"{kernel_hex(sockaddr[0])}:{sockaddr[1]:04X}"
    taken = set()
    for line in lines:
        if address not in line:  # most rows of a busy host
            continue
        _, local, remote, state = line.split(maxsplit=4)[:4]
        if remote == address and (time_wait_counts or state != _TIME_WAIT):
            taken.add(int(local.rpartition(":")[2], 16))
    return taken


def kernel_hex(address: str) -> str:
    """An IP address as /proc/net/tcp writes it: words of 32 bits in the machine's own byte order."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address.partition("%")[0])
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))


def _reserved(text: str) -> set[int]:
    """The ports of `8080,9148-9150`."""
    ports: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        ports.update(range(int(first), int(last or first) + 1))
    return ports


@contextlib.contextmanager
def raised_priority() -> Iterator[Priority]:
    """Give this process the best priority that the system allows within the block; yield which.

    A reader that waits for a processor finds several events merged under one stamp: the kernel joins queued segments and
    keeps the latest time. On a machine shared with the server that wait was up to 60 ms at normal priority.
    """
    priority: Priority = "normal"
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            priority = "realtime"
    if priority == "normal":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _RAISED_NICENESS)
            priority = "raised"
    try:
        yield priority
    finally:
        if priority == "realtime":
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        elif priority == "raised":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, niceness)
