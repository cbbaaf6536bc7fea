"""`loadgen doctor`: this host, and the client's own error on it."""

import typer

from loadgen.cli.console.terminal import Terminal, show_json, stdout
from loadgen.cli.flags import options
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import ExitCode, UsageError

_MAX_STREAMS = 1_000_000


@command((Flag("streams", "N,N…", "How many streams to look at.", type=str, default="1,64,256,1000"),))
def doctor(terminal: Terminal, *, streams: str, as_json: options.Json = False) -> None:
    """Look at this host and measure the client's own error on it, against a simulator whose truth is known."""
    numbers = _numbers(streams)
    from loadgen.doctor.doctor import examine, exit_code

    with terminal.open_to_write() as store:
        document = examine(numbers, terminal.note)
        store.add_doctor_result(document)
        terminal.announce()
    if as_json:
        show_json(document)
    else:
        from loadgen.cli.tables.doctor import show_doctor

        show_doctor(stdout(), document)
    if (code := exit_code(document)) is not ExitCode.OK:
        raise typer.Exit(code)


def _numbers(text: str) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise UsageError(f"--streams must list whole numbers, not {text}") from None
    if numbers[0] < 1:
        raise UsageError(f"--streams must list numbers of at least 1, not {numbers[0]}")
    if numbers[-1] > _MAX_STREAMS:
        raise UsageError(f"--streams must list numbers up to {_MAX_STREAMS:,}, not {numbers[-1]:,}")
    return numbers
