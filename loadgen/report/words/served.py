"""The server of a run document in words: what it is, from which profile, started how."""

import shlex

from loadgen.analysis.document.server import ServerDocument
from loadgen.analysis.document.sweep import StartFailureDocument
from loadgen.report.format import plural
from loadgen.store.rows import SweepRow

DUMMY_WEIGHTS = "dummy weights"
"""Made up by the engine, of the right shapes: what is routed, said and accepted means nothing."""


def has_dummy_weights(server: ServerDocument) -> bool:
    """Whether the weights were made up."""
    return (server.get("launch") or {}).get("weights") == "dummy"


def server_name(server: ServerDocument) -> str:
    """A server's name and version, or what it was reached at; that its weights were made up, where they were."""
    words = [str(server[key]) for key in ("name", "version") if server.get(key)]
    name = " ".join(words) or str(server.get("url") or "")
    return f"{name}, {DUMMY_WEIGHTS}" if has_dummy_weights(server) else name


def served_line(server: ServerDocument) -> str:
    """From which profile the server was started, and on what; empty where loadgen did not start it."""
    launch = server.get("launch")
    if launch is None:
        return ""
    overrides = launch.get("overrides") or {}
    changed: dict[str, object] = {name: value for name, value in overrides.items() if name != "arguments"}
    changed |= overrides.get("arguments") or {}
    words = [
        str(server.get("profile")),
        *(f"{name} {'away' if value is None else value}" for name, value in changed.items()),
    ]
    if names := [str(gpu["name"]) for gpu in launch.get("gpus") or ()]:
        words.append(plural(len(names), "GPU") + f" ({', '.join(sorted(set(names)))})")
    if (startup_s := launch.get("startup_s")) is not None:
        words.append(f"answered after {startup_s:.0f} s")
    return ", ".join(words)


def launch_command(server: ServerDocument) -> str:
    """Return the command that started the server, quoted for a shell; empty if loadgen did not start it."""
    return shlex.join(map(str, (server.get("launch") or {}).get("argv") or ()))


def without_command(server: ServerDocument) -> ServerDocument:
    """Return the description of the server without its `launch_command`."""
    launch = server.get("launch")
    if not launch:
        return server
    kept = launch.copy()
    kept.pop("argv", None)
    return {**server, "launch": kept}


def failure_kind(sweep: SweepRow) -> str:
    """Why the sweep's server did not start, in two or three words; empty where it did."""
    failure: StartFailureDocument | None = sweep.start_failure
    return "" if failure is None else str(failure["kind"]).replace("_", " ").replace("gpu", "GPU").replace("kv", "KV")
