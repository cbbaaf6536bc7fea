"""Start what a launch asks for, and wait until it answers a request."""

import errno
import fcntl
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from loadgen.errors import ServerError, UsageError
from loadgen.servers.launcher import preflight
from loadgen.servers.launcher.failure import FailureKind, StartFailure, diagnose
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.log import overwrite, stage
from loadgen.servers.launcher.processes import is_alive
from loadgen.servers.launcher.provenance import launch_record
from loadgen.servers.launcher.readiness import Asking, NotReady, RequestRefused, ask, key_headers
from loadgen.servers.launcher.state import (
    ServerState,
    new_log,
    now,
    read_state,
    state_file,
    state_folder,
    status_of,
    unrecorded,
    write_private,
    write_state,
    writing,
)
from loadgen.servers.launcher.supervised import Supervised
from loadgen.servers.profiles.plugins import without_effect

_LOOK_EVERY_S = 0.1
_CLEARING_S = 15.0  # what a supervisor takes beyond the server's own grace
_RESPONSE_LIMIT_S = 60.0  # of a server that runs already

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Started:
    """A server that answers. `supervised` holds its lifeline when it was asked to be kept; `was_running` says that nothing was done."""

    server: ServerState
    was_running: bool = False
    supervised: Supervised | None = None


def start(launch: Launch, *, say: Say, keeps_lifeline: bool = False, folder: Path | None = None) -> Started:
    """Start the server and return once it has answered a request; `say` hears each stage of it.

    With `keeps_lifeline` the server ends with this process; otherwise only `stop` ends it, or its own death. Raises StartFailure
    with the reason, and UsageError while another server is running. However this call ends, Ctrl-C and `kill -9` included,
    either the server answers or nothing of it is left.
    """
    if not sys.platform.startswith("linux") and launch.kind != "external":
        raise UsageError("loadgen starts servers on Linux only; start it yourself, and measure it with --url")
    folder = folder or state_folder()
    with _starting(folder):
        running = _running(launch, folder)
        if running is not None:
            return Started(running, was_running=True)
        if launch.kind == "external":
            return Started(_look_at(launch, folder))
        preflight.check(launch)
        for path, text in launch.files.items():
            write_private(Path(path), text)
        state = _state_of(launch, folder)
        supervised = Supervised(folder, launch, state, keeps_lifeline=keeps_lifeline)
        try:
            _wait(launch, state, supervised, say)
        except BaseException:
            supervised.end_and_wait()
            _without_secrets(launch, state)
            raise
        _without_secrets(launch, state)
        if not keeps_lifeline:
            supervised.release()
    ready = read_state(folder)
    if ready is None:
        raise ServerError(f"the state of {launch.profile_name} cannot be read back from {folder}")
    return Started(ready, supervised=supervised if keeps_lifeline else None)


@contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """One start at a time. The lock goes with the process that holds it, however that ends."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Without waiting for a FIFO's other end, should it be one.
        lock = os.open(folder / "starting.lock", os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                "another `loadgen serve` is starting a server at this moment; wait until it is done"
            ) from error
        yield
    finally:
        os.close(lock)


def _running(launch: Launch, folder: Path) -> ServerState | None:
    """The same server, when it runs and answers already. Raises UsageError when another one is in its place."""
    state = _settled(folder)
    if launch.kind != "external" and (left := unrecorded(folder, state)):
        raise UsageError(
            f"a server is running that is not on record: {state_file(folder)} is lost, garbled or another server's, and "
            f"its mark was found on {len(left)} of its processes; end them with `loadgen serve down`"
        )
    if state is None or (stands := status_of(state)) == "ended":
        return None
    if stands != "running":
        raise UsageError(
            f"a start of {state.profile} was broken off and is not cleared away yet; `loadgen serve down` does that"
        )
    if state.fingerprint != launch.fingerprint:
        differs = " with other arguments" if state.profile == launch.profile_name else ""
        raise UsageError(
            f"{state.profile} is running{differs} at {state.url}; end it with `loadgen serve down` before you start {launch.profile_name}"
        )
    try:
        ask(state.url, state.model, launch.endpoint, key_headers(launch.api_key_env), _RESPONSE_LIMIT_S)
    except (NotReady, RequestRefused) as error:
        raise ServerError(
            f"{state.profile} is running and does not answer ({error}); end it with `loadgen serve down`"
        ) from error
    return state


def _settled(folder: Path) -> ServerState | None:
    """The stored state, once a supervisor that is ending its server has done so."""
    state = read_state(folder)
    deadline = time.monotonic() + (state.grace_s if state else 0.0) + _CLEARING_S
    while state is not None and status_of(state) in ("starting", "broken") and time.monotonic() < deadline:
        if not is_alive(state.supervisor, state.supervisor_started):
            break
        time.sleep(_LOOK_EVERY_S)
        state = read_state(folder)
    return state


def _look_at(launch: Launch, folder: Path) -> ServerState:
    """Record a server that is somebody else's, once it has answered."""
    if launch.api_key_env is not None and not os.environ.get(launch.api_key_env):
        raise UsageError(f"{launch.profile_name} wants a key: set the environment variable {launch.api_key_env}")
    state = _new_state(launch, None)
    try:
        answered = ask(launch.url, launch.model, launch.endpoint, key_headers(launch.api_key_env))
    except (NotReady, RequestRefused) as error:
        raise StartFailure(FailureKind.REFUSED_REQUEST, f"{launch.profile_name} does not answer: {error}") from error
    facts = launch_record(launch, answered, "", state.started_at, 0.0)
    state = replace(state, phase="ready", ready_at=now(), facts=facts)
    with writing(folder):
        write_state(folder, state)
    return state


