"""The signature of a command: the parameters of its function, the rows of the table of flags, and what every command takes."""

import functools
import inspect
from collections.abc import Callable
from typing import get_args

import typer
from typer.models import ArgumentInfo

from loadgen.cli.console.terminal import Terminal
from loadgen.cli.flags.measuring import flags_of
from loadgen.cli.flags.options import Database, Quiet, Verbose

_Function = Callable[..., None]


def command(*, measures: str | None = None, takes_db: bool = True) -> Callable[[_Function], _Function]:
    """Make a function a command. Its first parameter is the `Terminal`, made of --db (unless not `takes_db`), -q and -v.

    `measures` is the command's name in the table of flags, whose rows stand after the function's arguments and before its own options.
    A row that the function names is passed by that name; of the others those that were given are passed as keys of a spec.
    """

    def decorate(function: _Function) -> _Function:
        rows = {flag.name: flag.parameter(measures) for flag in flags_of(measures)} if measures else {}
        named = [each for each in _parameters(function) if each.kind is not inspect.Parameter.VAR_KEYWORD][1:]
        keys = rows.keys() - {each.name for each in named}
        own = [each for each in named if each.name not in rows]

        @functools.wraps(function)
        def call(
            context: typer.Context, *, db: str | None = None, quiet: bool, verbose: bool, **values: object
        ) -> None:
            terminal = Terminal.of(context, db, quiet, verbose)
            passed = {name: value for name, value in values.items() if name not in keys}
            given = {key: value for key, value in context.params.items() if key in keys and value is not None}
            function(terminal, **passed, **given)

        shared = [each for each in _parameters(_shared) if takes_db or each.name != "db"]
        parameters = [
            *filter(_is_argument, own),
            *rows.values(),
            *(each for each in own if not _is_argument(each)),
            *shared,
        ]
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        call.__signature__ = inspect.Signature([context, *keywords])  # type: ignore[attr-defined]
        return call

    return decorate


def _shared(db: Database = None, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """The flags of every command."""


def _parameters(function: _Function) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _is_argument(parameter: inspect.Parameter) -> bool:
    """Whether it has no flag: a positional argument of the command line."""
    return any(isinstance(each, ArgumentInfo) for each in get_args(parameter.annotation))
