"""Which figures a set of runs can be shown by, and how to read what is drawn of them."""

from collections.abc import Mapping, Sequence

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import FIGURES
from loadgen.analysis.figures.figure import Figure
from loadgen.report.points import MIN_FOR_INTERVAL, LoadPoint, axes, limits_label, points

TAILS = ("p99", "p95", "p90")
TTFT, TPOT, THROUGHPUT = FIGURES["ttft_s"], FIGURES["tpot_s"], FIGURES["output_tokens_per_s"]
CHUNK_GAP, TOKEN_GAP = FIGURES["chunk_gap_s"], FIGURES["token_gap_s"]
E2E_LATENCY = FIGURES["e2e_latency_s"]
REQUESTS_PER_S = FIGURES["requests_per_s"]
GOODPUT, GOODPUT_RATIO = FIGURES["goodput_per_s"], FIGURES["goodput_ratio"]
ENERGY_PER_TOKEN = FIGURES["energy_per_output_token_j"]
COST_PER_MILLION = FIGURES["usd_per_million_output_tokens"]
TTFT_FROM_SEND = FIGURES["ttft_from_send_s"]
NETWORK_RTT = FIGURES["network_rtt_s"]
CACHED_RATIO = FIGURES["prefix_cache_hit_ratio"]
ACCEPTANCE_RATIO, TOKENS_PER_DRAFT = FIGURES["acceptance_ratio"], FIGURES["tokens_per_draft"]
TOKENS_PER_CHUNK = FIGURES["tokens_per_chunk"]
BOUND_RATIO = FIGURES["bound_ratio"]


def tail(figure: Figure, drawn: Sequence[LoadPoint]) -> str | None:
    """The highest percentile that every point has, else the highest that any has, else None."""
    for share in (all, any):
        for name in TAILS:
            if share(point.pooled(figure.reader(name)) is not None for point in drawn):
                return name
    return None


def highest(figure: Figure, runs: Sequence[RunDocument]) -> str | None:
    """The highest percentile above the median that every one of the runs has, None where even p90 was refused."""
    return next((name for name in TAILS if all(figure.read(run, name) is not None for run in runs)), None)


def gap_figure(runs: Sequence[RunDocument]) -> Figure:
    """The gap that all these runs can be shown by: `TOKEN_GAP` when the tokens of each chunk are known, else `CHUNK_GAP`.

    The two are never mixed under one heading. Runs without any gap, such as those of one token, have no say.
    """
    with_gaps = [run for run in runs if CHUNK_GAP.read(run) is not None]
    known = [TOKEN_GAP.read(run) is not None for run in with_gaps]
    return TOKEN_GAP if known and all(known) else CHUNK_GAP


def metric_label(metric: Figure, run: RunDocument) -> str:
    """The metric's label; goodput never without the SLO that it was judged by: `Goodput (TTFT ≤ 500 ms, TPOT ≤ 50 ms)`."""
    slo = run["spec"].get("slo") or {}
    if metric not in (GOODPUT, GOODPUT_RATIO) or not slo:
        return metric.label
    return f"{metric.label} ({limits_label(slo)})"


def slo_limit(figure: Figure, runs: Sequence[RunDocument]) -> float | None:
    """The limit on this figure that all of these runs were judged by; None where they have none, or not the same."""
    limits = {(run["spec"].get("slo") or {}).get(figure.key) for run in runs}
    return limits.pop() if len(limits) == 1 else None


def reading_note(runs: Sequence[RunDocument], names: Mapping[str, str] | None = None) -> str:
    """How to read the charts of a sweep: what a mark, a bar and a hollow mark are. Empty for single valid runs."""
    drawn = points(runs, axes(runs, names))
    words = []
    repeats = [len(point.runs) for point in drawn if len(point.runs) > 1]
    if repeats:
        few, many = min(repeats) < MIN_FOR_INTERVAL, max(repeats) >= MIN_FOR_INTERVAL
        bars = []
        if many:
            bars.append("the 95 % interval of that mean")
        if few:
            bars.append("the least and greatest repeat" + (" where there are only two" if many else ""))
        words.append(f"Marks are means over the repeats of a point; bars, {', or '.join(bars)}.")
    if any(point.status == "doubtful" for point in drawn):
        words.append("Hollow marks are doubtful.")
    if drawn and any(run["verdict"]["status"] == "invalid" for run in runs):
        words.append("Invalid runs are left out.")
    return " ".join(words)
