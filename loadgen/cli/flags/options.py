"""Flags and arguments that several commands take. Those of `run`, `sweep` and `search` are in `measuring`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import loadgen
from loadgen.cli.console.terminal import echo


def argument(metavar: str, help: str) -> Any:
    """Return a positional argument by its name on the help screen."""
    return typer.Argument(metavar=metavar, help=help, show_default=False)


def _print_version(asked: bool) -> None:
    if asked:
        echo(f"loadgen {loadgen.__version__}")
        raise typer.Exit


Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Database of the results (default: env LOADGEN_DB, else the nearest loadgen.db upwards).",
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", metavar="", help="No progress on stderr; warnings and errors only.")
]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", metavar="", help="More on stderr, and a traceback when loadgen itself fails.")
]
Version = Annotated[
    bool,
    typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Show the version and exit."),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout instead of a table.")]

SpecFile = Annotated[
    Path | None, argument("[SPEC.yaml]", "The same as the flags, as keys with underscores; flags win.")
]

AnyId = Annotated[
    str, argument("ID", "A sweep, group or run: its id, a unique beginning of it, its --name, or 'latest'.")
]
AnyIds = Annotated[list[str], argument("ID…", "Sweeps, groups or runs: ids, names, or 'latest'.")]
