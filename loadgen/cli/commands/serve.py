"""`loadgen serve`: start a server from a profile, look at it, end it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from loadgen.cli.console.terminal import Terminal, echo, show_json, write_bytes
from loadgen.cli.flags.options import Json, argument
from loadgen.cli.flags.signature import Command, Flag, command, group
from loadgen.errors import ServerError, UsageError

if TYPE_CHECKING:
    from loadgen.servers.launcher.launch import Launch
    from loadgen.servers.launcher.start import Started
    from loadgen.servers.launcher.state import ServerState

serve = group("Start a server from a profile, look at it, end it.")

ProfileName = Annotated[str, argument("PROFILE", "A server profile by name, or the path of its file.")]
_LAUNCH_FLAGS = (
    Flag("port", "N", "Listen there instead of on the profile's port.", type=int | None),
    Flag("model", "PATH|ID", "Serve the model from there; requests keep the profile's name for it."),
    Flag("argument", "K=V", "Another value for an argument of the engine; may be repeated; without V: none.", type=list[str] | None),
)  # fmt: skip
_LOGS_FLAGS = (
    Flag("follow", "", "Go on with what is added, until the server ends or Ctrl-C.", type=bool, default=False, short="-f"),
)  # fmt: skip


@serve.command("up", cls=Command)
@command(_LAUNCH_FLAGS, takes_db=False)
def up(terminal: Terminal, profile: ProfileName, **overrides: Any) -> None:
    """Start a server and return when it has answered a request."""
    started = _start(terminal, _launch(profile, **overrides), keeps_lifeline=False)
    _say_ready(terminal, started)
    terminal.note("  `loadgen serve down` ends it" if started.server.log else "  `loadgen serve down` forgets it")


@serve.command("run", cls=Command)
@command(_LAUNCH_FLAGS, takes_db=False)
def run(terminal: Terminal, profile: ProfileName, **overrides: Any) -> None:
    """Start a server in the foreground, with its log on stderr, until Ctrl-C."""
    from loadgen.servers.launcher.log import follow

    launch = _launch(profile, **overrides)
    if launch.kind == "external":
        raise UsageError(f"{launch.profile_name} is not ours to run; `loadgen serve up {profile}` records it")
    started = _start(terminal, launch, keeps_lifeline=True)
    supervised, log = started.supervised, started.server.log
    if supervised is None or log is None:  # it was running
        _say_ready(terminal, started)
        return
    ended: list[Mapping[str, Any]] = []

    def is_over() -> bool:
        ended.extend(event for event in supervised.events(0) if event["event"] in ("ended", "gone"))
        return bool(ended)

    try:
        _say_ready(terminal, started)
        sys.stdout.flush()  # a pipe shows it now, not at the end
        for piece in follow(Path(log), is_over):
            if not terminal.quiet:
                sys.stderr.write(piece.decode(errors="replace"))
    except KeyboardInterrupt:
        terminal.note(f"ending {started.server.profile} …")
    finally:
        supervised.end_and_wait()
    if ended and ended[0].get("how") != "asked":
        raise ServerError(f"{_ending(started.server)}; its log: {log}")


@serve.command("status", cls=Command)
@command(takes_db=False)
def status(terminal: Terminal, as_json: Json = False) -> None:
    """Say which server is running, and since when."""
    from loadgen.servers.launcher.state import read_state, state_folder, status_of, unrecorded

    state = read_state(state_folder())
    left = unrecorded(state_folder(), state)
    stands = "broken" if left else "none" if state is None else status_of(state)
    if as_json:
        show_json({"schema_version": 1, "status": stands, "server": None if state is None else _document(state)})
        return
    if left:
        echo(
            "a server is running that is not on record: server.json is lost, garbled or another server's, and "
            f"its mark was found on {len(left)} of its processes; `loadgen serve down` ends them"
        )
        return
    if state is None:
        echo("no server is running")
        return
    where, log = f"at {state.url}", f"\n  its log: {state.log}" if state.log else ""
    match stands:
        case "running":
            what = "is recorded" if state.is_external else "is running"
            echo(f"{state.profile} {what} {where} since {state.ready_at}{log}")
        case "starting":
            echo(f"{state.profile} is starting since {state.started_at}{log}")
        case "broken":
            echo(
                f"{state.profile} is broken, and {len(state.family())} of its processes are left; `loadgen serve down` ends them{log}"
            )
        case _:
            echo(f"no server is running; {state.profile} {_what_became(state)}{log}")


@serve.command("logs", cls=Command)
@command(_LOGS_FLAGS, takes_db=False)
def logs(terminal: Terminal, *, follow: bool) -> None:
    """Show the log of the server that was started last."""
    from loadgen.servers.launcher import log
    from loadgen.servers.launcher.state import read_state, state_folder, status_of

    state = read_state(state_folder())
    if state is None or state.log is None or not Path(state.log).is_file():
        raise UsageError("there is no log: `loadgen serve up PROFILE` starts a server")
    followed = state
    try:
        for piece in log.follow(Path(state.log), lambda: not follow or status_of(followed) == "ended"):
            write_bytes(piece)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


@serve.command("down", cls=Command)
@command(takes_db=False)
def down(terminal: Terminal) -> None:
    """End the server, and all that belongs to it."""
    from loadgen.servers.launcher.stop import stop

    stopped = stop()
    if stopped.strays:
        terminal.note(
            "server.json in the state folder is lost, garbled or another server's; a server was found by its mark and has "
            f"ended; processes: {stopped.strays}"
        )
    if stopped.was_external:
        terminal.note(f"{stopped.profile} is forgotten; it is not ours to end")
    elif stopped.profile is None and not stopped.strays:
        terminal.note("no server is running")
    elif stopped.profile is not None:
        terminal.note(f"{stopped.profile} has ended, and nothing of it is left")


def _launch(
    profile: str, *, port: int | None = None, model: str | None = None, argument: Sequence[str] = ()
) -> "Launch":
    from loadgen.servers.launcher.variant import Overrides, Variant

    return Variant.of(profile, Overrides.parse(port, model, argument)).launch()


def _start(terminal: Terminal, launch: "Launch", *, keeps_lifeline: bool) -> "Started":
    from loadgen.cli.progress.live_line import StartProgress
    from loadgen.servers.launcher.start import start

    with StartProgress(terminal, launch.profile_name) as progress:
        return start(launch, say=progress.say, keeps_lifeline=keeps_lifeline)


def _say_ready(terminal: Terminal, started: "Started") -> None:
    server = started.server
    facts = server.facts
    if started.was_running:
        echo(f"{server.profile} is running already at {server.url}; nothing was done")
        return
    engine = " ".join(str(facts[key]) for key in ("engine", "engine_version") if facts.get(key))
    weights = ", dummy weights" if facts.get("weights") == "dummy" else ""
    took = f" after {facts['startup_s']:.0f} s" if facts.get("startup_s") is not None else ""
    echo(f"{server.profile} answers at {server.url}{took} ({engine}{weights})")
    terminal.note("  `loadgen sweep` measures it over its default grid")


def _ending(server: "ServerState") -> str:
    from loadgen.servers.launcher.state import read_state, state_folder

    state = read_state(state_folder())
    return f"{server.profile} {'died' if state is None else _what_became(state)}"


def _what_became(state: "ServerState") -> str:
    if state.ended is None:
        return "is gone; nobody saw its end, as its supervisor was killed or the machine started anew"
    return f"{state.ended.sentence}, at {state.ended.at}"


def _document(state: "ServerState") -> dict[str, object]:
    """The server of `status --json`."""
    return {
        "profile": state.profile,
        "url": state.url,
        "model": state.model,
        "started_at": state.started_at,
        "ready_at": state.ready_at,
        "ended_at": state.ended.at if state.ended else None,
        "ended": state.ended.sentence if state.ended else None,
        "pid": state.server,
        "process_group": state.supervisor or None,
        "processes": [one.pid for one in state.family()],
        "log": state.log,
        "launch": state.facts,
    }
