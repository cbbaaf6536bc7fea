"""docs/cli.md and the code name the same commands, flags and exit codes."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from loadgen.cli.app import app
from loadgen.errors import ExitCode
from loadgen.servers.simulator.faults import FAULTS

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

EVERYWHERE = {"--db", "--quiet", "-q", "--verbose", "-v", "--help", "-h", "--version"}

NOT_OF_A_SEARCH = {"--wave", "--trace", "--time-scale", "--ramp-to", "--ramp-strategy", "--experts"}


def section(title: str) -> str:
    _, _, after = DOCUMENT.partition(f"\n## {title}\n")
    return after.split("\n## ")[0]


def flags_in(text: str) -> set[str]:
    """The flags at the head of each row of the text's tables."""
    heads = re.findall(r"^\| (`[^|]*?(?:\\\|[^|]*?)*) \|", text, re.MULTILINE)
    return {flag for head in heads for flag in re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", head)}


def commands_in(name: str) -> dict[str, Any]:
    """A command by its name, or those of a group."""
    command = COMMANDS[name]
    inner = getattr(command, "commands", None)
    return {name: command} if inner is None else {f"{name} {each}": command for each, command in inner.items()}


def flags_of(name: str) -> set[str]:
    parameters = [parameter for command in commands_in(name).values() for parameter in command.params]
    return {flag for parameter in parameters for flag in parameter.opts if flag.startswith("-")}


def test_the_commands_are_those_of_the_document() -> None:
    assert set(re.findall(r"^## loadgen (\w+)$", DOCUMENT, re.MULTILINE)) == set(COMMANDS)


def test_the_flags_that_every_command_has() -> None:
    assert flags_in(DOCUMENT.split("\n## ")[0]) == EVERYWHERE


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_flags_of_each_command_are_those_of_its_section(command: str) -> None:
    documented = flags_in(section(f"loadgen {command}"))
    if command == "sweep":
        documented |= flags_in(section("loadgen run"))
    if command == "search":
        documented |= flags_in(section("loadgen run")) - NOT_OF_A_SEARCH
    assert documented == flags_of(command) - EVERYWHERE


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_section_has_an_example(command: str) -> None:
    for name in commands_in(command):
        assert f"\n    loadgen {name}" in section(f"loadgen {command}")


def test_the_exit_codes_are_those_of_the_document() -> None:
    documented = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert [int(code) for code in documented] == [code.value for code in ExitCode]


def test_the_faults_are_those_of_the_document() -> None:
    documented = re.findall(r"^\| ([a-z][a-z0-9.-]+) \| (.+) \|$", section("loadgen simulate"), re.MULTILINE)
    rows = [row for row in documented if row[0] not in ("fault", "flag")]
    assert rows == [(fault.name, fault.does) for fault in FAULTS.values()]


def test_every_flag_has_a_help_text() -> None:
    without = [
        f"{name} {parameter.name}"
        for command_or_group in COMMANDS
        for name, command in commands_in(command_or_group).items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert without == []