def _state_of(launch: Launch, folder: Path) -> ServerState:
    with writing(folder):
        if state_file(folder).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(state_file(folder)))
        log = new_log(folder, launch.profile_name)
    return replace(
        _new_state(launch, str(log)), mark=uuid.uuid4().hex, grace_s=launch.stop_grace_s, cleanup=launch.cleanup
    )


def _new_state(launch: Launch, log: str | None) -> ServerState:
    return ServerState(
        profile=launch.profile_name,
        url=launch.url,
        model=launch.model,
        endpoint=launch.endpoint,
        fingerprint=launch.fingerprint,
        log=log,
        started_at=now(),
    )


def _wait(launch: Launch, state: ServerState, supervised: Supervised, say: Say) -> None:
    """Until the server answers. Raises StartFailure."""
    assert state.log is not None
    log, name = Path(state.log), launch.profile_name
    began = time.monotonic()
    asking = Asking(launch.url, launch.model, launch.endpoint, key_headers(launch.api_key_env))
    read, present = 0, "starting"
    say(present)
    try:
        while asking.facts is None:
            for event in supervised.events(_LOOK_EVERY_S):
                if event["event"] == "not_started":
                    raise StartFailure(FailureKind.NO_ENGINE, f"{name} did not start: {event['reason']}")
                if event["event"] in ("ended", "gone"):
                    raise _ended(launch, log, state)
            if asking.refusal is not None:
                raise StartFailure(
                    FailureKind.REFUSED_REQUEST,
                    f"{name} started and refuses to be measured: {launch.without_secrets(asking.refusal)}",
                    log,
                )
            fresh = _read_from(log, read)
            read += len(fresh)
            told = stage(fresh.decode(errors="replace"))
            if told is not None and told != present:
                present = told
                say(present)
            if time.monotonic() - began > launch.readiness_timeout_s:
                raise StartFailure(
                    FailureKind.TIMED_OUT,
                    f"{name} did not answer a request within {launch.readiness_timeout_s:g} s; it was {present} ({launch.without_secrets(asking.problem)})",
                    log,
                )
    finally:
        asking.give_up()
    text = log.read_text(errors="replace")
    if unused := without_effect(launch.plugins, text):
        raise StartFailure(
            FailureKind.BAD_ARGUMENT,
            f"{name} started without its plug-in {' and '.join(unused)}, which its log does not announce; see in "
            "docs/unfused.md which models and releases of vLLM it fits",
            log,
        )
    supervised.ready(launch_record(launch, asking.facts, text, state.started_at, time.monotonic() - began))


def _without_secrets(launch: Launch, state: ServerState) -> None:
    """Overwrite in the log what the engine told there of its secret arguments, as vLLM does at its start."""
    if state.log is not None:
        overwrite(Path(state.log), launch.secrets)


def _ended(launch: Launch, log: Path, before: ServerState) -> StartFailure:
    """The failure of a server that ended before it answered."""
    name = launch.profile_name
    state = read_state(log.parent.parent)
    ended = state.ended if state is not None and state.mark == before.mark else None
    if ended is not None and ended.how == "asked":
        return StartFailure(FailureKind.STOPPED, f"{name} was ended before it was ready", log)
    reason = diagnose(launch.without_secrets(log.read_text(errors="replace")), launch.model_source)
    if reason is not None and reason.kind != FailureKind.DIED:
        return StartFailure(reason.kind, f"{name} did not start: {reason.words}", log)
    if ended is not None and ended.signal == "SIGKILL":
        return StartFailure(FailureKind.OUT_OF_MEMORY, f"{name} did not start: it {ended.sentence}", log)
    if reason is not None:
        return StartFailure(reason.kind, f"{name} did not start: {reason.words}", log)
    return StartFailure(FailureKind.DIED, f"{name} did not start: it {ended.sentence if ended else 'died'}", log)


def _read_from(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except OSError:
        return b""
