"""Commands: their signature of the function's parameters, rows of a table of flags and shared flags; and their help screen."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.models import ArgumentInfo

from loadgen.cli.console.terminal import Terminal
from loadgen.cli.flags.options import Database, Quiet, Verbose

if TYPE_CHECKING:
    from typer._click import Context
    from typer._click.core import Parameter

_Function = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Flag:
    """One row of a table of flags: `input_tokens` is `--input-tokens`. A flag without a `metavar` is a switch."""

    name: str
    metavar: str
    help: str
    panel: str | None = None
    type: Any = str | None
    default: Any = None
    short: str = ""  # its second name, of one letter: `-o`
    most: int | None = None  # of a whole number from 0 on

    @property
    def option(self) -> str:
        """As it is written: `--input-tokens`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def parameter(self) -> inspect.Parameter:
        """The parameter that Typer makes the option from."""
        names = (self.short, self.option) if self.short else (self.option,)
        option = typer.Option(
            self.default,
            *names,
            metavar=self.metavar,
            help=self.help,
            rich_help_panel=self.panel,
            min=None if self.most is None else 0,
            max=self.most,
        )
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=self.type)


def command(flags: Sequence[Flag] = (), *, takes_db: bool = True) -> Callable[[_Function], _Function]:
    """Make a function a command. Its first parameter is the `Terminal`, made of --db (unless not `takes_db`), -q and -v.

    `flags` stand after the function's arguments and before its own options. A flag that the function names is passed by that name; of
    the others, those that were given or have a default are passed on in its `**keys`.
    """

    def decorate(function: _Function) -> _Function:
        rows = {flag.name: flag.parameter for flag in flags}
        named = [each for each in _parameters(function) if each.kind is not inspect.Parameter.VAR_KEYWORD][1:]
        keys = rows.keys() - {each.name for each in named}
        own = [each for each in named if each.name not in rows]

        @functools.wraps(function)
        def call(
            context: typer.Context, *, db: str | None = None, quiet: bool, verbose: bool, **values: object
        ) -> None:
            terminal = Terminal.of(context, db, quiet, verbose)
            passed = {name: value for name, value in values.items() if name not in keys}
            absent = (None, ())  # a flag that may be repeated is an empty tuple where it is not given
            given = {key: value for key, value in context.params.items() if key in keys and value not in absent}
            function(terminal, **passed, **given)

        shared = [each for each in _parameters(_shared) if takes_db or each.name != "db"]
        options = [*rows.values(), *(each for each in own if not _is_argument(each)), *shared]
        parameters = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*filter(_is_argument, own), *options)
        ]
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        call.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
        return call

    return decorate


def _shared(db: Database = None, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """The flags of every command."""


def _parameters(function: _Function) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _is_argument(parameter: inspect.Parameter) -> bool:
    """Whether it has no flag: a positional argument of the command line."""
    return any(isinstance(each, ArgumentInfo) for each in get_args(parameter.annotation))


def group(help: str) -> typer.Typer:
    """Return a group without commands yet; alone it shows its help."""
    return typer.Typer(help=help, cls=Group, no_args_is_help=True)


class Command(TyperCommand):
    """A command whose help screen shows what to write (`N`, `FILE`, `URL`) and no types of the program."""

    def get_params(self, ctx: "Context") -> list["Parameter"]:
        """Its parameters, for the parser and the help screen."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    def get_params(self, ctx: "Context") -> list["Parameter"]:
        """Its parameters, for the parser and the help screen."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: list["Parameter"]) -> list["Parameter"]:
    for parameter in parameters:
        if isinstance(parameter, TyperArgument):
            parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        elif isinstance(parameter, TyperOption):
            parameter._get_number_range_help_str = lambda: None  # type: ignore[method-assign]
            if parameter.metavar is None and parameter.is_flag:
                parameter.metavar = ""
    return parameters
