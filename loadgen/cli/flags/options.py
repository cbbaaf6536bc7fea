"""Flags and arguments that several commands take. Those of `run`, `sweep` and `search` are in `measuring`."""

from pathlib import Path
from typing import Annotated

import typer

import loadgen
from loadgen.cli.console.terminal import echo


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
    Path | None,
    typer.Argument(
        metavar="[SPEC.yaml]", help="The same as the flags, as keys with underscores; flags win.", show_default=False
    ),
]

AnyId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A sweep, group or run: its id, a unique beginning of it, its --name, or 'latest'.",
        show_default=False,
    ),
]
AnyIds = Annotated[
    list[str],
    typer.Argument(metavar="ID…", help="Sweeps, groups or runs: ids, names, or 'latest'.", show_default=False),
]
