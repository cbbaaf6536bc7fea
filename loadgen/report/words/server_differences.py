"""In what compared servers differ: checkpoint, pruning, plug-ins, engine and its arguments, each in words."""

from collections.abc import Callable, Sequence

from loadgen.analysis.document.server import LaunchDocument, ServerDocument
from loadgen.report.format import MISSING_FIGURE
from loadgen.report.points import Table
from loadgen.report.words.server import pruned_words
from loadgen.servers.profiles.flag_syntax import flat

_HASH_CHARACTERS = 12


def _engine(server: ServerDocument) -> str | None:
    words = [str(server[key]) for key in ("name", "version") if server.get(key)]
    return " ".join(words) or None


def _of_launch(read: Callable[[LaunchDocument], object]) -> Callable[[ServerDocument], str | None]:
    """Read a fact of servers that loadgen started."""

    def of(server: ServerDocument) -> str | None:
        launch = server.get("launch")
        value = None if launch is None else read(launch)
        return None if value is None or value == "" else str(value)

    return of


_FACTS: tuple[tuple[str, Callable[[ServerDocument], str | None]], ...] = (
    ("profile", lambda server: server.get("profile")),
    ("model", lambda server: server["model"]),
    ("engine", _engine),
    ("model folder", _of_launch(lambda launch: launch.get("model_source"))),
    ("revision", _of_launch(lambda launch: launch.get("model_revision"))),
    (
        "hash of the checkpoint",
        _of_launch(lambda launch: (launch.get("model_hash") or "").partition(":")[2][:_HASH_CHARACTERS]),
    ),
    ("pruned", _of_launch(pruned_words)),
    ("weights", _of_launch(lambda launch: launch.get("weights"))),
    ("plug-ins", _of_launch(lambda launch: ", ".join(launch.get("plugins") or ()))),
)


def server_differences(servers: Sequence[ServerDocument], names: Sequence[str]) -> Table | None:
    """Return a row for each fact in which the servers differ, a column for each server under its name; None if they are alike.

    Addresses are left out, and arguments of servers that loadgen did not start, which are unknown.
    """
    rows = [(label, tuple(read(server) for server in servers)) for label, read in _FACTS]
    rows += _arguments(servers)
    differing = tuple(
        (label, *(MISSING_FIGURE if text is None else text for text in texts))
        for label, texts in rows
        if len(set(texts)) > 1
    )
    return Table(("fact", *names), differing) if differing else None


def _arguments(servers: Sequence[ServerDocument]) -> list[tuple[str, tuple[str | None, ...]]]:
    """Each argument of the engine that any of them has; none if one was not started by loadgen."""
    launches = [launch for server in servers if (launch := server.get("launch")) is not None]
    if len(launches) < len(servers):
        return []
    given = [flat(launch.get("arguments") or {}) for launch in launches]
    names = dict.fromkeys(name for arguments in given for name in arguments)
    return [(f"--{name}", tuple(_shown(arguments.get(name)) for arguments in given)) for name in names]


def _shown(value: object) -> str | None:
    return None if value is None else str(value)
