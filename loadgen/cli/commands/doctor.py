"""`loadgen doctor`: this host, and the client's own error on it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadgen.cli.console.terminal import Terminal, show_json, stdout
from loadgen.cli.flags import options
from loadgen.cli.flags.signature import command
from loadgen.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

_MAX_STREAMS = 1_000_000
_SYMBOLS = {"ok": ("✓", "green"), "warn": ("?", "yellow"), "bad": ("✗", "red")}


@command()
def doctor(
    terminal: Terminal,
    streams: Annotated[
        str, typer.Option("--streams", metavar="N,N…", help="How many streams to look at.")
    ] = "1,64,256,1000",
    as_json: options.Json = False,
) -> None:
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
        _show(document)
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


def _show(document: dict[str, Any]) -> None:
    console = stdout()
    console.print(_checks(document))
    console.print(_levels(document))
    for level in document["levels"]:
        for sentence in level["broken"]:
            console.print(f"✗ at {level['streams']:,} streams: {sentence}", style="red")
    console.print(document["summary"])


def _checks(document: dict[str, Any]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for check in document["checks"]:
        symbol, style = _SYMBOLS[check["status"]]
        said = Text(check["message"])
        if check["hint"]:
            said.append(f"\n{check['hint']}", style="dim")
        table.add_row(Text(symbol, style=style), check["name"], said)
    return table


def _levels(document: dict[str, Any]) -> "RenderableType":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from loadgen.report.format import milliseconds, number, percent

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), header_style="bold")
    for header in (
        "\nstreams",
        "\nrequests",
        "events\n/s",
        "TTFT error\np50 ms",
        "\np99 ms",
        "gap p99\nerror ms",
        "\njoined",
        "\nCPU",
        "loop lag\np99 ms",
        "\nstamps",
        "",
    ):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    for level in document["levels"]:
        symbol, style = _SYMBOLS["bad" if level["broken"] else "ok"]
        table.add_row(
            f"{level['streams']:,}",
            f"{level['requests']:,}",
            number(level["events_per_s"]),
            milliseconds(level["ttft_error_p50_s"]),
            milliseconds(level["ttft_error_p99_s"]),
            milliseconds(level["gap_p99_error_s"]),
            percent(level["joined_ratio"]),
            percent(level["cpu_ratio"]),
            milliseconds(level["loop_lag_p99_s"]),
            level["stamp_source"],
            Text(symbol, style=style),
        )
    return table
