"""One run: every figure, its facts, kept replies, turns, and the server's own account of it."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadgen.analysis.figures.metrics import METRICS
from loadgen.cli.tables.style import VERDICTS, facts_table, plain_table
from loadgen.load.workload import Workload
from loadgen.report.figures import (
    TTFT,
)
from loadgen.report.format import (
    figure,
    milliseconds,
    number,
    percent,
    plural,
    shown_unit,
)
from loadgen.report.labels import metric_label
from loadgen.report.points import Document
from loadgen.report.words.facts import doctor_line, import_line, limits_line, reply_label, turn_table
from loadgen.report.words.remote import (
    cost_line,
    is_unverified,
    round_trip_line,
    way_line,
)
from loadgen.report.words.served import DUMMY_WEIGHTS, has_dummy_weights, served_line
from loadgen.report.words.server_facts import account_facts, account_table, gpu_facts
from loadgen.store import plain

Fact = tuple[str, str | Text]


def verdict_line(document: Document) -> Text:
    """`✓ valid`, in its colour."""
    status = document["verdict"]["status"]
    symbol, style = VERDICTS[status]
    return Text(f"{symbol} {status}", style=f"bold {style}")


def run_line(document: Document) -> Text:
    """One finished run in one line, for the progress on stderr."""
    spec = document["spec"]
    symbol, style = VERDICTS[document["verdict"]["status"]]
    text = Text(f"{symbol} ", style=style)
    text.append(f"{spec['load_label']}, {number(spec['input_tokens'])} → {spec['output_tokens']:,}", style="default")
    figures = [f"TTFT {milliseconds(TTFT.read(document))} ms"]
    figures.append(f"{number(document['output_tokens_per_s'])} tokens/s")
    failed = document["outcomes"]["planned"] - document["outcomes"]["ok"]
    if failed:
        figures.append(f"{failed:,} not ok")
    text.append("  " + " · ".join(figures), style="dim")
    return text


def run_facts(document: Document) -> RenderableType:
    """What a run was, in a few lines: load, lengths, outcomes, and what the client says of itself."""
    return facts_table([*_asked(document), *_done(document), *_client(document)])


def _asked(document: Document) -> Iterator[Fact]:
    spec, server = document["spec"], document["server"]
    lengths = f"{number(spec['input_tokens'])} → {spec['output_tokens']:,} tokens"
    yield "load", f"{spec['load_label']}, {lengths}, seed {spec['seed']}"
    if served := served_line(server):
        yield "server", served + (f"; {DUMMY_WEIGHTS}" if has_dummy_weights(server) else "")
    if made_of := Workload.from_json(spec.get("workload", {})).label:
        yield "prompts", made_of


def _done(document: Document) -> Iterator[Fact]:
    outcomes, tokens, window = document["outcomes"], document["tokens"], document["window"]
    others = ", ".join(
        f"{count:,} {label.replace('_', ' ')}"
        for label, count in outcomes.items()
        if count and label not in ("planned", "ok")
    )
    yield "requests", f"{outcomes['ok']:,} of {outcomes['planned']:,} ok" + (f"; {others}" if others else "")
    counted = f"{number(tokens['output'])} output, {number(tokens['prompt'])} prompt"
    yield "tokens", f"{counted}; counted by {(tokens['counted_by'] or 'nobody').replace('_', ' ')}"
    lengths = document.get("lengths") or {}
    for name, found in (
        ("prompt lengths", lengths.get("prompt_tokens")),
        ("answer lengths", lengths.get("output_tokens")),
    ):
        if found and found["requests_off"]:
            bounds = f"{number(found['min'])} to {number(found['max'])}"
            yield name, f"{number(found['mean'])} tokens on average ({bounds}) of {number(found['asked'])} asked"
    if window["start_s"] is not None and window["end_s"] is not None:
        rule = window["rule"].replace("_", " ")
        held = "" if window["requests"] is None else f", {plural(window['requests'], 'request')}"
        yield "window", f"{rule}, {window['start_s']:.2f} to {window['end_s']:.2f} s{held}"
    if waits := limits_line(document):
        yield "limits", waits


def _client(document: Document) -> Iterator[Fact]:
    client = document["client"]
    if client["reads"]:
        yield "stamps", f"by {client['stamp_source']}, {percent(client['coalesced_ratio'])} coalesced"
    if route := way_line(document):
        yield "way", Text(route, style="red" if is_unverified(document) else "")
    if client.get("network_rtt_s"):
        yield "network", f"round trip {round_trip_line(document)}"
    for name, line in (
        ("cost", cost_line(document)),
        ("doctor", doctor_line(document)),
        ("imported", import_line(document.get("imported"))),
    ):
        if line:
            yield name, line


def run_table(document: Document) -> RenderableType:
    """Every figure of one run."""
    distributions = plain_table()
    distributions.add_column("ms")
    for header in ("n", "mean", "p50", "p90", "p95", "p99", "max"):
        distributions.add_column(header, justify="right", no_wrap=True)
    scalars = Table.grid(padding=(0, 2))
    scalars.add_column()
    scalars.add_column(justify="right")
    scalars.add_column(style="dim")
    for metric in METRICS:
        entry = metric.of(document)
        if metric.kind == "distribution":
            figures = entry or {}
            if metric.better is None and not figures.get("n"):
                continue  # it describes what this run had none of
            cells = (figure(figures.get(name), metric.unit) for name in ("mean", "p50", "p90", "p95", "p99", "max"))
            unit = "" if metric.unit == "s" else f", {metric.unit}"
            distributions.add_row(metric.label + unit, number(figures.get("n")), *cells)
        elif entry is not None:
            scalars.add_row(metric_label(metric, document), figure(entry, metric.unit), shown_unit(metric.unit))
    return Group(distributions, scalars)


def by_turn(document: Document) -> RenderableType | None:
    """Figures by turn of the conversations; None where each request stands by itself."""
    figures = turn_table(document)
    if figures is None:
        return None
    table = plain_table()
    for header in figures.columns:
        table.add_column(header, justify="right")
    for row in figures.rows:
        table.add_row(*row)
    return table


def replies(document: Document) -> RenderableType | None:
    """The replies kept with their text; None if none was."""
    kept = document.get("replies")
    if not kept:
        return None
    return facts_table((reply_label(reply), Text(plain.printable(reply["text"]) or "(no text)")) for reply in kept)


def server_account(document: Document) -> RenderableType | None:
    """The server's figures beside ours, what only it knows, and what its GPUs took; None if it reported nothing."""
    parts: list[RenderableType] = []
    figures = account_table(document)
    if figures is not None:
        table = plain_table()
        for header in figures.columns:
            table.add_column(header, justify="right" if table.columns else "left", no_wrap=True)
        for row in figures.rows:
            table.add_row(*row)
        parts.append(table)
    facts = (*account_facts(document), *gpu_facts(document))
    if facts:
        parts.append(facts_table(facts))
    return Group(*parts) if parts else None
