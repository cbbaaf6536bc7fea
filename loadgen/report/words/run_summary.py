"""What a run was, in a few lines, as a terminal shows it above its figures."""

from collections.abc import Iterator

from loadgen.analysis.document.run import RunDocument
from loadgen.load.workload import Workload
from loadgen.report.format import number, percent, plural
from loadgen.report.words.remote import cost_line, round_trip_line, route_line
from loadgen.report.words.run_facts import Facts, doctor_line, import_line, limits_line
from loadgen.report.words.server import DUMMY_WEIGHTS, has_dummy_weights, served_line

Fact = tuple[str, str]


def run_summary(run: RunDocument) -> Facts:
    """Load, lengths, outcomes, and what the client says of itself; without what there is nothing to say of."""
    return (*_asked(run), *_done(run), *_client(run))


def _asked(run: RunDocument) -> Iterator[Fact]:
    spec, server = run["spec"], run["server"]
    lengths = f"{number(spec['input_tokens'])} → {spec['output_tokens']:,} tokens"
    yield "load", f"{spec['load_label']}, {lengths}, seed {spec['seed']}"
    if served := served_line(server):
        yield "server", served + (f"; {DUMMY_WEIGHTS}" if has_dummy_weights(server) else "")
    if made_of := Workload.from_json(spec.get("workload", {})).label:
        yield "prompts", made_of


def _done(run: RunDocument) -> Iterator[Fact]:
    outcomes, tokens, window = run["outcomes"], run["tokens"], run["window"]
    others = ", ".join(
        f"{count:,} {label.replace('_', ' ')}"
        for label, count in outcomes.items()
        if count and label not in ("planned", "ok")
    )
    yield "requests", f"{outcomes['ok']:,} of {outcomes['planned']:,} ok" + (f"; {others}" if others else "")
    counted = f"{number(tokens['output'])} output, {number(tokens['prompt'])} prompt"
    yield "tokens", f"{counted}; counted by {(tokens['counted_by'] or 'nobody').replace('_', ' ')}"
    lengths = run.get("lengths") or {}
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
    if waits := limits_line(run):
        yield "limits", waits


def _client(run: RunDocument) -> Iterator[Fact]:
    client = run["client"]
    if client["reads"]:
        yield "stamps", f"by {client['stamp_source']}, {percent(client['coalesced_ratio'])} coalesced"
    if route := route_line(run):
        yield "way", route
    if client.get("network_rtt_s"):
        yield "network", f"round trip {round_trip_line(run)}"
    for name, line in (
        ("cost", cost_line(run)),
        ("doctor", doctor_line(run)),
        ("imported", import_line(run.get("imported"))),
    ):
        if line:
            yield name, line
