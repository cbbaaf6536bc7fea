"""`loadgen moe`: the group of the commands for Mixture-of-Experts models."""

import typer

from loadgen.cli.flags.signature import Group

moe = typer.Typer(
    name="moe",
    help="Mixture-of-Experts models: how often each expert is chosen, and checkpoints with fewer of them.",
    cls=Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
