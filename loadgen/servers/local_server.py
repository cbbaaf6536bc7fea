"""Is the server on this machine, and which processes are it?

A server is known by the socket that listens where we send to: its process, what that has started, and what shares its process
group, since an engine's workers are children of one of its front ends or stand beside it. Processes of other users do not show.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadgen.servers.proxies import DEFAULT_PORTS

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING = "0A"


def is_local(url: str) -> bool:
    """Whether the host of the URL is this machine: one of its own addresses. False for a name that cannot be resolved."""
    host = urlsplit(url).hostname
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    own = {address.address.partition("%")[0] for each in psutil.net_if_addrs().values() for address in each}
    return any(str(address) in own or str(address).startswith("127.") or address == "::1" for address in found)


def processes_of(url: str) -> list[psutil.Process]:
    """The processes of the server that listens at the port of the URL, the listening ones first; none where they do not show."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    found: dict[int, psutil.Process] = {}
    groups = set()
    for pid in _listening(port):
        with suppress(psutil.Error, OSError):
            found[pid] = psutil.Process(pid)
            groups.add(os.getpgid(pid))
    for process in [*found.values()]:
        with suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True)}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) in groups:
                found.setdefault(process.pid, process)
    return list(found.values())


def _listening(port: int) -> list[int]:
    """The processes that listen at the port, of those that share a socket the first; none where they do not show."""
    tables = [table for table in _TABLES if table.exists()]
    if not tables:
        return _listening_elsewhere(port)
    address_end = f":{port:04X}"
    lines = [line for table in tables for line in table.read_text().splitlines() if address_end in line]
    rows = [line.split() for line in lines]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(address_end) and row[3] == _LISTENING}
    found = []
    for pid in sorted(psutil.pids()) if sockets else []:
        with suppress(OSError):  # of another user, or ended
            held = {target for target in _targets(pid) if target in sockets}
            if held:
                found.append(pid)
                sockets -= held
    return found


def _targets(pid: int) -> Iterator[str]:
    """What the open files of a process are links to."""
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            yield os.readlink(entry.path)  # noqa: PTH115  # of thousands, and a Path of each takes longer


def _listening_elsewhere(port: int) -> list[int]:
    """The same on systems without /proc."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # macOS asks for root
        return []
    return sorted(
        {
            each.pid
            for each in connections
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid is not None
        }
    )


def environment_value(processes: list[psutil.Process], name: str) -> str | None:
    """What the first of the processes that has it holds in the environment variable; None where none has, or may be asked."""
    for process in processes:
        with suppress(psutil.Error):
            value = process.environ().get(name)
            if value is not None:
                return value
    return None
