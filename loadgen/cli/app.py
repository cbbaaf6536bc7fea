"""The commands under one name, and how each way of ending becomes a sentence and an exit code."""

import gc
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import typer
from typer.exceptions import Abort, Exit, TyperException
from typer.main import get_command

from loadgen.cli.commands.accuracy import accuracy
from loadgen.cli.commands.compare import compare
from loadgen.cli.commands.dashboard import dashboard
from loadgen.cli.commands.doctor import doctor
from loadgen.cli.commands.import_results import import_results
from loadgen.cli.commands.measure import run, sweep
from loadgen.cli.commands.moe.experts import experts
from loadgen.cli.commands.moe.prune import prune
from loadgen.cli.commands.plot import plot
from loadgen.cli.commands.profiles import profiles
from loadgen.cli.commands.results import export, list_sweeps, report, show
from loadgen.cli.commands.search import search
from loadgen.cli.commands.serve import serve
from loadgen.cli.commands.simulate import simulate
from loadgen.cli.commands.study import study
from loadgen.cli.commands.study_predict import predict_studies
from loadgen.cli.commands.study_report import plot_study, report_studies
from loadgen.cli.console import streams
from loadgen.cli.console.terminal import Globals, warn
from loadgen.cli.flags import other_tools
from loadgen.cli.flags.measuring import flags_of
from loadgen.cli.flags.options import Database, Quiet, Verbose, Version
from loadgen.cli.flags.signature import Command, Group, group
from loadgen.errors import ExitCode, LoadgenError, NotFoundError, OutputError

# With Python's 700 the thousand modules that a command imports, all of which stay, would be looked through 300 times.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000

app = typer.Typer(
    name="loadgen",
    help="Measure an OpenAI-compatible inference server over HTTP: the server, not the client.",
    epilog="Exit codes: 0 no run invalid · 2 usage · 3 a run is invalid · 4 a gate failed · 5 the server failed · 130 interrupted.",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", cls=Command)(run)
app.command("sweep", cls=Command)(sweep)
app.command("search", cls=Command)(search)
app.command("accuracy", cls=Command)(accuracy)
app.command("list", cls=Command)(list_sweeps)
app.command("show", cls=Command)(show)
app.command("compare", cls=Command)(compare)
app.command("export", cls=Command)(export)
app.command("import", cls=Command)(import_results)
app.command("report", cls=Command)(report)
app.command("plot", cls=Command)(plot)
app.command("dashboard", cls=Command)(dashboard)
app.command("simulate", cls=Command)(simulate)
app.command("doctor", cls=Command)(doctor)
app.add_typer(profiles, name="profiles")
app.add_typer(serve, name="serve")
study.command("predict", cls=Command)(predict_studies)
study.command("report", cls=Command)(report_studies)
study.command("plot", cls=Command)(plot_study)
app.add_typer(study, name="study")
moe = group("Mixture-of-Experts models: how often each expert is chosen, and checkpoints with fewer of them.")
moe.command("experts", cls=Command)(experts)
moe.command("prune", cls=Command)(prune)
app.add_typer(moe, name="moe")


@app.callback()
def _globals(
    context: typer.Context,
    db: Database = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    version: Version = False,
) -> None:
    context.obj = Globals(db, quiet, verbose)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Every failure is one line on stderr."""
    if arguments is None:  # the process is ours
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    with streams.prepared():
        return _main(list(sys.argv[1:] if arguments is None else arguments))


@cache
def _command() -> Callable[..., Any]:
    """The commands as the framework calls them, made once in a process."""
    return get_command(app)


def _main(given: list[str]) -> int:
    try:
        code = _command()(given, standalone_mode=False, prog_name="loadgen")
        sys.stdout.flush()
        if code == ExitCode.INTERRUPTED:  # the framework has caught the interrupt and hands on no more than this
            return _interrupted()
        return code if isinstance(code, int) else ExitCode.OK
    except Exit as ended:
        return ended.exit_code
    except SystemExit as ended:  # the framework ends so after it has printed a completion
        return ended.code if isinstance(ended.code, int) else ExitCode.OK
    except LoadgenError as error:
        if isinstance(error, OutputError):
            streams.discard_stdout()
        return _failed(error.with_place if isinstance(error, NotFoundError) else str(error), error.exit_code)
    except TyperException as error:
        return _failed(_usage(error), ExitCode.USAGE) if error.format_message() else ExitCode.USAGE
    except (KeyboardInterrupt, Abort):
        return _interrupted()
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing may be flushed to it any more, not even at exit.
        streams.discard_stdout()
        return ExitCode.OK
    except MemoryError:
        return _failed(
            "out of memory: free some, or ask for fewer or shorter requests; what ended before is saved", ExitCode.USAGE
        )
    except Exception as error:
        if isinstance(error, UnicodeEncodeError) and (word := _no_text(given)) is not None:
            return _failed(f"{word} is not text in UTF-8; write it in that encoding", ExitCode.USAGE)
        if {"-v", "--verbose"} & set(given):
            traceback.print_exc()
            return ExitCode.UNEXPECTED
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        return _failed(f"unexpected failure: {message} (run again with -v for the traceback)", ExitCode.UNEXPECTED)


def _no_text(words: Sequence[str]) -> str | None:
    """The first word that is no text, such as a name in another encoding; a file may have one, anything else may not."""
    return next((word for word in words if any("\ud800" <= each <= "\udfff" for each in word)), None)


def _usage(error: TyperException) -> str:
    """The parser's complaint as one sentence which says where help is."""
    hint = _hint(error)
    text = error.format_message() if hint is None else error.message
    text = " ".join(text.split()).rstrip(".")
    text = (
        text.replace("(Possible options: ", "(did you mean ")
        .replace("Value error, ", "")
        .replace("Input should be", "it must be")
    )
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "loadgen"
    return f"{text[:1].lower()}{text[1:]}{'' if hint is None else f'; {hint}'}; see '{command} --help'"


def _hint(error: TyperException) -> str | None:
    """What another tool's option, command or habit is here."""
    option = getattr(error, "option_name", None)
    if option is not None:
        ours = other_tools.counterpart(option)
    elif error.message.startswith("Got unexpected extra argument") and "://" in error.message:
        return "the server's address is given with --url"
    else:
        command = re.match(r"No such command '([^']*)'", error.message)
        ours = None if command is None else other_tools.COMMANDS.get(command.group(1))
    if ours is None:
        context = getattr(error, "ctx", None)
        is_of_sweep = option is not None and context is not None and context.command_path == "loadgen run"
        return "'loadgen sweep' has it" if is_of_sweep and option in _sweep_options() else None
    return f"loadgen has {ours}" if ours.startswith("no counterpart") else f"in loadgen: {ours}"


def _sweep_options() -> set[str]:
    """The flags of `loadgen sweep`."""
    return {flag.option for flag in flags_of("sweep")}


def _interrupted() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not break off the way out
    return _failed("interrupted", ExitCode.INTERRUPTED)


def _failed(message: str, code: ExitCode) -> int:
    warn(message)
    return code
