"""Help screens that show what to write (`N`, `FILE`, `URL`) and no types of the program."""

from typing import TYPE_CHECKING

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    from typer._click import Context
    from typer._click.core import Parameter


def _without_types(parameters: list["Parameter"]) -> list["Parameter"]:
    for parameter in parameters:
        if isinstance(parameter, TyperArgument):
            parameter.display_type_rich = _no_type  # type: ignore[method-assign]
        elif isinstance(parameter, TyperOption):
            parameter._get_number_range_help_str = _no_range  # type: ignore[method-assign]
            if parameter.metavar is None and parameter.is_flag:
                parameter.metavar = ""
    return parameters


def _no_type(ctx: "Context") -> str | None:
    return None


def _no_range() -> str | None:
    return None


class Command(TyperCommand):
    """A command whose arguments are shown by their name alone."""

    def get_params(self, ctx: "Context") -> list["Parameter"]:
        """Its parameters, for the parser and the help screen."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, likewise."""

    def get_params(self, ctx: "Context") -> list["Parameter"]:
        """Its parameters, for the parser and the help screen."""
        return _without_types(super().get_params(ctx))
