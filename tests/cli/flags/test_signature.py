"""A command's signature: its own parameters, the rows of the table of flags, and what every command takes."""

import pytest
import typer

from loadgen.cli.app import app
from loadgen.cli.console.terminal import Terminal
from loadgen.cli.flags.measuring import FLAGS, flags_of
from loadgen.cli.flags.signature import command
from loadgen.spec.sweep_spec import SweepSpec

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
NO_KEYS = {"goodput_ratio", "tolerance_ratio", "max_runs", "plan", "resume", "service", "service_token_env"}


def called(*words: str) -> tuple[Terminal, dict[str, object]]:
    """What a command that names `repeats` and a flag of its own is called with for `words`."""
    calls: list[tuple[Terminal, dict[str, object]]] = []

    @command(flags_of("search"))
    def searched(terminal: Terminal, *, repeats: int, plan: bool, **keys: object) -> None:
        calls.append((terminal, {"repeats": repeats, "plan": plan, **keys}))

    alone = typer.Typer()
    alone.command()(searched)
    alone(words, standalone_mode=False)
    return calls[0]


def test_named_flags_are_passed_always_and_keys_if_given() -> None:
    terminal, values = called("--url", "http://h", "--repeats", "4", "-q", "--db", "sqlite:///x.db")
    assert values["repeats"] == 4
    assert values["plan"] is False
    assert values["url"] == "http://h"
    assert not {"rate", "seed", "insecure"} & values.keys()
    assert (terminal.db, terminal.quiet, terminal.verbose) == ("sqlite:///x.db", True, False)
    assert called()[1]["repeats"] == 3


@pytest.mark.parametrize("name", ["run", "sweep", "search"])
def test_every_row_is_a_flag_of_its_command_and_a_key_of_a_spec(name: str) -> None:
    rows = flags_of(name)
    assert [flag.name for flag in rows] == list(dict.fromkeys(flag.name for flag in rows))
    options = [parameter.name for parameter in COMMANDS[name].params]
    assert [each for each in options if each in {flag.name for flag in rows}] == [flag.name for flag in rows]
    keys = {flag.name for flag in rows} - NO_KEYS
    assert keys <= SweepSpec.model_fields.keys() | {"profile", "interleave"}


def test_every_key_of_a_spec_has_a_flag() -> None:
    assert SweepSpec.model_fields.keys() - {flag.name for flag in FLAGS} == set()
