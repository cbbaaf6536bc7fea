"""Is the server on this machine, and which processes are it?

A server is known by the socket that listens where we send to: its process, what that has started, and what shares its process
group, since an engine's workers are children of one of its front ends or stand beside it. Processes of other users do not show.
"""

import os
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import psutil


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
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # macOS asks for root
        return []
    listening = {
        each.pid
        for each in connections
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid is not None
    }
    found: dict[int, psutil.Process] = {}
    groups = set()
    for pid in listening:
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


def environment_value(processes: list[psutil.Process], name: str) -> str | None:
    """What the first of the processes that has it holds in the environment variable; None where none has, or may be asked."""
    for process in processes:
        with suppress(psutil.Error):
            value = process.environ().get(name)
            if value is not None:
                return value
    return None
