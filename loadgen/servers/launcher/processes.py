"""Whose process is whose, read from /proc: a server's family is found and ended, and a reused process id is never taken for it.

A process belongs to the family when its environment carries the family's mark, when it is in the supervisor's session, or
when it descends from one that does. No single sign holds for all: a process may leave the session (`setsid`), and one that
sets its own title overwrites the environment that the kernel shows. Standard library only: the supervisor imports it. Linux.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "LOADGEN_SERVER_MARK"
"""The environment variable that every process of the family inherits."""

FOLDER = "LOADGEN_SERVER_STATE"
"""Another one, the state folder: by it the family is found when the state is lost."""

_PROC = Path("/proc")
LOOK_AGAIN_S = 0.05
_KILL_LIMIT_S = 10.0  # a process that frees the memory of several GPUs needs some of it


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table. `started` counts clock ticks since the machine's start: with `pid`, an identity."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    is_zombie: bool


def process(pid: int) -> Process | None:
    """The process of this id, or None."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before it may hold blanks and brackets
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        is_zombie=fields[0] in "ZX",
    )


def is_alive(pid: int, started: int) -> bool:
    """Whether this very process still runs: not ended, and not another of the same number."""
    found = process(pid)
    return found is not None and found.started == started and not found.is_zombie


def boot_id() -> str:
    """What tells one start of the machine from the next; process ids and start times count from there."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def table() -> dict[int, Process]:
    """All processes, zombies left out: they hold nothing and need no ending."""
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return {pid: found for pid in pids if (found := process(pid)) is not None and not found.is_zombie}


def descendants(of: Iterable[int], processes: dict[int, Process]) -> set[int]:
    """The ids of all that descend from these, without themselves."""
    children: dict[int, list[int]] = {}
    for one in processes.values():
        children.setdefault(one.parent, []).append(one.pid)
    found: set[int] = set()
    waiting = list(of)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def family(mark: str, supervisor: int, started: int) -> list[Process]:
    """Every living process that a supervisor (its id and start time) has brought into being, itself included.

    Also when the supervisor is gone: the kernel gives its number to nobody while its session lasts, so a living holder of
    another start time proves that the session is a stranger's.
    """
    processes = table()
    leader = processes.get(supervisor)
    in_session: set[int] = set()
    if leader is None or leader.started == started:
        in_session = {one.pid for one in processes.values() if one.session == supervisor and one.started >= started}
    younger = [pid for pid, one in processes.items() if one.started >= started] if mark else []
    marked = {pid for pid in younger if _variable(pid, MARK) == mark.encode()}
    members = in_session | marked
    members |= descendants(members, processes)
    return [processes[pid] for pid in sorted(members) if pid != os.getpid()]


def strays(folder: Path) -> list[Process]:
    """Every living process of servers that were started from this state folder, whatever is on record there.

    The folder may be spelled in another way by now. Processes with other mounts, such as a container's, mean another folder
    by the same path.
    """
    processes = table()
    wanted, mounts = os.path.realpath(os.fsencode(folder)), _mounts("self")
    marked = {
        pid
        for pid in processes
        if (named := _variable(pid, FOLDER)) and os.path.realpath(named) == wanted and _mounts(pid) == mounts
    }
    sessions = {processes[pid].session for pid in marked}
    own = {session for session in sessions if session and (session in marked or session not in processes)}
    members = marked | {pid for pid, one in processes.items() if one.session in own}
    members |= descendants(members, processes)
    return [processes[pid] for pid in sorted(members) if pid != os.getpid()]


def _variable(pid: int, name: str) -> bytes | None:
    """The value of an environment variable that the process began with; None if it has none, or may not be looked at."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    beginning = f"{name}=".encode()
    return next((each[len(beginning) :] for each in environment.split(b"\0") if each.startswith(beginning)), None)


def _mounts(pid: int | str) -> str | None:
    """What tells one set of mounts from another; None if it may not be looked at."""
    try:
        return str((_PROC / str(pid) / "ns" / "mnt").readlink())
    except OSError:
        return None


def end(find: Callable[[], list[Process]], *, grace_s: float, reap: Callable[[], None] = lambda: None) -> bool:
    """End all that `find` finds: TERM, and KILL after `grace_s`. `find` is asked anew each time, for what was born meanwhile.

    `reap` is called before each look. Answers whether nothing is left; something is when the kernel keeps a process that it
    cannot end, such as one that waits for a device.
    """
    told: set[tuple[int, int]] = set()
    for left in _looks(find, grace_s, reap):
        if not left:
            return True
        fresh = [one for one in left if (one.pid, one.started) not in told]
        told.update((one.pid, one.started) for one in fresh)
        tell(fresh, signal.SIGTERM)
    for left in _looks(find, _KILL_LIMIT_S, reap):
        if not left:
            return True
        tell(left, signal.SIGKILL)
    return False


def tell(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to each that still is who it was."""
    for one in processes:
        if is_alive(one.pid, one.started):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, number)


def _looks(find: Callable[[], list[Process]], limit_s: float, reap: Callable[[], None]) -> Iterator[list[Process]]:
    """What is found, again and again until `limit_s` is over; at least twice."""
    deadline = time.monotonic() + limit_s
    while True:
        reap()
        yield find()
        if time.monotonic() >= deadline:
            reap()
            yield find()
            return
        time.sleep(LOOK_AGAIN_S)
