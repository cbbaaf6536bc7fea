"""What `loadgen doctor` found, as tables for a terminal."""

from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from loadgen.analysis.document.doctor import DoctorDocument
from loadgen.cli.tables.style import numbers, plain_table, words
from loadgen.report.format import milliseconds, number, percent

_SYMBOLS = {"ok": ("✓", "green"), "warn": ("?", "yellow"), "bad": ("✗", "red")}


def show_doctor(console: Console, document: DoctorDocument) -> None:
    """Print the checks of the host, the client's error at each number of streams, and the summary."""
    console.print(_checks(document))
    console.print(_levels(document))
    for level in document["levels"]:
        for sentence in level["broken"]:
            console.print(f"✗ at {level['streams']:,} streams: {sentence}", style="red")
    console.print(document["summary"])


def _checks(document: DoctorDocument) -> RenderableType:
    table = Table.grid(*words(""), Column(no_wrap=True, style="dim"), "", padding=(0, 1))
    for check in document["checks"]:
        symbol, style = _SYMBOLS[check["status"]]
        text = Text(check["message"])
        if check["hint"]:
            text.append(f"\n{check['hint']}", style="dim")
        table.add_row(Text(symbol, style=style), check["name"], text)
    return table


def _levels(document: DoctorDocument) -> RenderableType:
    headers = (
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
    )
    table = plain_table(*numbers(*headers), *words(""))
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
