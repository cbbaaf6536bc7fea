"""What is known of the server that was started last: one small file that is replaced as a whole, in a folder with the logs.

One folder per user, since a machine serves one measured server at a time. The supervisor writes the file while it lives, for it
knows first what became of the server, and imports this: standard library and errors only.
"""

import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, get_args
from urllib.parse import urlsplit

from loadgen.errors import UsageError
from loadgen.servers.launcher.processes import Process, boot_id, family, strays


def state_folder() -> Path:
    """`$LOADGEN_STATE_DIR`, else `$XDG_STATE_HOME/loadgen`, else `~/.local/state/loadgen`; it need not exist."""
    if chosen := os.environ.get("LOADGEN_STATE_DIR"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state").absolute() / "loadgen"


def state_file(folder: Path) -> Path:
    """The record of the server that was started last."""
    return folder / "server.json"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise UsageError, which names the state folder, for whatever cannot be written in it within the block."""
    try:
        yield
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) and error.filename else folder
        raise UsageError(
            f"the state folder {folder} cannot be used: {what}: {error.strerror or error}; repair it, or name another with the "
            "environment variable LOADGEN_STATE_DIR"
        ) from error


KEPT_LOGS = 50


def remove_old_logs(logs: Path) -> None:
    """Remove the oldest logs of starts, so that `KEPT_LOGS` are left once another is made."""
    found: list[tuple[float, Path]] = []
    for path in logs.glob("*.log"):
        with suppress(OSError):
            facts = path.lstat()
            if not stat.S_ISDIR(facts.st_mode):  # which is not ours
                found.append((facts.st_mtime, path))
    for _, path in sorted(found)[: max(0, len(found) - KEPT_LOGS + 1)]:
        with suppress(OSError):
            path.unlink()


def new_log(folder: Path, profile: str) -> Path:
    """A log file for a server that starts now; it is made, empty."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    moment = datetime.now(UTC).strftime("%y%m%d-%H%M%S")
    path = logs / f"{profile}-{moment}.log"
    count = 1
    while path.exists():
        count += 1
        path = logs / f"{profile}-{moment}-{count}.log"
    remove_old_logs(logs)
    path.touch(mode=0o600)  # a server may write keys into it
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read: it may hold keys."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


CLEANUP_LIMIT_S = 120.0  # how long the command that cleans up may take
_MAX_BYTES = 16 * 1024 * 1024  # of server.json
_MAX_NUMBER = 2**63  # of a process id and of clock ticks
_MAX_GRACE_S = 86_400.0

ServerPhase = Literal["starting", "ready", "ended"]
HowEnded = Literal["asked", "abandoned", "died"]
ServerStatus = Literal["none", "starting", "running", "ended", "broken"]
"""`broken`: the server is gone, or its start was, and processes of it are left."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the server ended: asked to, given up by a start that was broken off, or by itself; `None` where nobody saw it."""

    how: HowEnded
    at: str
    exit_code: int | None = None
    signal: str | None = None  # SIGKILL and the like

    @property
    def sentence(self) -> str:
        """What became of the server, to follow its name."""
        if self.how == "asked":
            return "was ended"
        if self.how == "abandoned":
            return "was ended because the command that started it was gone before the server was ready"
        if self.signal is not None:
            hint = "; the kernel does so when memory runs out" if self.signal == "SIGKILL" else ""
            return f"was killed by {self.signal}{hint}"
        return "died" if self.exit_code is None else f"ended by itself with exit code {self.exit_code}"


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server, from before its start until after its end. Moments are UTC in ISO 8601.

    `supervisor` is 0 for a server that is somebody else's and only measured. `fingerprint` tells whether two launches are the
    same; `grace_s` is how long it may take to end by itself, and `cleanup` a command to call after that. `facts` is the run document's `launch`, complete once the server is ready.
    """

    profile: str
    url: str
    model: str
    endpoint: str
    fingerprint: str
    log: str | None
    started_at: str
    phase: ServerPhase = "starting"
    mark: str = ""
    boot: str = ""
    supervisor: int = 0
    supervisor_started: int = 0
    server: int | None = None
    grace_s: float = 20.0
    cleanup: tuple[str, ...] = ()
    ready_at: str | None = None
    ended: Ended | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_external(self) -> bool:
        """Whether loadgen only measures it and neither started it nor may end it."""
        return self.supervisor == 0

    def family(self) -> list[Process]:
        """Its living processes, the supervisor included; none of another start of the machine."""
        if self.is_external or self.boot != boot_id():
            return []
        return family(self.mark, self.supervisor, self.supervisor_started)

    def with_end(self, how: HowEnded, exit_code: int | None = None, signal: str | None = None) -> "ServerState":
        """The same, ended now."""
        return replace(self, phase="ended", ended=Ended(how, now(), exit_code, signal))

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any) -> "ServerState":
        """The inverse of `to_json`. Raises TypeError, ValueError or KeyError for anything else."""
        ended = document["ended"]
        state = cls(
            **{
                **document,
                "cleanup": tuple(_list(document["cleanup"])),
                "ended": None if ended is None else Ended(**ended),
            }
        )
        if state.phase not in get_args(ServerPhase):
            raise ValueError(f"no phase of a server: {state.phase}")
        _check_types(state)
        return state


class SupervisorOrder(TypedDict):
    """The first line to a supervisor: what to start, and where its state and its log are."""

    folder: str
    state: dict[str, object]  # as `ServerState.to_json` has it
    argv: list[str]
    environment: dict[str, str]
    log: str
    keeps_lifeline: bool  # it ends its server when its standard input ends, also after "ready"


class SupervisorEvent(TypedDict):
    """A line of a supervisor: what happened. Its reader adds `gone` where the pipe is closed."""

    event: str
    pid: NotRequired[int]  # of "supervising", its own
    started: NotRequired[int]  # of "supervising", when it began
    server: NotRequired[int]  # of "started", its id
    reason: NotRequired[str]  # of "not_started"
    how: NotRequired[HowEnded]  # of "ended"


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _check_types(state: ServerState) -> None:
    """Raise TypeError unless each field has its type: the file may be of another release, or edited."""
    numbers = (state.supervisor, state.supervisor_started, *([] if state.server is None else [state.server]))
    optional = [text for text in (state.log, state.ready_at) if text is not None]
    texts = (state.profile, state.url, state.model, state.endpoint, state.fingerprint, state.started_at, state.mark)
    if not (
        all(type(number) is int and 0 <= number < _MAX_NUMBER for number in numbers)
        and all(isinstance(text, str) for text in (*texts, state.boot, *state.cleanup, *optional))
        and type(state.grace_s) in (int, float)
        and 0 <= state.grace_s <= _MAX_GRACE_S
        and isinstance(state.facts, dict)
    ):
        raise TypeError("a field of the state of a server has another type")
    _ = urlsplit(state.url).port  # raises ValueError for what is no URL


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_state(folder: Path, state: ServerState) -> None:
    """Replace the stored state. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix="server-", suffix=".json", dir=folder)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(state.to_json(), file, indent=1)
        Path(name).replace(state_file(folder))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_state(folder: Path) -> ServerState | None:
    """The stored state; None where there is none or nothing that this release can read."""
    try:
        return ServerState.from_json(json.loads(_read_text(state_file(folder))))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _read_text(path: Path) -> str:
    """The text of a regular file of a sane size. Raises OSError for anything else, without waiting, and UnicodeDecodeError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a regular file")
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(f"{path} is longer than {_MAX_BYTES} bytes")
    return content.decode()


def running_server(folder: Path | None = None) -> ServerState | None:
    """The server that `serve up` or `serve run` has made ready, in this user's state folder; None when there is none."""
    state = read_state(folder or state_folder())
    return state if state is not None and status_of(state) == "running" else None


def status_of(state: ServerState) -> ServerStatus:
    """How the server of a state stands at this moment, whatever the state says: its supervisor may have been killed."""
    if state.is_external:
        return "ended" if state.phase == "ended" else "running"
    family = {one.pid for one in state.family()}
    if not family:
        return "ended"
    if state.supervisor in family and state.phase == "starting":
        return "starting"
    return "running" if state.phase == "ready" and state.server in family else "broken"


def unrecorded(folder: Path, state: ServerState | None) -> list[Process]:
    """The living processes of a server that the state of this folder does not tell of: it is lost, garbled or another server's."""
    if state is not None and not state.is_external and status_of(state) != "ended":
        return []
    return strays(folder)
